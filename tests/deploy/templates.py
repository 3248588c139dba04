"""Reads the CloudFormation templates, and makes of each what moto, the emulator, can carry out.

Moto does not know all of CloudFormation. The kinds of resources and the attributes that it does not
know are listed here, and test_emulator.py keeps the list of kinds true: cfn-lint and checkov alone
have looked at those. Of what it knows it drops some properties without a word (the database's
deletion protection and secret, a task definition's roles and platform, a service's load balancers,
a load balancer's type, the routes of a subnet), and an update leaves an ECS service with the task
definition that it had. The tests look for these in the templates themselves. It forgets the outputs of
a stack that a change set makes, and does not find the order in which a network can be deleted."""

import re

from support.program import ROOT

FOLDER = ROOT / "deploy" / "aws"
STACKS = ("registry", "network", "database", "entry", "frontend", "service", "monitoring", "pipeline")

UNKNOWN_TYPES = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Budgets::Budget",
    "AWS::CertificateManager::Certificate",
    "AWS::CloudFront::Distribution",
    "AWS::CloudFront::OriginAccessControl",
    "AWS::CloudFront::ResponseHeadersPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::IAM::OIDCProvider",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::WAFv2::LoggingConfiguration",
    "AWS::WAFv2::WebACL",
    "AWS::WAFv2::WebACLAssociation",
}
UNKNOWN_ATTRIBUTES = {
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "CanonicalHostedZoneID"),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancerFullName"),
    ("AWS::ElasticLoadBalancingV2::TargetGroup", "TargetGroupFullName"),
    ("AWS::RDS::DBInstance", "MasterUserSecret.SecretArn"),
    ("AWS::RDS::DBParameterGroup", "Ref"),
}


def read(stack):
    from cfnlint.decode import cfn_yaml  # here, as it takes a second to load

    return plain(cfn_yaml.load(str(FOLDER / f"{stack}.yaml")))


def plain(node):
    """The same of plain dicts, lists and strings, without the places in the file."""
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    return str(node) if isinstance(node, str) else node


def for_moto(template, stand_ins={}):
    """The template without what moto does not know; what refers to it gets a stand-in, by the name
    of the resource, or a made-up text."""
    types = {name: resource["Type"] for name, resource in template["Resources"].items()}
    gone = {name for name, kind in types.items() if kind in UNKNOWN_TYPES}
    gone_before = {("DependsOn", name) for name in gone}

    def stand_in(name):
        return stand_ins.get(name, f"stand-in-for-{name}")

    def is_unknown(name, attribute):
        return name in gone or (types.get(name), attribute) in UNKNOWN_ATTRIBUTES

    def substitute(match):
        return stand_in(match[1]) if match[1] in gone else match[0]

    def fit(node):
        if isinstance(node, list):
            return [fit(value) for value in node]
        if not isinstance(node, dict):
            return node
        if node.get("Protocol") == "TLS":
            # To moto all load balancers are of applications, whose listeners know no TLS.
            node = {**node, "Protocol": "HTTPS"}
        if "Ref" in node:
            return stand_in(node["Ref"]) if is_unknown(node["Ref"], "Ref") else node
        if "Fn::GetAtt" in node:
            name, attribute = node["Fn::GetAtt"]
            return stand_in(name) if is_unknown(name, attribute) else node
        if isinstance(node.get("Fn::Sub"), str):
            return {"Fn::Sub": re.sub(r"\$\{(\w+)[.\w]*\}", substitute, node["Fn::Sub"])}
        return {key: fit(value) for key, value in node.items() if (key, str(value)) not in gone_before}

    kept = {name: resource for name, resource in template["Resources"].items() if name not in gone}
    return fit({**template, "Resources": kept})



def resolve(node, values):
    """The node with references replaced: by what `values` has, by a parameter's default, or by the
    name in brackets. Every condition holds."""

    def value(name):
        return str(values.get(name, f"<{name}>"))

    if isinstance(node, list):
        return [resolve(item, values) for item in node]
    if not isinstance(node, dict):
        return node
    if "Ref" in node:
        return value(node["Ref"])
    if "Fn::If" in node:
        return resolve(node["Fn::If"][1], values)
    if "Fn::GetAtt" in node:
        return value(".".join(node["Fn::GetAtt"]))
    if "Fn::Sub" in node:
        return re.sub(r"\$\{([\w:.]+)\}", lambda match: value(match[1]), node["Fn::Sub"])
    return {key: resolve(item, values) for key, item in node.items()}


def task_definition():
    """What CloudFormation gives to RegisterTaskDefinition, as that spells it."""
    template = read("service")
    defaults = {name: p["Default"] for name, p in template["Parameters"].items() if p.get("Default")}
    return as_api(resolve(template["Resources"]["TaskDefinition"]["Properties"], defaults))


def as_api(node):
    """CloudFormation's spelling of keys turned into the API's, but for keys that are data."""
    if isinstance(node, list):
        return [as_api(item) for item in node]
    if isinstance(node, dict):
        keep = any(key.startswith("awslogs") for key in node)
        return {key if keep else key[0].lower() + key[1:]: as_api(item) for key, item in node.items()}
    return node
