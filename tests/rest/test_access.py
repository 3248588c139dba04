"""Keys over HTTP: what passes to the core, what is refused, and what the bridge shows without one."""

import json
import re
import threading
import time

import httpx
import pytest

from rest.checks import CREATE, check_problem, create
from rest.wire import Wire, exchange, get
from support.keys import OPERATOR_KEY, id_of, make_key
from support.network import wait_until

CORE_SETTINGS = {"TRIGGERS_AUTH": "required", "TRIGGERS_OPERATOR_KEY": OPERATOR_KEY}
# As behind a proxy: what is open on the loopback interface alone is not.
BRIDGE_SETTINGS = {"API_HOST": "0.0.0.0", "TRIGGERS_PROXIES": "127.0.0.0/8"}
CHALLENGE = 'Bearer realm="triggers"'
INVALID = f'{CHALLENGE}, error="invalid_token"'
REVOKED_WITHIN = 10.0  # seconds, on a busy machine; 5 are promised

# One call of each kind: hand-made, transcoded, waiting.
CALLS = [
    ("POST", "/api/v1/events", CREATE),
    ("POST", "/api/v1/events/batch", [CREATE]),
    ("GET", "/api/v1/events", None),
    ("GET", "/api/v1/events?wait=1", None),
    ("GET", "/api/v1/events/evt_01h455vb4pex5vsknk084sn02q", None),
    ("DELETE", "/api/v1/events/evt_01h455vb4pex5vsknk084sn02q", None),
    ("GET", "/api/v1/inbox", None),
    ("GET", "/api/v1/events/stream", None),
    ("GET", "/api/v1/kinds", None),
    ("GET", "/api/v1/stats", None),
    ("GET", "/api/v1/subscriptions", None),
    ("POST", "/api/v1/subscriptions/inbox/pull", {}),
    ("GET", "/api/v1/tenants", None),
    ("POST", "/api/v1/tenants/default/suspend", None),
    ("DELETE", "/api/v1/tenants/none", None),
    ("POST", "/api/v1/tenants/default/keys", {"name": "x", "scopes": ["events_read"]}),
    ("GET", "/api/v1/tenants/default/audit", None),
    ("GET", "/metrics", None),
    ("GET", "/openapi.json", None),
]


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def operator(bridge):
    """A client with the operator's key."""
    with httpx.Client(
        base_url=bridge.url, trust_env=False, timeout=20.0, headers=bearer(OPERATOR_KEY)
    ) as client:
        yield client


def new_key(operator, *scopes, tenant="default", **fields):
    """Makes a key; returns its text."""
    body = {"name": "test", "scopes": list(scopes), **fields}
    answer = operator.post(f"/api/v1/tenants/{tenant}/keys", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["key"]


def revoke(operator, key, tenant="default"):
    answer = operator.delete(f"/api/v1/tenants/{tenant}/keys/{id_of(key)}")
    assert answer.status_code == 200 and answer.json()["key"]["revoked_at"], answer.text


def check_refused(answer, code, challenge):
    check_problem(answer, 401, code)
    assert answer.headers["www-authenticate"] == challenge


# ---- what passes ----


@pytest.mark.parametrize("method, path, body", CALLS)
def test_every_call_needs_a_key(http, method, path, body):
    check_refused(http.request(method, path, json=body), "KEY_MISSING", CHALLENGE)


@pytest.mark.parametrize("method, path, body", CALLS)
def test_every_call_has_its_key_checked(http, method, path, body):
    answer = http.request(method, path, json=body, headers=bearer(make_key()))
    if answer.status_code == 429:
        check_problem(answer, 429, "TOO_MANY_WRONG_KEYS")
    else:
        check_refused(answer, "KEY_INVALID", INVALID)


def test_a_good_key_is_served(operator):
    event_id = create(operator)
    assert operator.get(f"/api/v1/events/{event_id}").json()["source"] == "crm"
    assert operator.delete(f"/api/v1/events/{event_id}").status_code == 200
    lower = operator.get("/api/v1/inbox", headers={"Authorization": f"bearer {OPERATOR_KEY}"})
    assert lower.status_code == 200


def test_a_key_without_the_scope(http, operator):
    reader = new_key(operator, "events_read")
    answer = http.post("/api/v1/events", json=CREATE, headers=bearer(reader))
    problem = check_problem(answer, 403, "SCOPE_MISSING")
    assert "events:write" in problem["detail"] and "CreateEvent" in problem["detail"]
    challenge = f'{CHALLENGE}, error="insufficient_scope", scope="events:write"'
    assert answer.headers["www-authenticate"] == challenge
    assert http.get("/api/v1/events", headers=bearer(reader)).status_code == 200
    answer = http.get("/api/v1/tenants", headers=bearer(reader))
    check_problem(answer, 403, "SCOPE_MISSING")
    assert 'scope="operator"' in answer.headers["www-authenticate"]
    answer = http.get("/metrics", headers=bearer(reader))
    check_problem(answer, 403, "SCOPE_MISSING")
    assert 'scope="metrics:read"' in answer.headers["www-authenticate"]
    writer = new_key(operator, "events_write")
    answer = http.get("/api/v1/events/stream", headers=bearer(writer))
    check_problem(answer, 403, "SCOPE_MISSING")
    assert 'scope="events:read"' in answer.headers["www-authenticate"]


def test_an_idempotency_key_is_the_tenants_own(http, operator):
    operator.put("/api/v1/tenants/idempotent", json={})
    other = new_key(operator, "events_write", "events_read", tenant="idempotent")
    named = {"Idempotency-Key": "the-same"}
    mine = operator.post("/api/v1/events", json=CREATE, headers=named)
    answer = http.post("/api/v1/events", json={**CREATE, "payload": {"b": 2}}, headers={**named, **bearer(other)})
    assert mine.status_code == answer.status_code == 201, answer.text
    theirs = http.get(f"/api/v1/events/{answer.json()['event_id']}", headers=bearer(other))
    assert theirs.json()["payload"] == {"b": 2}


# ---- what is no key ----


def with_authorization(*lines):
    return get("/api/v1/inbox", *(f"Authorization: {line}" for line in lines))


def code_of(answer):
    return answer.status, json.loads(answer.body)["code"], answer.headers.get("www-authenticate")


@pytest.mark.parametrize(
    "lines",
    [
        [f"Basic {OPERATOR_KEY}"],
        [OPERATOR_KEY],
        [f"Bearer{OPERATOR_KEY}"],
        [f"Bearer {OPERATOR_KEY}x"],
        [f"Bearer {OPERATOR_KEY[:-1]}"],
        [f"Bearer {OPERATOR_KEY} {OPERATOR_KEY}"],
        [f'Bearer "{OPERATOR_KEY}"'],
        [f"Bearer {OPERATOR_KEY},"],
        [f"Bearer\t{OPERATOR_KEY}"],
        [f"Bearer {OPERATOR_KEY}".replace("trg_", "trg%5F")],
        [f"Bearer {OPERATOR_KEY}".replace("trg_", "TRG_")],
        [f"Bearer {OPERATOR_KEY}\xa0"],
        [f"Bearer {OPERATOR_KEY}", f"Bearer {OPERATOR_KEY}"],
        [f"Bearer {OPERATOR_KEY}", "Basic x"],
        ["", f"Bearer {OPERATOR_KEY}"],
        [""],
        ["Bearer"],
        ["Bearer " + "x" * 250],
        ["Bearer " + " " * 200 + OPERATOR_KEY],
        ["Bearer " + "x" * 20000],
    ],
)
def test_what_is_no_key_is_refused_as_a_wrong_one(bridge, lines):
    assert code_of(exchange(bridge, with_authorization(*lines))) == (401, "KEY_INVALID", INVALID)


@pytest.mark.parametrize("byte", ["\0", "\x01", "\x7f", "\x1b", "\r", "\n"])
def test_control_characters_are_no_part_of_a_header(bridge, byte):
    answer = exchange(bridge, with_authorization(f"Bearer {OPERATOR_KEY}{byte}x"))
    assert code_of(answer)[:2] == (400, "MALFORMED_REQUEST")


def test_a_folded_header_is_refused(bridge):
    answer = exchange(bridge, with_authorization(f"Bearer\r\n {OPERATOR_KEY}"))
    assert code_of(answer)[:2] == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("line", [f"Authorization : Bearer {OPERATOR_KEY}", f" Authorization: Bearer {OPERATOR_KEY}"])
def test_a_name_with_a_blank_is_refused(bridge, line):
    answer = exchange(bridge, get("/api/v1/inbox", "X-A: b", line))
    assert code_of(answer)[:2] == (400, "MALFORMED_REQUEST")


def test_a_trailer_says_nothing(bridge):
    text = json.dumps({"event_ids": ["evt_01h455vb4pex5vsknk084sn02q"]})
    head = "POST /api/v1/events/ack HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n"
    body = f"{len(text):x}\r\n{text}\r\n0\r\nAuthorization: Bearer {OPERATOR_KEY}\r\n\r\n"
    with Wire(bridge) as wire:
        wire.send(head, body, with_authorization())
        for _ in range(2):
            assert code_of(wire.read()) == (401, "KEY_MISSING", CHALLENGE)


@pytest.mark.parametrize(
    "line",
    [
        f"X-Authorization: Bearer {OPERATOR_KEY}",
        f"Proxy-Authorization: Bearer {OPERATOR_KEY}",
        f"X-API-Key: {OPERATOR_KEY}",
        f"Api-Key: {OPERATOR_KEY}",
        f"Cookie: authorization={OPERATOR_KEY}",
        f"authorization-: Bearer {OPERATOR_KEY}",
        f"X-Authorization_: Bearer {OPERATOR_KEY}",
        "X-Tenant: default",
        "tenant: 0",
        "address: 127.0.0.1",
        "caller: 127.0.0.1:1",
        f"X-Request-ID: x authorization: Bearer {OPERATOR_KEY}",
        f"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01, authorization={OPERATOR_KEY}",
    ],
)
def test_no_other_header_says_who_it_is(bridge, line):
    answer = exchange(bridge, get("/api/v1/inbox", line))
    assert code_of(answer) == (401, "KEY_MISSING", CHALLENGE)


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "authorization"])
def test_a_key_in_the_address_is_not_read(http, name):
    check_refused(http.get(f"/api/v1/inbox?{name}={OPERATOR_KEY}"), "KEY_MISSING", CHALLENGE)


def test_one_connection_has_no_memory_of_a_key(bridge):
    with Wire(bridge) as wire:
        for lines, status in [([f"Bearer {OPERATOR_KEY}"], 200), ([], 401), ([f"Bearer {OPERATOR_KEY}"], 200)]:
            wire.send(with_authorization(*lines))
            assert wire.read().status == status


# ---- where it comes from ----


def test_a_key_for_an_address(http, operator):
    key = new_key(operator, "events_read", addresses=["198.51.100.0/24"])
    far = {"X-Forwarded-For": "127.0.0.1, 198.51.100.7"}
    assert http.get("/api/v1/inbox", headers={**bearer(key), **far}).status_code == 200
    for forged in ("198.51.100.7, 203.0.113.1", "198.51.100.7, unknown", "", "198.51.101.7"):
        answer = http.get("/api/v1/inbox", headers={**bearer(key), "X-Forwarded-For": forged})
        check_refused(answer, "KEY_INVALID", INVALID)
    check_refused(http.get("/api/v1/inbox", headers=bearer(key)), "KEY_INVALID", INVALID)


def test_without_proxies_nobody_says_where_he_is(core, operator, start_bridge):
    key = new_key(operator, "events_read", addresses=["198.51.100.0/24"])
    home = new_key(operator, "events_read", addresses=["127.0.0.0/8"])
    bridge = start_bridge(core)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        far = {"X-Forwarded-For": "198.51.100.7"}
        check_refused(http.get("/api/v1/inbox", headers={**bearer(key), **far}), "KEY_INVALID", INVALID)
        assert http.get("/api/v1/inbox", headers={**bearer(home), **far}).status_code == 200


# ---- the end of a key ----


def test_a_revoked_key_ends_a_stream(bridge, operator):
    key = new_key(operator, "events_read")
    with httpx.stream(
        "GET", f"{bridge.url}/api/v1/events/stream", headers=bearer(key), trust_env=False, timeout=20.0
    ) as stream:
        assert stream.status_code == 200
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        timer = threading.Timer(0.2, revoke, (operator, key))
        timer.start()
        text = "\n".join(lines)
        timer.join()
    data = re.search(r"event: error\ndata: (.*)", text)
    assert data and json.loads(data[1])["code"] == "KEY_INVALID", text
    assert json.loads(data[1])["status"] == 401


def test_a_revoked_key_ends_waits(http, operator):
    key = new_key(operator, "events_read", "subscriptions_consume", "subscriptions_manage")
    operator.put("/api/v1/subscriptions/empty", json={"filter": {"sources": ["nobody"]}})
    end = operator.get("/api/v1/events?after=latest").json()
    after = end.get("next_after", 0)
    answers = {}

    def wait(method, path, body=None):
        answers[path] = http.request(method, path, json=body, headers=bearer(key))

    calls = [
        ("GET", f"/api/v1/events?after={after}&wait=20&source=nobody"),
        ("POST", "/api/v1/subscriptions/empty/pull", {"wait_ms": 20000}),
    ]
    threads = [threading.Thread(target=wait, args=call) for call in calls]
    for thread in threads:
        thread.start()
    timer = threading.Timer(0.5, revoke, (operator, key))
    timer.start()
    for thread in threads:
        thread.join(REVOKED_WITHIN)
        assert not thread.is_alive()
    timer.join()
    for answer in answers.values():
        check_refused(answer, "KEY_INVALID", INVALID)


def test_a_key_is_rotated(http, operator):
    key = new_key(operator, "events_read")
    answer = operator.post(f"/api/v1/tenants/default/keys/{id_of(key)}/rotate", json={"overlap_seconds": 60})
    assert answer.status_code == 200, answer.text
    for each in (key, answer.json()["key"]):
        wait_until(lambda: http.get("/api/v1/inbox", headers=bearer(each)).status_code == 200, "served")


# ---- the calls of access ----


def test_tenants(operator):
    answer = operator.put("/api/v1/tenants/acme", json={"description": "Shop", "keep_pending_seconds": 3600})
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    assert answer.json()["created"] is True
    tenant = answer.json()["tenant"]
    assert tenant["name"] == "acme" and tenant["state"] == "active" and tenant["keep_pending_seconds"] == 3600
    assert operator.get("/api/v1/tenants/acme").json()["tenant"] == tenant
    assert "acme" in [each["name"] for each in operator.get("/api/v1/tenants").json()["tenants"]]
    key = new_key(operator, "events_read", tenant="acme")
    for action, state in (("suspend", "suspended"), ("resume", "active")):
        answer = operator.post(f"/api/v1/tenants/acme/{action}")  # without a body
        assert answer.status_code == 200 and answer.json()["tenant"]["state"] == state
    assert operator.get(f"/api/v1/tenants/acme/keys/{id_of(key)}").json()["key"]["scopes"] == ["events_read"]
    assert operator.delete("/api/v1/tenants/acme").json()["tenant"]["state"] == "deleting"


def test_a_suspended_tenant(http, operator):
    operator.put("/api/v1/tenants/asleep", json={})
    key = new_key(operator, "events_read", tenant="asleep")
    wait_until(lambda: http.get("/api/v1/inbox", headers=bearer(key)).status_code == 200, "served")
    operator.post("/api/v1/tenants/asleep/suspend")
    wait_until(lambda: http.get("/api/v1/inbox", headers=bearer(key)).status_code != 200, "suspended")
    answer = http.get("/api/v1/inbox", headers=bearer(key))
    check_problem(answer, 403, "TENANT_SUSPENDED")
    assert "www-authenticate" not in answer.headers


def test_keys_show_their_text_once(operator):
    body = {"name": "once", "scopes": ["events_read", "subscriptions_consume"], "sources": ["shop*"]}
    answer = operator.post("/api/v1/tenants/default/keys", json=body)
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    key, details = answer.json()["key"], answer.json()["details"]
    assert details["key_id"] == id_of(key) and details["sources"] == ["shop*"]
    for path in ("", f"/{details['key_id']}"):
        text = operator.get(f"/api/v1/tenants/default/keys{path}").text
        assert details["key_id"] in text and key[17:] not in text and key[17:60] not in text
    check_problem(operator.get("/api/v1/tenants/default/keys/000000000000"), 404)


def test_wrong_fields_are_told(operator):
    answer = operator.post("/api/v1/tenants/default/keys", json={"name": "x", "scopes": ["events:all"]})
    check_problem(answer, 422, "FIELDS_INVALID", pointers=["#/scopes/0"])
    answer = operator.post("/api/v1/tenants/default/keys", json={"name": "", "scopes": ["events_read"]})
    check_problem(answer, 422)
    check_problem(operator.post("/api/v1/tenants/none/keys", json={"name": "x", "scopes": ["events_read"]}), 404)


def test_the_audit_names_the_address(operator):
    answer = operator.put("/api/v1/tenants/seen", json={}, headers={"X-Forwarded-For": "203.0.113.9"})
    assert answer.status_code == 200
    request_id = answer.headers["x-request-id"]

    def record():
        records = operator.get("/api/v1/tenants/default/audit").json()["records"]
        return next((each for each in records if each["request_id"] == request_id), None)

    wait_until(record, "recorded")
    found = record()
    assert found["action"] == "PutTenant" and found["target"] == "seen" and found["result"] == "OK"
    assert found["address"] == "203.0.113.9" and found["key_id"] == id_of(OPERATOR_KEY)


# ---- what the bridge shows ----


def test_metrics_with_a_key(http, operator):
    scraper = new_key(operator, "metrics_read")
    answer = http.get("/metrics", headers=bearer(scraper))
    assert answer.status_code == 200
    assert "triggers_core_up 1" in answer.text and "triggers_bridge_requests_total" in answer.text
    assert "triggers_core_requests_total" in answer.text
    check_problem(http.get("/api/v1/inbox", headers=bearer(scraper)), 403, "SCOPE_MISSING")


def test_ready_says_little_without_a_key(http, operator):
    answer = http.get("/ready")
    assert answer.status_code == 200 and answer.json() == {"status": "ready"}
    assert operator.get("/ready").json() == {"status": "ready", "core": "ok", "store": "ok"}
    check_refused(http.get("/ready", headers=bearer(make_key())), "KEY_INVALID", INVALID)


def test_the_description_needs_a_key_and_its_pages_do_not(http, operator):
    reader = new_key(operator, "events_read")
    assert http.get("/openapi.json", headers=bearer(reader)).json()["openapi"]
    for path in ("/docs", "/redoc"):
        answer = http.get(path)
        assert answer.status_code == 200
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_health_and_the_root_need_none(http):
    for path in ("/", "/health", "/api/v1/health"):
        assert http.get(path).status_code == 200
    assert http.get("/api/v1/health").json()["auth"] == "required"


def test_on_the_loopback_interface_all_is_open(core, start_bridge):
    bridge = start_bridge(core)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        assert http.get("/openapi.json").status_code == 200
        assert http.get("/ready").json()["core"] == "ok"
        text = http.get("/metrics").text
    assert "triggers_core_up 1" in text and "triggers_bridge_requests_total" in text
    assert "triggers_core_requests_total" not in text  # the core shows its own with a key alone


def test_what_settings_close_is_not_there(core, operator, start_bridge):
    off = {f"TRIGGERS_BRIDGE_{name}": "off" for name in ("METRICS", "DOCS", "READY")}
    bridge = start_bridge(core, **off)
    with httpx.Client(base_url=bridge.url, trust_env=False, headers=bearer(OPERATOR_KEY), timeout=20.0) as http:
        for path in ("/metrics", "/docs", "/redoc", "/openapi.json", "/ready"):
            check_problem(http.get(path), 404, "ROUTE_NOT_FOUND")
        assert http.get("/api/v1/inbox").status_code == 200


# ---- secrets ----


def test_preflights_let_the_header_pass(http):
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    asked["Access-Control-Request-Headers"] = "authorization,content-type"
    answer = http.options("/api/v1/inbox", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type"


def test_keys_are_in_no_log_or_metric(core, bridge, http, operator):
    key = new_key(operator, "events_read", "metrics_read")
    wrong = make_key()
    http.get("/api/v1/inbox", headers=bearer(key))
    http.get("/api/v1/inbox", headers=bearer(wrong))
    text = http.get("/metrics", headers=bearer(key)).text
    bridge.wait_for_line("/api/v1/inbox")
    logs = "\n".join([*core.stderr, *bridge.stderr, *core.stdout, *bridge.stdout])
    for secret in (key, wrong, OPERATOR_KEY):
        assert secret[17:] not in text and secret[17:] not in logs


# ---- limits ----


def test_who_is_beyond_a_limit_is_told_when_to_try_again(operator, http):
    body = {"name": "limited", "scopes": ["events_write"], "limits": {"events_per_second": 1}}
    made = operator.post("/api/v1/tenants/default/keys", json=body).json()
    assert made["details"]["limits"] == {"calls_per_second": 0, "events_per_second": 1, "bytes_per_second": 0}
    key = bearer(made["key"])
    many = http.post("/api/v1/events/batch", json=[CREATE] * 5, headers=key)
    assert [result["status"] for result in many.json()["results"]] == ["received"] * 5, many.text
    answer = http.post("/api/v1/events", json=CREATE, headers=key)
    check_problem(answer, 429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["Retry-After"]) <= 5
    for each, left in ((many, 0), (answer, 0)):
        assert each.headers["RateLimit-Policy"] == '"events";q=1;w=1'
        assert each.headers["RateLimit"] == f'"events";r={left};t=1'
    assert "RateLimit" not in operator.get("/api/v1/inbox").headers


def test_who_is_beyond_a_limit_is_told_late(operator, http):
    """A flood of what is refused would cost others as much as what is served."""
    body = {"name": "often", "scopes": ["events_read"], "limits": {"calls_per_second": 2}}
    key = bearer(operator.post("/api/v1/tenants/default/keys", json=body).json()["key"])
    begun = time.monotonic()
    answers = [http.get("/api/v1/inbox", headers=key).status_code for _ in range(12)]
    assert time.monotonic() - begun > answers.count(429) * 0.09 and answers.count(429) >= 3, answers


def test_who_is_beyond_a_cap_is_told_when_to_try_again(operator, http, store_name):
    tenant = f"/api/v1/tenants/capped-{store_name}"
    assert operator.put(tenant, json={"caps": {"pending_events": -1}}).status_code == 422
    answer = operator.put(tenant, json={"caps": {"pending_events": 1, "storage_bytes": 1000}})
    assert answer.json()["tenant"]["caps"]["storage_bytes"] == 1000, answer.text
    key = bearer(new_key(operator, "events_write", "subscriptions_manage", tenant=tenant.split("/")[-1]))

    def again():  # nothing new
        return http.post("/api/v1/events", json=CREATE, headers={**key, "Idempotency-Key": "once"})

    assert again().status_code < 300

    answer = wait_until(lambda: (got := again()).status_code == 429 and got, "the cap", 15)
    check_problem(answer, 429, "TOO_MANY_PENDING_EVENTS")
    assert answer.headers["Retry-After"] == "1"
    assert operator.put(tenant, json={"caps": {"storage_bytes": 100}}).status_code == 200
    full = wait_until(lambda: "STORAGE_FULL" in (got := again()).text and got, "the other cap", 15)
    check_problem(full, 429, "STORAGE_FULL")
    assert full.headers["Retry-After"] == "10"
    assert operator.get(tenant).json()["usage"]["pending_events"] == 1
