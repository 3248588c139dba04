"""The AWS deployment in moto, an emulator, and the deployment's commands with stand-ins on PATH."""

import json
import subprocess
from types import SimpleNamespace

import pytest

from deploy.templates import FOLDER, STACKS, for_moto, read

REGION = "eu-central-1"
IMAGES = {
    "CoreImage": "registry.example.com/triggers/triggersd@sha256:" + "a" * 64,
    "BridgeImage": "registry.example.com/triggers/triggers-bridge@sha256:" + "b" * 64,
}
# What an operator says; everything else is a default or an output of an earlier stack.
OPERATOR = {
    "DomainName": "triggers.example.com",
    "AlarmEmail": "operators@example.com",
    "GitHubRepository": "owner/name",
}


class Emulated:
    """All stacks, made in moto in their order."""

    def __init__(self):
        self.values = {"Name": "triggers", **OPERATOR, **IMAGES}
        zone = self.client("route53").create_hosted_zone(Name="example.com", CallerReference="test")
        self.values["HostedZoneId"] = zone["HostedZone"]["Id"].split("/")[-1]
        certificate = self.client("acm").request_certificate(DomainName=OPERATOR["DomainName"])
        self.stand_ins = {
            "Certificate": certificate["CertificateArn"],
            "ParameterGroup": "default.postgres17",
        }
        self.templates = {stack: for_moto(read(stack), self.stand_ins) for stack in STACKS}
        for stack in STACKS:
            self.deploy(stack, self.client("cloudformation").create_stack)

    def client(self, service):
        import boto3  # here, as all workers load this file, and boto3 takes a second

        return boto3.client(service, REGION)

    def deploy(self, stack, call):
        template = self.templates[stack]
        given = [name for name in template["Parameters"] if name in self.values]
        call(
            StackName=f"triggers-{stack}",
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": n, "ParameterValue": self.values[n]} for n in given],
            Capabilities=["CAPABILITY_IAM"],
        )
        outputs = self.stack(stack).get("Outputs", [])
        self.values.update({output["OutputKey"]: output["OutputValue"] for output in outputs})

    def stack(self, stack):
        found = self.client("cloudformation").describe_stacks(StackName=f"triggers-{stack}")
        return found["Stacks"][0]

    def made(self, stack):
        """Physical ids by logical id."""
        found = self.client("cloudformation").list_stack_resources(StackName=f"triggers-{stack}")
        summaries = found["StackResourceSummaries"]
        return {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in summaries}

    def task_definition(self):
        client = self.client("ecs")
        service = client.describe_services(cluster="triggers", services=["triggers"])["services"][0]
        found = client.describe_task_definition(taskDefinition=service["taskDefinition"])
        return found["taskDefinition"]


@pytest.fixture(scope="module")
def emulated(monkeypatch_module):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch_module.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch_module.delenv(name, raising=False)
    from moto import mock_aws

    with mock_aws():
        yield Emulated()


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


# Says what it was called with; answers what the test has put into answers/, by words of the call.
STAND_IN = r"""#!/bin/bash
echo "${0##*/} $*" >>"$STAND_INS/calls"
for answer in "$STAND_INS"/answers/*; do
    [[ -e $answer && "${0##*/} $*" == *"$(sed -n 1p "$answer")"* ]] || continue
    status=$(sed -n 2p "$answer")
    if ((status)); then exec >&2; fi
    sed 1,2d "$answer"
    exit "$status"
done
"""


class Commands:
    """Runs a command of deploy/aws with stand-ins for the tools that it calls."""

    def __init__(self, folder, tools):
        self.folder = folder
        self.source = FOLDER
        (folder / "bin").mkdir(parents=True)
        (folder / "answers").mkdir()
        for tool in tools:
            path = folder / "bin" / tool
            path.write_text(STAND_IN)
            path.chmod(0o755)
        self.environment = {
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(folder),
            "STAND_INS": str(folder),
            "AWS_REGION": REGION,
            "SMOKE_SECONDS": "1",
        }

    def answer(self, words, text="", status=0):
        """Calls that hold these words answer so; those said last go first."""
        number = 999 - len(list((self.folder / "answers").iterdir()))
        (self.folder / "answers" / f"{number:03}").write_text(f"{words}\n{status}\n{text}")

    def answer_outputs(self, stack, **outputs):
        lines = "".join(f"{key}\t{value}\n" for key, value in outputs.items())
        words = f"describe-stacks --stack-name triggers-{stack} --output text --query Stacks[0].Out"
        self.answer(words, lines)

    def run(self, command, *arguments, stdin=""):
        done = subprocess.run(
            [self.source / command, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=600,
        )
        calls = self.folder / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return SimpleNamespace(status=done.returncode, out=done.stdout, err=done.stderr, calls=lines)


def answer_smoke(commands):
    """curl answers the five calls as a bridge that is well does."""
    event = '"event_id":"evt_01h455vb4pex5vsknk084sn02q"'
    payload = '"payload":{"number":12345678901234567890}'
    commands.answer("curl", f'{{{event},{payload},"status":"acknowledged"}}\n200')
    commands.answer("-X POST", f'{{{event},"status":"received"}}\n201')
    commands.answer("/health", '{"status":"healthy"}\n200')


@pytest.fixture
def commands(tmp_path):
    return Commands(tmp_path / "stand-ins", ("aws", "docker", "curl", "git"))


@pytest.fixture
def bare_commands(tmp_path):
    """Nothing but the machine's own tools is on PATH."""
    return Commands(tmp_path / "bare", ())


@pytest.fixture
def parameters(tmp_path):
    """A file of parameters, filled in."""
    path = tmp_path / "parameters"
    path.write_text(
        "# for a test\nentry.DomainName=triggers.example.com\nentry.HostedZoneId=Z1\n"
        "monitoring.AlarmEmail=a@example.com\nservice.CorsOrigins=https://a.example,https://b.example\n"
    )
    return path
