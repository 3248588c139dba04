"""The systemd units: valid, and as closed as deploy/README.md says."""

import re
import subprocess

import pytest

from support.program import ROOT

UNITS = ROOT / "deploy" / "systemd"
GUIDE = (ROOT / "deploy" / "README.md").read_text()


@pytest.mark.parametrize("name", ["triggersd", "triggers-bridge"])
def test_unit_is_as_closed_as_the_guide_says(name):
    words = ["systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / f"{name}.service"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    exposure = float(re.search(r"Overall exposure level .*: ([\d.]+)", done.stdout).group(1))
    stated = float(re.search(rf"`{name}.service` (\d+\.\d+)", GUIDE).group(1))
    assert exposure <= stated, done.stdout


@pytest.mark.parametrize("name", ["triggersd", "triggers-bridge"])
def test_unit_has_no_faults(name, tmp_path):
    """With a program that is there, systemd has nothing to say about it."""
    text = (UNITS / f"{name}.service").read_text()
    assert f"/usr/bin/{name}\n" in text
    unit = tmp_path / f"{name}.service"
    unit.write_text(re.sub(r"(ExecStart=).*", r"\1/bin/true", text))
    words = ["systemd-analyze", "verify", "--man=no", unit]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and name not in done.stderr, done.stderr
