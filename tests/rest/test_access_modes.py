"""What the modes of TRIGGERS_AUTH are over HTTP: off, in which nobody notices that there are keys, and optional;
and what the bridge shows when it cannot ask."""

import httpx
import pytest

from rest.checks import CREATE, check_problem, create
from rest.wire import exchange, get
from support.keys import make_key
from support.network import free_port, wait_until

LINES = [
    ["Basic dXNlcjpwYXNz"],
    ["Bearer nonsense"],
    [f"Bearer {make_key()}"],
    [""],
    ["Negotiate " + "x" * 20000],
    ["Basic x", "Bearer y"],
]


def client(bridge, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0, headers=headers)


@pytest.mark.parametrize("lines", LINES)
@pytest.mark.parametrize("path", ["/api/v1/inbox", "/api/v1/kinds", "/metrics", "/ready", "/openapi.json", "/health"])
def test_off_ignores_the_header(bridge, path, lines):
    answer = exchange(bridge, get(path, *(f"Authorization: {line}" for line in lines)))
    assert answer.status == 200 and "www-authenticate" not in answer.headers


def test_off_has_no_keys(http):
    for answer in (
        http.get("/api/v1/tenants"),
        http.put("/api/v1/tenants/x", json={}),
        http.post("/api/v1/tenants/default/keys", json={"name": "x", "scopes": ["events_read"]}),
    ):
        assert "TRIGGERS_AUTH" in check_problem(answer, 400, "AUTH_OFF")["detail"]


def test_off_shows_all(core, start_bridge):
    with client(start_bridge(core, API_HOST="0.0.0.0")) as http:
        assert http.get("/api/v1/health").json()["auth"] == "off"
        assert http.get("/ready").json() == {"status": "ready", "core": "ok", "store": "ok"}
        assert http.get("/openapi.json").status_code == 200
        assert "triggers_core_requests_total" in http.get("/metrics").text


def test_optional_serves_those_without_a_key(start_core, start_bridge):
    key = make_key()
    core = start_core(TRIGGERS_AUTH="optional", TRIGGERS_OPERATOR_KEY=key)
    bridge = start_bridge(core, API_HOST="0.0.0.0")
    with client(bridge) as http, client(bridge, key) as operator, client(bridge, make_key()) as wrong:
        event_id = create(http)
        for each in (http, operator):
            assert each.get(f"/api/v1/events/{event_id}").status_code == 200
            for path in ("/metrics", "/openapi.json"):
                assert each.get(path).status_code == 200
            assert each.get("/ready").json()["store"] == "ok"
        assert "triggers_core_requests_total" in http.get("/metrics").text
        check_problem(http.get("/api/v1/tenants"), 403, "SCOPE_MISSING")
        assert operator.get("/api/v1/tenants").status_code == 200
        check_problem(wrong.get("/api/v1/inbox"), 401, "KEY_INVALID")
        check_problem(wrong.get("/ready"), 401, "KEY_INVALID")


def test_what_is_shown_without_a_core(start_bridge):
    nowhere = f"ws://127.0.0.1:{free_port()}/rpc"
    with client(start_bridge(None, API_HOST="0.0.0.0", TRIGGERS_CORE=nowhere)) as http:
        assert http.get("/openapi.json").status_code == 200
        assert http.get("/ready").json()["core"] == "unreachable"
        assert "triggers_bridge_requests_total" in http.get("/metrics").text
    closed = {f"TRIGGERS_BRIDGE_{name}": "key" for name in ("METRICS", "DOCS", "READY")}
    with client(start_bridge(None, TRIGGERS_CORE=nowhere, **closed)) as http:
        check_problem(http.get("/openapi.json"), 503)
        assert http.get("/ready").json() == {"status": "unavailable"}
        assert "triggers_bridge_requests_total" not in http.get("/metrics").text
        assert "triggers_core_up 0" in http.get("/metrics").text


def test_what_the_core_has_said_counts_when_it_is_gone(start_core, start_bridge):
    core = start_core(TRIGGERS_AUTH="required", TRIGGERS_OPERATOR_KEY=make_key())
    with client(start_bridge(core, API_HOST="0.0.0.0")) as http:
        check_problem(http.get("/openapi.json"), 401, "KEY_MISSING")
        core.stop()
        wait_until(lambda: http.get("/ready").status_code == 503, "core lost")
        assert http.get("/ready").json() == {"status": "unavailable"}
        check_problem(http.get("/openapi.json"), 503)
        text = http.get("/metrics").text
        assert "triggers_core_up 0" in text and "triggers_bridge_requests_total" not in text


def test_a_key_of_a_request_is_in_no_debug_line(start_core, start_bridge):
    key = make_key()
    core = start_core(TRIGGERS_AUTH="required", TRIGGERS_OPERATOR_KEY=key)
    bridge = start_bridge(core)
    with client(bridge, key) as http:
        http.post("/api/v1/events", json=CREATE)
        new = http.post("/api/v1/tenants/default/keys", json={"name": "x", "scopes": ["events_read"]}).json()["key"]
        http.get("/api/v1/inbox", headers={"Authorization": f"Bearer {new}"})
        http.get("/api/v1/inbox", headers={"Authorization": f"Basic {new}"})
    bridge.wait_for_line("/api/v1/inbox")
    lines = "\n".join([*core.stdout, *core.stderr, *bridge.stdout, *bridge.stderr])
    assert "ListInbox" in lines and "/api/v1/inbox" in lines
    for secret in (key, new):
        assert secret[17:] not in lines
