"""deploy/aws/smoke against a real bridge, and against one that is not well."""

import subprocess

import httpx
import pytest

from deploy.templates import FOLDER
from support.keys import OPERATOR_KEY
from support.network import free_port


@pytest.fixture(scope="module")
def store_name():
    return "sqlite"


def smoke(*words, **more):
    environment = {"PATH": "/usr/bin:/bin", "SMOKE_SECONDS": "2", **more}
    return subprocess.run([FOLDER / "smoke", *words], env=environment, capture_output=True, text=True)


def test_five_calls_of_a_real_bridge(bridge, http):
    done = smoke(bridge.url)
    assert done.returncode == 0, done.stderr
    assert http.get("/api/v1/inbox").json()["events"] == []
    (event,) = http.get("/api/v1/inbox", params={"status": "acknowledged"}).json()["events"]
    assert event["source"] == "smoke-test"


def test_five_calls_with_the_operators_key(start_core, start_bridge):
    bridge = start_bridge(start_core(TRIGGERS_AUTH="required", TRIGGERS_OPERATOR_KEY=OPERATOR_KEY))
    done = smoke(bridge.url, TRIGGERS_API_KEY=OPERATOR_KEY)
    assert done.returncode == 0, done.stderr
    assert OPERATOR_KEY not in done.stdout + done.stderr
    done = smoke(bridge.url)
    assert done.returncode == 1 and "wanted 201" in done.stderr and "KEY_MISSING" in done.stderr


def test_bridge_without_a_core_fails(start_bridge):
    bridge = start_bridge(None, TRIGGERS_CORE=f"ws://127.0.0.1:{free_port()}/rpc", TRIGGERS_CALL_TIMEOUT=500)
    assert httpx.get(f"{bridge.url}/health", trust_env=False).status_code == 200
    done = smoke(bridge.url)
    assert done.returncode == 1 and "POST /api/v1/events: wanted 201" in done.stderr


def test_nobody_there_fails():
    done = smoke(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1 and "does not answer" in done.stderr


def test_dry_run_shows_the_calls_and_makes_none(bridge, http):
    before = http.get("/api/v1/inbox", params={"status": "acknowledged"}).json()
    done = smoke("--dry-run", bridge.url)
    assert done.returncode == 0 and done.stderr == ""
    shown = [line.rsplit("/", 1)[-1] for line in done.stdout.splitlines()]
    assert all(line.startswith("+ curl ") for line in done.stdout.splitlines())
    assert shown == ["health", "health", "events", "inbox?status=pending&limit=1000'", "EVENT_ID", "EVENT_ID"]
    assert http.get("/api/v1/inbox", params={"status": "acknowledged"}).json() == before


def test_without_a_url_says_so():
    done = smoke()
    assert done.returncode == 1 and "which URL?" in done.stderr


def test_unknown_argument_is_named():
    done = smoke("--frobnicate", "http://127.0.0.1:1")
    assert done.returncode == 1 and "--frobnicate" in done.stderr
