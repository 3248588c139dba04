"""deploy/aws/smoke against a real bridge, and against one that is not well."""

import subprocess

import httpx
import pytest

from deploy.templates import FOLDER
from support.network import free_port


@pytest.fixture(scope="module")
def store_name():
    return "sqlite"


def smoke(url):
    environment = {"PATH": "/usr/bin:/bin", "SMOKE_SECONDS": "2"}
    return subprocess.run([FOLDER / "smoke", url], env=environment, capture_output=True, text=True)


def test_five_calls_of_a_real_bridge(bridge, http):
    done = smoke(bridge.url)
    assert done.returncode == 0, done.stderr
    assert http.get("/api/v1/inbox").json()["events"] == []
    (event,) = http.get("/api/v1/inbox", params={"status": "acknowledged"}).json()["events"]
    assert event["source"] == "smoke-test"


def test_bridge_without_a_core_fails(start_bridge):
    bridge = start_bridge(None, TRIGGERS_CORE=f"ws://127.0.0.1:{free_port()}/rpc", TRIGGERS_CALL_TIMEOUT=500)
    assert httpx.get(f"{bridge.url}/health", trust_env=False).status_code == 200
    done = smoke(bridge.url)
    assert done.returncode == 1 and "POST /api/v1/events: wanted 201" in done.stderr


def test_nobody_there_fails():
    done = smoke(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1 and "does not answer" in done.stderr
