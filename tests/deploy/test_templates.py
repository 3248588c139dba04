"""The templates by themselves: what the tools made for them say, and how they fit each other."""

import subprocess
import sys
from pathlib import Path

from deploy.conftest import IMAGES, OPERATOR
from deploy.templates import FOLDER, STACKS, read


def test_cfn_lint_finds_nothing():
    command = [Path(sys.executable).parent / "cfn-lint", *(FOLDER / f"{stack}.yaml" for stack in STACKS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_template_is_a_stack():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(STACKS)


def test_needed_parameters_are_outputs_of_earlier_stacks_or_the_operators():
    known = {"HostedZoneId", *OPERATOR, *IMAGES}
    for stack in STACKS:
        template = read(stack)
        needed = {name for name, p in template["Parameters"].items() if "Default" not in p}
        assert needed <= known, f"{stack}: {needed - known}"
        known |= set(template["Outputs"])


def test_no_two_stacks_have_an_output_of_the_same_name():
    names = [name for stack in STACKS for name in read(stack)["Outputs"]]
    assert len(names) == len(set(names))


def test_roles_name_their_resources():
    """An action on "*" is one that AWS does not let be narrowed."""
    unnarrowable = {
        "cloudformation:GetTemplateSummary",
        "ecr:GetAuthorizationToken",
        "ecs:DeregisterTaskDefinition",
        "ecs:DescribeTaskDefinition",
        "ecs:ListTaskDefinitions",
        "ecs:RegisterTaskDefinition",
    }
    statements = [
        (stack, name, statement)
        for stack in STACKS
        for name, resource in read(stack)["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
        for policy in resource["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert statements
    for stack, name, statement in statements:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not any("*" in action for action in actions), f"{stack}.{name}: {actions}"
        if statement["Resource"] == "*":
            assert set(actions) <= unnarrowable, f"{stack}.{name}: {actions}"
