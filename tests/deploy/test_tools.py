"""What takes long or needs more tools, so only under tests/run --all: checkov on the templates,
actionlint on the workflow, and the commands with the real AWS command line against moto."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from deploy.conftest import IMAGES, REGION, answer_smoke
from deploy.templates import FOLDER, STACKS, for_moto, read
from support.bindings import extent
from support.network import free_port
from support.program import ROOT

pytestmark = pytest.mark.skipif(
    extent() != "all", reason="runs under tests/run --all"
)
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"


@pytest.fixture(scope="module")
def checkov():
    """The program, installed once into a virtual environment of its own."""
    folder, wanted = ROOT / "build" / "checkov", Path(__file__).with_name("checkov.txt")
    stamp = folder / "stamp"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "-q", "-r", wanted], check=True)
        stamp.write_text(wanted.read_text())
    return folder / "bin" / "checkov"


def test_checkov_finds_nothing_that_is_not_argued(checkov):
    command = [checkov, "--compact", "--skip-download", "--framework", "cloudformation", "-o", "json"]
    done = subprocess.run([*command, "-d", FOLDER], capture_output=True, text=True)
    found = json.loads(done.stdout)
    failed = [(check["check_id"], check["resource"]) for check in found["results"]["failed_checks"]]
    assert failed == [] and found["summary"]["passed"] > 100
    skipped = {
        (Path(check["file_path"]).stem, check["resource"].split(".")[1], check["check_id"])
        for check in found["results"]["skipped_checks"]
    }
    argued = {
        (stack, name, skip["id"])
        for stack in STACKS
        for name, resource in read(stack)["Resources"].items()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    }
    assert argued == skipped, "an argument for what checkov does not find"


@pytest.fixture(scope="module")
def actionlint():
    """The program, built once."""
    if not shutil.which("go"):
        pytest.skip("actionlint is built with Go, which is not installed")
    folder = ROOT / "build" / "tools"
    subprocess.run(["go", "install", ACTIONLINT], env={**os.environ, "GOBIN": str(folder)}, check=True)
    return folder / "actionlint"


def test_actionlint_finds_nothing(actionlint):
    workflows = list(ROOT.glob(".github/workflows/*.yaml"))
    done = subprocess.run([actionlint, *workflows], capture_output=True, text=True)
    assert workflows
    assert done.returncode == 0, done.stdout


# Moto forgets the outputs of stacks that change sets make, as `cloudformation deploy` does: so that
# one command is carried out with create-stack or update-stack. Everything else is the real one.
AWS = """#!{python}
import os, sys
import boto3
from botocore.exceptions import ClientError

words = sys.argv[1:]
if words[:2] != ["cloudformation", "deploy"]:
    os.execv({aws!r}, ["aws", *words])
client = boto3.client("cloudformation")
first = words.index("--parameter-overrides") + 1
pairs = [word.split("=", 1) for word in words[first : words.index("--capabilities")]]
made = dict(
    StackName=words[words.index("--stack-name") + 1],
    TemplateBody=open(words[words.index("--template-file") + 1]).read(),
    Parameters=[dict(ParameterKey=key, ParameterValue=value) for key, value in pairs],
    Capabilities=["CAPABILITY_IAM"],
)
try:
    client.describe_stacks(StackName=made["StackName"])
except ClientError:
    client.create_stack(**made)
else:
    client.update_stack(**made)
"""


@pytest.fixture
def account(commands, monkeypatch):
    """The commands, with the real aws, on an empty account in moto; templates as moto can make them."""
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    httpx.post(f"http://127.0.0.1:{port}/moto-api/reset", trust_env=False)
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    commands.environment.update(settings)
    real = str(Path(sys.executable).parent / "aws")
    (commands.folder / "bin" / "aws").write_text(AWS.format(python=sys.executable, aws=real))
    certificate = client("acm").request_certificate(DomainName="triggers.example.com")
    stand_ins = {"Certificate": certificate["CertificateArn"], "ParameterGroup": "default.postgres17"}
    commands.source = commands.folder / "deploy"
    shutil.copytree(FOLDER, commands.source)
    for stack in STACKS:
        text = yaml.safe_dump(for_moto(read(stack), stand_ins), sort_keys=False)
        (commands.source / f"{stack}.yaml").write_text(text)
    yield commands
    server.stop()


def client(service):
    import boto3  # here, as all workers load this file, and boto3 takes a second

    return boto3.client(service)


def stacks():
    """The names of the stacks that are there."""
    found = client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"] for stack in found if stack["StackStatus"] != "DELETE_COMPLETE"}


def test_deploy_status_and_destroy_an_account(account, parameters):
    zone = client("route53").create_hosted_zone(Name="example.com", CallerReference="test")
    text = parameters.read_text().replace("Z1", zone["HostedZone"]["Id"].split("/")[-1])
    parameters.write_text(text + "pipeline.GitHubRepository=owner/name\n")
    answer_smoke(account)
    images = ("--core-image", IMAGES["CoreImage"], "--bridge-image", IMAGES["BridgeImage"])
    done = account.run("deploy", "--parameters", parameters, *images)
    assert done.status == 0, done.out + done.err
    assert stacks() == {f"triggers-{stack}" for stack in STACKS}

    status = account.run("status")
    assert status.status == 0, status.err
    assert IMAGES["CoreImage"] in status.out and "https://triggers.example.com" in status.out

    # Moto does not find the order in which a network can be deleted; everything before it goes.
    gone = account.run("destroy", "--yes")
    assert gone.status != 0 and "DependencyViolation" in gone.err, gone.out + gone.err
    assert stacks() <= {"triggers-network", "triggers-registry"}


def test_aws_takes_the_words_of_a_deployment(account, parameters):
    """The one call that the test above does not make with the real aws."""
    shown = account.run("deploy", "--only", "registry", "--dry-run", "--parameters", parameters).out
    words = shlex.split(next(line for line in shown.splitlines() if "cloudformation deploy" in line))
    aws = Path(sys.executable).parent / "aws"
    done = subprocess.run([aws, *words[2:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (stack,) = client("cloudformation").describe_stacks(StackName="triggers-registry")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
