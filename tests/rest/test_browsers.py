"""What a page in somebody's browser can reach: nothing changes for one that CORS does not let in, no
request goes without asking first, and the bridge answers to its own names only."""

import httpx
import pytest

from rest.checks import CREATE, MISSING_ID, check_problem, create
from rest.wire import exchange, get
from support.one_store import store_name  # noqa: F401

APP = "https://app.example.com"
EVIL = "https://evil.example"
BRIDGE_SETTINGS = {"CORS_ORIGINS": APP}

JSON = {"Content-Type": "application/json"}
CHANGES = [
    ("POST", "/api/v1/events", 201),
    ("POST", "/api/v1/events/batch", 200),
    ("DELETE", "/api/v1/events/{id}", 200),
]


def send(http, method, path, headers):
    """One of CHANGES as it should be, but for its headers; and the events there were before."""
    event_id = create(http)
    before = pending(http)
    body = None
    if method == "POST":
        body = [CREATE] if path.endswith("batch") else CREATE
    answer = http.request(method, path.format(id=event_id), json=body, headers=headers)
    return answer, before


def pending(http):
    return http.get("/api/v1/inbox?limit=1000").json()["events"]


FOREIGN = {
    "origin": {"Origin": EVIL},
    "null": {"Origin": "null"},
    "empty": {"Origin": ""},
    "like_the_listed": {"Origin": APP + ".evil.example"},
    "other_port_of_ours": {"Origin": "http://127.0.0.1:1"},
    "cross_site": {"Sec-Fetch-Site": "cross-site"},
    "same_site": {"Sec-Fetch-Site": "same-site"},
    "unknown_site": {"Sec-Fetch-Site": "somewhere"},
    "origin_and_site": {"Sec-Fetch-Site": "cross-site", "Origin": EVIL},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("method, path, status", CHANGES)
def test_a_foreign_page_changes_nothing(http, headers, method, path, status):
    answer, before = send(http, method, path, headers)
    problem = check_problem(answer, 403, "ORIGIN_NOT_ALLOWED")
    assert "CORS_ORIGINS" in problem["detail"]
    assert pending(http) == before


def own(http):
    return str(http.base_url).rstrip("/")


@pytest.mark.parametrize("method, path, status", CHANGES)
def test_listed_pages_and_our_own_change_things(http, method, path, status):
    let_in = [
        {"Origin": APP},
        {"Origin": APP, "Sec-Fetch-Site": "cross-site"},
        {"Origin": own(http)},
        {"Origin": own(http), "Sec-Fetch-Site": "same-origin"},
        # After a proxy that serves us by another name: the browser knows.
        {"Origin": "https://api.example.com", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {},
    ]
    for headers in let_in:
        assert send(http, method, path, headers)[0].status_code == status, headers


def test_two_origins_are_none(bridge, http):
    body = '{"source":"crm","event_type":"lead.created","payload":{}}'
    head = f"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{bridge.port}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    for lines in (f"Origin: {EVIL}\r\nOrigin: {APP}\r\n", f"Origin: {APP}\r\nOrigin: {EVIL}\r\n"):
        assert exchange(bridge, f"{head}{lines}\r\n{body}").status == 403
    assert exchange(bridge, f"{head}Origin: {APP}\r\n\r\n{body}").status == 201


def test_reading_is_left_to_the_browser(http):
    """A link on a foreign page may lead here; what it shows is kept from that page."""
    for headers in FOREIGN.values():
        answer = http.get("/docs", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/events/batch"])
def test_a_browser_must_say_what_it_sends(http, path):
    """A Blob without type is sent without asking first; programs may leave the header out."""
    body = b'{"source":"crm","event_type":"lead.created","payload":{}}'
    body = b"[%s]" % body if path.endswith("batch") else body
    before = pending(http)
    for headers in (
        {"Origin": own(http)},
        {"Origin": APP, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": APP, "Content-Type": ""},
    ):
        answer = http.post(path, content=body, headers=headers)
        check_problem(answer, 415, "CONTENT_TYPE_UNSUPPORTED")
    assert pending(http) == before
    assert http.post(path, content=body).status_code in (200, 201)


@pytest.fixture
def any_origin(core, start_bridge):
    """A client of a bridge with the default settings."""
    with httpx.Client(base_url=start_bridge(core).url, trust_env=False, timeout=20.0) as http:
        yield http


def test_by_default_every_page_is_let_in_that_asks_first(any_origin):
    for headers in ({"Origin": EVIL}, {"Origin": "null"}, FOREIGN["origin_and_site"]):
        for method, path, status in CHANGES:
            assert send(any_origin, method, path, headers)[0].status_code == status
        answer = any_origin.post("/api/v1/events", content=b"{}", headers=headers)
        check_problem(answer, 415, "CONTENT_TYPE_UNSUPPORTED")


# ---- hosts ----

PATHS = ["/", "/health", "/ready", "/metrics", "/docs", "/api/v1/inbox", "/nope"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "10.0.0.7", ""])
@pytest.mark.parametrize("path", PATHS)
def test_only_loopback_names_on_loopback(bridge, host, path):
    answer = exchange(bridge, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
    assert answer.status == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"HOST_NOT_SERVED" in answer.body and b"TRIGGERS_HOSTS" in answer.body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]", "a.localhost"])
def test_every_loopback_name_is_served(bridge, host):
    assert exchange(bridge, f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n").status == 200


def test_a_foreign_host_changes_nothing(bridge, http):
    event_id = create(http)
    for method in ("DELETE", "OPTIONS"):
        request = f"{method} /api/v1/events/{event_id} HTTP/1.1\r\nHost: evil.example\r\n"
        request += "Origin: http://evil.example\r\nSec-Fetch-Site: same-origin\r\n\r\n"
        assert exchange(bridge, request).status == 421
    assert http.get(f"/api/v1/events/{event_id}").json()["status"] == "pending"


def test_listed_hosts_are_served(start_bridge):
    hosts = "api.example.com, *.internal"
    bridge = start_bridge(None, TRIGGERS_HOSTS=hosts, TRIGGERS_CORE="ws://127.0.0.1:1/rpc")
    for host, status in [
        ("api.example.com", 200),
        ("API.EXAMPLE.COM:443", 200),
        ("a.internal", 200),
        ("localhost", 200),
        ("evil.example", 421),
        ("internal", 421),
    ]:
        answer = exchange(bridge, f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert answer.status == status, host


def test_an_open_address_serves_every_host_until_told(start_bridge):
    settings = {"API_HOST": "0.0.0.0", "TRIGGERS_CORE": "ws://127.0.0.1:1/rpc"}
    open_bridge = start_bridge(None, **settings)
    told = start_bridge(None, TRIGGERS_HOSTS="api.example.com", **settings)
    for host, served in [("evil.example", False), ("api.example.com", True), ("10.0.0.7:80", True)]:
        request = f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n"
        assert exchange(open_bridge, request).status == 200
        assert exchange(told, request).status == (200 if served else 421), host


def test_the_host_of_an_absolute_target_counts(bridge):
    for target, host, status in [
        ("http://localhost", "evil.example", 200),
        ("http://evil.example", "localhost", 421),
        ("HTTP://127.0.0.1:1/", "evil.example", 200),
    ]:
        answer = exchange(bridge, f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert answer.status == status, (target, host)


def test_http_1_0_needs_no_host(bridge):
    assert exchange(bridge, f"GET /api/v1/events/{MISSING_ID} HTTP/1.0\r\n\r\n").status == 404
    assert exchange(bridge, get("/health")).status == 200
