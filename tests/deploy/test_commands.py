"""The commands of deploy/aws with stand-ins for aws, docker and curl: what they call, in which order,
and what they say when something is missing or fails."""

import shutil

import pytest

from deploy.conftest import answer_smoke
from deploy.templates import FOLDER, STACKS

COMMANDS = ("deploy", "status", "logs", "rollback", "destroy")
OUTPUTS = {
    "registry": {
        "CoreRepository": "host/triggers/triggersd",
        "BridgeRepository": "host/triggers/triggers-bridge",
    },
    "network": {"VpcId": "vpc-1", "TaskSubnets": "subnet-1,subnet-2"},
    "database": {"DatabaseId": "triggers-1", "DatabaseHost": "db.internal"},
    "entry": {
        "ApiUrl": "https://triggers.example.com",
        "RpcUrl": "tls+tcp://rpc.triggers.example.com:7300",
        "WebSocketRpcUrl": "wss://rpc.triggers.example.com/rpc",
        "BridgeTargets": "arn:bridges",
        "CoreTargets": "arn:cores",
        "WebSocketCoreTargets": "arn:websocket",
        "PublicBalancerArn": "arn:public",
        "RpcBalancerArn": "arn:rpc",
        "AccessLogBucket": "logs",
    },
    "frontend": {"FrontendOrigin": "https://cdn.example.com", "FrontendBucket": "web"},
    "service": {
        "ClusterName": "triggers",
        "ServiceName": "triggers",
        "TaskFamily": "triggers",
        "LogGroupName": "/triggers/service",
    },
    "monitoring": {"AlarmTopicArn": "arn:topic"},
}


@pytest.fixture
def deployed(commands):
    """Everything is there; the API answers as it should."""
    for stack, outputs in OUTPUTS.items():
        commands.answer_outputs(stack, **outputs)
    answer_smoke(commands)
    return commands


def with_images(parameters, core="new-core@sha256:1", bridge="new-bridge@sha256:1"):
    return ("--parameters", parameters, "--core-image", core, "--bridge-image", bridge)


def deployments(done):
    """The stacks that were deployed, in their order."""
    words = "cloudformation deploy --stack-name triggers-"
    return [call.split(words)[1].split()[0] for call in done.calls if words in call]


@pytest.mark.parametrize("command", COMMANDS)
def test_dry_run_calls_nothing_and_needs_nothing(bare_commands, commands, parameters, command):
    arguments = ("--parameters", parameters) if command == "deploy" else ()
    done = bare_commands.run(command, "--dry-run", *arguments)
    assert done.status == 0, done.err
    assert any(line.startswith("+ aws ") for line in done.out.splitlines())
    assert commands.run(command, "--dry-run", *arguments).calls == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_the_usage(bare_commands, command):
    done = bare_commands.run(command, "--help")
    assert done.status == 0 and done.out.startswith(f"Usage: {command} ")


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_argument_is_named(bare_commands, command):
    done = bare_commands.run(command, "--frobnicate")
    assert done.status == 1 and "--frobnicate" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_tool_is_named(bare_commands, command):
    done = bare_commands.run(command)
    assert done.status == 1 and "aws is not installed" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_region_is_said(commands, command):
    del commands.environment["AWS_REGION"]
    done = commands.run(command)
    assert done.status == 1 and "no region; set AWS_REGION" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_credentials_are_said(commands, command):
    commands.answer("sts get-caller-identity", "\nThe token has expired", status=255)
    done = commands.run(command)
    assert done.status == 1 and "no valid credentials" in done.err
    assert done.err.endswith("AWS says: The token has expired\n")


def test_deploy_says_which_parameter_is_missing(commands, parameters):
    parameters.write_text(parameters.read_text().replace("monitoring.", "#"))
    done = commands.run("deploy", "--parameters", parameters)
    assert done.status == 1 and "monitoring.AlarmEmail is not set" in done.err
    assert deployments(done) == []


@pytest.mark.parametrize("line", ["service.MinTask=3", "servcie.MinTasks=3", "MinTasks=3", "3"])
def test_deploy_says_which_parameter_no_template_has(commands, parameters, line):
    parameters.write_text(parameters.read_text() + f"\n{line}")
    done = commands.run("deploy", "--parameters", parameters)
    assert done.status == 1 and f"there is no parameter {line.split('=')[0]}" in done.err
    assert deployments(done) == []


def test_deploy_takes_a_last_line_without_an_end(deployed, parameters):
    parameters.write_text(parameters.read_text() + "service.MinTasks=3")
    done = deployed.run("deploy", "--only", "service", *with_images(parameters))
    assert done.status == 0, done.err
    assert any("MinTasks=3" in call for call in done.calls)


def test_deploy_makes_the_stacks_in_order_and_smoke_tests(deployed, parameters):
    done = deployed.run("deploy", *with_images(parameters))
    assert done.status == 0, done.err
    assert deployments(done) == [stack for stack in STACKS if stack != "pipeline"]
    service = next(call for call in done.calls if "deploy --stack-name triggers-service" in call)
    for parameter in (
        "CoreImage=new-core@sha256:1",
        "BridgeImage=new-bridge@sha256:1",
        "CorsOrigins=https://a.example,https://b.example",
        "FrontendOrigin=https://cdn.example.com",
        "DatabaseHost=db.internal",
        "TaskSubnets=subnet-1,subnet-2",
    ):
        assert f" {parameter} " in service
    calls = [call for call in done.calls if call.startswith("curl") and " -X " in call]
    assert [call.split(" -X ")[1].split()[0] for call in calls] == ["GET", "POST", "GET", "GET", "DELETE"]
    assert "https://triggers.example.com" in done.out


KEY_MADE = "keys generate"
SECRET = "arn:aws:secretsmanager:eu-central-1:1:secret:triggers/operator-key"


def test_deploy_makes_the_operators_key_once(deployed, parameters):
    deployed.answer("get-secret-value", "An error occurred (ResourceNotFoundException): none", 254)
    deployed.answer("create-secret", SECRET)
    deployed.answer(KEY_MADE, "trg_made")
    done = deployed.run("deploy", *with_images(parameters))
    assert done.status == 0, done.err
    assert any(call.startswith("docker run") and "new-core@sha256:1" in call for call in done.calls)
    assert any(f" OperatorKeySecretArn={SECRET} " in call for call in done.calls)
    assert not any("trg_" in call for call in done.calls), "a key among the arguments"
    deployed.answer("get-secret-value", f"{SECRET}\ttrg_made")
    done = deployed.run("deploy", *with_images(parameters))
    assert done.status == 0, done.err
    assert not any(KEY_MADE in call or "create-secret" in call for call in done.calls)
    assert any(f" OperatorKeySecretArn={SECRET} " in call for call in done.calls)


def test_a_secret_that_cannot_be_read_is_said(deployed, parameters):
    """None is made in its place, and nothing is deployed that would be called without a key."""
    deployed.answer("get-secret-value", "An error occurred (AccessDeniedException): not you", 254)
    for command in (("deploy", "--only", "service", *with_images(parameters)), ("rollback", "1")):
        revisions(deployed, "one", "two")
        done = deployed.run(*command)
        assert done.status == 1 and "operator-key cannot be read" in done.err and "not you" in done.err
        assert not any("create-secret" in call or "deploy --stack-name" in call for call in done.calls)


def test_deploy_without_keys_makes_none(deployed, parameters):
    parameters.write_text(parameters.read_text() + "service.Auth=off\n")
    done = deployed.run("deploy", *with_images(parameters))
    assert done.status == 0, done.err
    assert any(" Auth=off " in call for call in done.calls)
    assert not any("secretsmanager" in call for call in done.calls)


@pytest.fixture
def sources(deployed):
    """A copy of the commands whose deploy/images/build only says what it built."""
    deploy = deployed.folder / "sources" / "deploy"
    shutil.copytree(FOLDER, deploy / "aws")
    build = deploy / "images" / "build"
    build.parent.mkdir()
    build.write_text(
        '#!/bin/bash\necho "build $*" >>"$STAND_INS/calls"\necho triggersd:1\necho triggers-bridge:1\n'
    )
    build.chmod(0o755)
    deployed.source = deploy / "aws"
    return deployed


@pytest.mark.parametrize("architecture, platform", [("X86_64", "linux/amd64"), ("ARM64", "linux/arm64")])
def test_deploy_builds_and_names_images_by_digest(sources, parameters, architecture, platform):
    for name in ("triggersd", "triggers-bridge"):
        digests = f"other@sha256:0\nhost/triggers/{name}@sha256:of-{name}\n"
        sources.answer(f"image inspect host/triggers/{name}:", digests)
    sources.answer("git -C", "abcdef123456\n")
    parameters.write_text(parameters.read_text() + f"service.Architecture={architecture}\n")
    done = sources.run("deploy", "--parameters", parameters)
    assert done.status == 0, done.err
    assert f"build --engine docker --platform {platform}" in done.calls
    pushed = [call.split()[-1] for call in done.calls if call.startswith("docker push")]
    assert [name.split(":")[0] for name in pushed] == list(OUTPUTS["registry"].values())
    assert "docker login --username AWS --password-stdin host" in done.calls
    for image in ("CoreImage=host/triggers/triggersd@sha256:of-triggersd", "@sha256:of-triggers-bridge"):
        assert any(image in call for call in done.calls if "deploy --stack-name triggers-service" in call)


def test_deploy_stops_when_an_image_cannot_be_pushed(sources, parameters):
    sources.answer("git -C", "abcdef123456\n")
    sources.answer("docker push", status=1)
    done = sources.run("deploy", "--only", "service", "--parameters", parameters)
    assert done.status == 1 and "triggersd:1 could not be pushed" in done.err
    assert deployments(done) == []


def test_deploy_knows_its_stacks(commands):
    done = commands.run("deploy", "--only", "databse")
    assert done.status == 1 and "there is no stack databse; there are: registry" in done.err


def test_deploy_makes_the_pipeline_when_it_is_asked_for(deployed, parameters):
    parameters.write_text(parameters.read_text() + "pipeline.GitHubRepository=owner/name\n")
    done = deployed.run("deploy", *with_images(parameters))
    assert done.status == 0, done.err
    assert deployments(done) == list(STACKS)


def test_deploy_only_touches_what_it_was_told(deployed, parameters):
    done = deployed.run("deploy", "--only", "database", "--parameters", parameters)
    assert done.status == 0, done.err
    assert deployments(done) == ["database"]
    assert not any(call.startswith("docker") for call in done.calls)


def test_deploy_puts_back_what_ran_before_when_the_calls_fail(deployed, parameters):
    deployed.answer("ParameterKey=='CoreImage'", "old-core@sha256:0\n")
    deployed.answer("ParameterKey=='BridgeImage'", "old-bridge@sha256:0\n")
    deployed.answer("-X DELETE", '{"detail":"gone wrong"}\n500')
    done = deployed.run("deploy", *with_images(parameters))
    assert done.status == 1
    first, second = (call for call in done.calls if "deploy --stack-name triggers-service" in call)
    assert "CoreImage=new-core@sha256:1" in first
    assert "CoreImage=old-core@sha256:0 BridgeImage=old-bridge@sha256:0" in second
    assert "wanted 200" in done.err and "going back to old-core@sha256:0" in done.out
    assert "monitoring" not in deployments(done)


def test_deploy_says_when_the_service_does_not_start(deployed, parameters):
    deployed.answer("cloudformation deploy --stack-name triggers-service", status=255)
    done = deployed.run("deploy", *with_images(parameters))
    assert done.status == 1 and "did not start" in done.err
    assert not any(" -X " in call for call in done.calls)


def test_deploy_takes_both_images_or_none(commands, parameters):
    done = commands.run("deploy", "--parameters", parameters, "--core-image", "a@sha256:1")
    assert done.status == 1 and "both" in done.err


def test_status_shows_what_runs(deployed):
    deployed.answer("services[0].deployments", "PRIMARY\tCOMPLETED\t2\t2\tarn:triggers:7\n")
    deployed.answer("cloudwatch describe-alarms", "triggers-latency\tslow\n")
    done = deployed.run("status")
    assert done.status == 0, done.err
    addresses = ("https://triggers.example.com", "tls+tcp://rpc.", "wss://rpc.")
    for text in ("PRIMARY\tCOMPLETED\t2\t2", "triggers-latency", *addresses):
        assert text in done.out
    for target in ("arn:bridges", "arn:cores", "arn:websocket"):
        assert any(f"describe-target-health --target-group-arn {target}" in call for call in done.calls)


@pytest.mark.parametrize("command", ["status", "logs"])
def test_nothing_deployed_is_said(commands, command):
    commands.answer("aws --version", "aws-cli/2.31.0")
    commands.answer("--stack-name triggers-service", status=255)
    done = commands.run(command)
    assert done.status == 1 and "there is no service yet" in done.err


def test_logs_follows_one_container(deployed):
    deployed.answer("aws --version", "aws-cli/2.31.0")
    done = deployed.run("logs", "core", "--since", "2h", "--follow", "--filter", "error")
    assert done.status == 0, done.err
    (call,) = (call for call in done.calls if "logs tail" in call)
    assert call == (
        "aws logs tail /triggers/service --since 2h --format short --log-stream-name-prefix core/"
        " --follow --filter-pattern error"
    )


def test_logs_needs_version_2(deployed):
    deployed.answer("aws --version", "aws-cli/1.45.0")
    done = deployed.run("logs")
    assert done.status == 1 and "version 2" in done.err


def revisions(commands, *images):
    """Task definitions 1, 2, … with these core images; the last is in service."""
    names = [f"arn:triggers:{number}" for number in range(len(images), 0, -1)]
    commands.answer("ecs list-task-definitions", "\t".join(names) + "\n")
    for number, image in enumerate(images, 1):
        for name in (f"arn:triggers:{number}", f"triggers:{number}"):
            commands.answer(f"--task-definition {name} ", f"bridge@{image}\tcore@{image}\n")
    commands.answer("services[0].taskDefinition", names[0] + "\n")


def test_rollback_takes_the_last_other_images(deployed):
    """Revision 3 has the same images as 4, which is in service: it is no way back."""
    revisions(deployed, "one", "two", "three", "three")
    done = deployed.run("rollback")
    assert done.status == 0, done.err
    assert deployments(done) == ["service"]
    assert any("get-secret-value" in call for call in done.calls)
    assert any("CoreImage=core@two BridgeImage=bridge@two" in call for call in done.calls)
    assert any(call.startswith("curl") and "-X DELETE" in call for call in done.calls)


def test_rollback_takes_the_revision_it_was_told(deployed):
    revisions(deployed, "one", "two", "three")
    done = deployed.run("rollback", "1")
    assert done.status == 0, done.err
    assert any("CoreImage=core@one BridgeImage=bridge@one" in call for call in done.calls)


def test_rollback_without_a_way_back_changes_nothing(deployed):
    revisions(deployed, "one")
    done = deployed.run("rollback")
    assert done.status == 1 and "no images before" in done.err
    assert deployments(done) == []


def test_destroy_asks_first(deployed):
    for answer in ("", "yes\n"):
        done = deployed.run("destroy", stdin=answer)
        assert done.status == 1 and "nothing was deleted" in done.err
        assert not any("delete" in call or " rm " in call for call in done.calls)


def test_destroy_deletes_in_reverse_order_and_names_the_snapshot(deployed):
    deployed.answer("rds describe-db-snapshots", "triggers-database-snapshot-abc\t2026-11-24\n")
    deployed.answer("describe-stacks --stack-name triggers-pipeline", status=255)
    done = deployed.run("destroy", stdin="triggers\n")
    assert done.status == 0, done.err
    words = "cloudformation delete-stack --stack-name triggers-"
    deleted = [call.split(words)[1] for call in done.calls if words in call]
    assert deleted == [stack for stack in reversed(STACKS) if stack != "pipeline"]
    unguarded = [call.split()[2] for call in done.calls if "deletion" in call]
    assert unguarded == ["modify-load-balancer-attributes"] * 2 + ["modify-db-instance"]
    assert "triggers-database-snapshot-abc" in done.out


def test_destroy_stops_at_what_cannot_be_deleted(deployed):
    deployed.answer("wait stack-delete-complete --stack-name triggers-service", status=255)
    done = deployed.run("destroy", "--yes")
    assert done.status == 1 and "triggers-service could not be deleted" in done.err
    assert not any("delete-stack --stack-name triggers-database" in call for call in done.calls)
