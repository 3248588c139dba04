"""64 file descriptors, as `ulimit -n 64` gives, and clients that want them all and do nothing."""

import contextlib
import resource
import socket

import httpx
import pynng
import pytest

from support.network import free_url, wait_until
from support.rpc import RpcError

FILES = 72
CLIENTS = 200


@pytest.fixture
def crowd():
    """crowd(url): connections, more than there are descriptors, that stay until the end of the test."""
    with contextlib.ExitStack() as stack:

        def crowd(url):
            address = ("127.0.0.1", httpx.URL(url).port)
            for _ in range(CLIENTS):
                stack.enter_context(socket.create_connection(address, 10))

        yield crowd


def creates(rpc):
    try:
        return rpc.create()
    except (RpcError, pynng.NNGException):
        return None


def posts(bridge):
    try:
        event = {"source": "crm", "event_type": "lead", "payload": {}}
        return httpx.post(f"{bridge.url}/api/v1/events", json=event, trust_env=False).status_code == 201
    except httpx.HTTPError:
        return False


def test_core_keeps_what_its_store_needs(own_postgres, start_core, crowd):
    core = start_core(DATABASE_URL=own_postgres.create_database(), files=FILES)
    with core.client() as rpc:
        assert rpc.create()
        crowd(core.url)
        own_postgres.kill()
        own_postgres.start()
        wait_until(lambda: creates(rpc), "a create after PostgreSQL's restart")


def test_core_opens_its_file_before_a_crowd_comes(start_core, crowd):
    core = start_core(files=FILES, TRIGGERS_DB_CONNECTIONS=8)
    with core.client() as rpc:
        crowd(core.url)
        assert rpc.create() and rpc.event("ListInbox", page_size=1).events


def test_bridge_makes_room_for_who_comes(start_core, start_bridge, crowd):
    address = {"TRIGGERS_LISTEN": free_url("ws")}
    core = start_core(**address)
    bridge = start_bridge(core, files=FILES)
    crowd(bridge.url)
    assert posts(bridge)
    core.stop()
    start_core(**address)
    wait_until(lambda: posts(bridge), "a create after the core's restart")
    assert bridge.descriptors() <= FILES


def test_bridge_without_a_descriptor_left(start_core, start_bridge, crowd):
    """As when all of the system's are taken: those of its idle connections are the ones that it has."""
    bridge = start_bridge(start_core())
    with httpx.Client(base_url=bridge.url, trust_env=False) as client:
        assert client.get("/ready").status_code == 200
        few = bridge.descriptors() + 4
        resource.prlimit(bridge.pid, resource.RLIMIT_NOFILE, (few, few))
        crowd(bridge.url)
        for _ in range(10):
            assert posts(bridge)


@pytest.mark.parametrize("files", [20, 40])
def test_too_few_are_told(start_core, start_bridge, files):
    core = start_core(files=files, TRIGGERS_DB_CONNECTIONS=16, wait=False)
    bridge = start_bridge(None, files=files, TRIGGERS_BRIDGE_THREADS=4, wait=False)
    for program, needed in [(core, 104), (bridge, 52)]:
        assert program.wait() == 2
        (line,) = program.stderr
        assert f"{files} file descriptors (ulimit -n, LimitNOFILE) are too few" in line
        assert f"at least {needed}" in line
