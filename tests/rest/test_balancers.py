"""What balancers need: connections that are kept for as long as theirs, and time to learn of a stop."""

import json

import httpx

from rest.checks import CREATE
from rest.wire import Wire, get
from support.network import wait_until
from support.one_store import store_name  # noqa: F401

DELAY = 8  # seconds, in which the requests below have to find place
BODY = json.dumps(CREATE)
POST = f"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"


def test_the_keep_alive_time_is_a_setting(core, start_bridge):
    short = start_bridge(core, TRIGGERS_BRIDGE_KEEP_ALIVE="2")
    long = start_bridge(core, TRIGGERS_BRIDGE_KEEP_ALIVE="86400")
    with Wire(long) as kept:
        for _ in range(3):
            with Wire(short) as wire:
                wire.send(get("/health"))
                assert wire.read().status == 200
                kept.send(get("/health"))
                assert kept.read().status == 200
                assert wire.closed()
        kept.send(get("/health"))
        assert kept.read().status == 200


def test_after_sigterm_requests_are_served_for_as_long_as_was_set(core, start_bridge):
    bridge = start_bridge(core, TRIGGERS_BRIDGE_STOP_DELAY=str(DELAY))
    with Wire(bridge) as kept, httpx.Client(base_url=bridge.url, trust_env=False) as http:
        kept.send(get("/ready"))
        assert kept.read().status == 200
        bridge.terminate()
        bridge.wait_for_line("stopping")
        wait_until(lambda: http.get("/ready").status_code == 503, "503 of /ready")
        ready = http.get("/ready")
        assert ready.json() == {"status": "stopping", "core": "unknown", "store": "unknown"}
        for _ in range(2):
            kept.send(POST)
            assert kept.read().status == 201
        with Wire(bridge) as new:
            new.send(POST)
            answer = new.read()
            assert answer.status == 201 and answer.headers.get("connection") != "close"
            new.send(get("/health"))
            assert new.read().status == 200
        status = bridge.wait(60)
        assert status == 0 and kept.closed()


def test_without_a_delay_it_ends_at_once(core, start_bridge):
    bridge = start_bridge(core)
    with Wire(bridge) as idle:
        bridge.terminate()
        assert idle.closed()
    assert bridge.wait() == 0
