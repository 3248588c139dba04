"""The stacks made in moto, as far as it goes; deploy/templates.py lists what it cannot make."""

import pytest

from deploy.templates import STACKS, UNKNOWN_TYPES, read, resolve


def test_list_of_what_moto_cannot_make_is_true():
    from moto import mock_aws
    from moto.cloudformation.parsing import resource_class_from_type

    types = {r["Type"] for stack in STACKS for r in read(stack)["Resources"].values()}
    with mock_aws():
        unknown = {kind for kind in types if resource_class_from_type(kind) is None}
    assert unknown == UNKNOWN_TYPES


@pytest.mark.parametrize("stack", STACKS)
def test_stack_is_made(emulated, stack):
    assert emulated.stack(stack)["StackStatus"] == "CREATE_COMPLETE"
    assert set(emulated.made(stack)) == set(emulated.templates[stack]["Resources"])
    outputs = {output["OutputKey"] for output in emulated.stack(stack)["Outputs"]}
    assert outputs == set(read(stack)["Outputs"])


def test_private_subnets_are_in_two_zones_and_have_no_way_out(emulated):
    client, made = emulated.client("ec2"), emulated.made("network")
    (table,) = client.describe_route_tables(RouteTableIds=[made["PrivateRoutes"]])["RouteTables"]
    targets = [route["GatewayId"] for route in table["Routes"]]
    assert all(target == "local" or target.startswith("vpce-") for target in targets), targets
    routes = [
        resource["Properties"]
        for resource in read("network")["Resources"].values()
        if resource["Type"] == "AWS::EC2::SubnetRouteTableAssociation"
    ]
    private = {r["SubnetId"]["Ref"] for r in routes if r["RouteTableId"]["Ref"] == "PrivateRoutes"}
    for kind in ("Task", "Database"):
        subnets = emulated.values[f"{kind}Subnets"].split(",")
        zones = {s["AvailabilityZone"] for s in client.describe_subnets(SubnetIds=subnets)["Subnets"]}
        assert len(zones) == 2
        assert {made[name] for name in private if name.startswith(kind)} == set(subnets)


def test_who_may_connect_to_whom(emulated):
    def sources(group):
        found = emulated.client("ec2").describe_security_groups(GroupIds=[emulated.values[group]])
        return {
            (port, source)
            for rule in found["SecurityGroups"][0]["IpPermissions"]
            for port in range(rule["FromPort"], rule["ToPort"] + 1)
            for source in [pair["GroupId"] for pair in rule["UserIdGroupPairs"]]
            + [block["CidrIp"] for block in rule["IpRanges"]]
        }

    group = emulated.values
    assert sources("PublicBalancerGroupId") == {(443, "0.0.0.0/0"), (80, "0.0.0.0/0")}
    assert sources("RpcBalancerGroupId") == {(7300, "10.0.0.0/8"), (443, "10.0.0.0/8")}
    assert sources("TaskGroupId") == {
        (8000, group["PublicBalancerGroupId"]),
        (7300, group["RpcBalancerGroupId"]),
        (7301, group["RpcBalancerGroupId"]),
    }
    assert sources("DatabaseGroupId") == {(5432, group["TaskGroupId"])}


def test_database_is_guarded(emulated):
    (database,) = emulated.client("rds").describe_db_instances()["DBInstances"]
    assert database["StorageEncrypted"] and database["MultiAZ"]
    assert not database["PubliclyAccessible"]
    assert database["BackupRetentionPeriod"] == 14
    resources = read("database")["Resources"]
    assert resources["ParameterGroup"]["Properties"]["Parameters"]["rds.force_ssl"] == "1"
    assert resources["Database"]["Properties"]["DeletionProtection"]
    assert resources["Database"]["Properties"]["ManageMasterUserPassword"]
    assert resources["Database"]["DeletionPolicy"] == "Snapshot"


def test_public_listeners_are_https_and_a_redirect(emulated):
    balancer = emulated.values["PublicBalancerArn"]
    found = emulated.client("elbv2").describe_listeners(LoadBalancerArn=balancer)
    listeners = {listener["Port"]: listener for listener in found["Listeners"]}
    assert listeners[443]["Protocol"] == "HTTPS"
    assert listeners[443]["DefaultActions"][0]["TargetGroupArn"] == emulated.values["BridgeTargets"]
    (redirect,) = listeners[80]["DefaultActions"]
    assert redirect["Type"] == "redirect" and redirect["RedirectConfig"]["Protocol"] == "HTTPS"
    assert set(listeners) == {80, 443}
    rules = emulated.client("elbv2").describe_rules(ListenerArn=listeners[443]["ListenerArn"])["Rules"]
    (kept,) = [rule for rule in rules if not rule["IsDefault"]]
    assert kept["Conditions"][0]["PathPatternConfig"]["Values"] == ["/metrics"]
    assert kept["Actions"][0]["FixedResponseConfig"]["StatusCode"] == "404"


def test_binary_protocol_is_internal_and_encrypted(emulated):
    client, values = emulated.client("elbv2"), emulated.values
    arn = values["RpcBalancerArn"]
    (balancer,) = client.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
    assert balancer["Scheme"] == "internal"
    assert balancer["SecurityGroups"] == [values["RpcBalancerGroupId"]]
    listeners = client.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    ways = {listener["Port"]: listener["DefaultActions"][0]["TargetGroupArn"] for listener in listeners}
    assert ways == {7300: values["CoreTargets"], 443: values["WebSocketCoreTargets"]}
    resources = read("entry")["Resources"]
    assert resources["RpcBalancer"]["Properties"]["Type"] == "network"
    for name in ("RpcListener", "WebSocketListener"):
        assert resources[name]["Properties"]["Protocol"] == "TLS"


def test_cores_are_checked_over_tcp(emulated):
    """Those for WebSocket too, to spare the images' nng there."""
    targets = [emulated.values[name] for name in ("CoreTargets", "WebSocketCoreTargets")]
    found = emulated.client("elbv2").describe_target_groups(TargetGroupArns=targets)["TargetGroups"]
    checks = {group["Port"]: (group["HealthCheckProtocol"], group["HealthCheckPort"]) for group in found}
    assert checks == {7300: ("TCP", "traffic-port"), 7301: ("TCP", "7300")}


def test_service_puts_both_containers_behind_their_balancers(emulated):
    found = emulated.client("ecs").describe_services(cluster="triggers", services=["triggers"])
    assert found["services"][0]["status"] == "ACTIVE"
    properties = resolve(read("service")["Resources"]["Service"]["Properties"], {})
    assert properties["LaunchType"] == "FARGATE"
    assert properties["LoadBalancers"] == [
        {"ContainerName": "bridge", "ContainerPort": 8000, "TargetGroupArn": "<BridgeTargets>"},
        {"ContainerName": "core", "ContainerPort": 7300, "TargetGroupArn": "<CoreTargets>"},
        {"ContainerName": "core", "ContainerPort": 7301, "TargetGroupArn": "<WebSocketCoreTargets>"},
    ]
    breaker = properties["DeploymentConfiguration"]["DeploymentCircuitBreaker"]
    assert breaker == {"Enable": True, "Rollback": True}
