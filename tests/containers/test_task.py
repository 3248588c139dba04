"""The pair under the limits of its Fargate task: what it may do, the REST suite, the database that goes
and comes, the end."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from containers.task import CPUS, MEMORY_MIB, STOP_SECONDS
from rest.checks import create
from support.program import ROOT

PERIOD_US = 100000  # the kernel's default
TESTS_OF_THE_BRIDGE = 300  # the REST suite has more that need nothing else


@pytest.mark.parametrize("name", ["core", "bridge"])
def test_runs_as_nobody_who_may_do_anything(task, engine, name):
    status = Path(f"/proc/{engine.pid(name)}/status").read_text()
    values = dict(line.split(":\t", 1) for line in status.splitlines())
    assert values["Uid"].split() == values["Gid"].split() == ["10001"] * 4
    assert all(int(values[f"Cap{kind}"], 16) == 0 for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
    assert values["NoNewPrivs"] == "1"
    assert values["NSpid"].split()[-1] == "1"
    mounts = Path(f"/proc/{engine.pid(name)}/mountinfo").read_text().splitlines()
    (root,) = [mount.split() for mount in mounts if mount.split()[4] == "/"]
    assert "ro" in root[5].split(",")


def test_the_limits_are_those_of_the_task(task):
    memory = task.limit("core", "memory.limit_in_bytes", "memory.max")
    assert int(memory) == MEMORY_MIB << 20
    assert int(task.limit("core", "cpu.cfs_quota_us", "cpu.max")) == CPUS * PERIOD_US


@pytest.mark.parametrize("name", ["core", "bridge"])
def test_the_health_check_of_the_image_passes(task, name):
    assert task.healthy(name)


def test_the_rest_suite_passes_through_the_published_port(task):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "rest"],
        cwd=ROOT / "tests",
        env={**os.environ, "TRIGGERS_REST_PORT": str(task.port)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    print(done.stdout.splitlines()[-1])
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) >= TESTS_OF_THE_BRIDGE


def test_a_database_that_goes_and_comes_back(task, engine):
    event_id = create(task.http, source="before")
    engine("stop", "--time", STOP_SECONDS, "postgres")
    task.wait_ready(503)
    answer = task.http.get(f"/api/v1/events/{event_id}")
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    assert task.healthy("core") and task.healthy("bridge"), "restarting them would not help"
    engine("start", "postgres")
    task.wait_ready()
    assert task.http.get(f"/api/v1/events/{event_id}").json()["source"] == "before"
    create(task.http, source="after")


def test_sigterm_ends_both_cleanly_and_nothing_is_lost(task, engine):
    event_id = create(task.http)
    for name in ("bridge", "core"):
        engine("stop", "--time", STOP_SECONDS, name)
        assert engine.inspect(name, "{{.State.ExitCode}}") == "0"  # 137 when it had to be killed
        assert '"message":"stopped"' in engine("logs", name).splitlines()[-1]
    assert not task.healthy("core") and not task.healthy("bridge")
    engine("start", "core", "bridge")
    task.wait_ready()
    assert task.http.get(f"/api/v1/events/{event_id}").status_code == 200
