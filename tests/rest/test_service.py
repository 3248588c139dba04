"""What the service says about itself, and routes, methods and headers around every call."""

import json
import re
import shutil
import subprocess

import httpx
import pytest

from rest.checks import CREATE, MISSING_ID, check_problem, create
from rest.wire import Wire, exchange, get
from support.one_store import store_name  # noqa: F401

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_health_is_these_bytes(http):
    answer = http.get("/health")
    assert answer.status_code == 200
    assert answer.content == b'{"status":"healthy","service":"zapier-triggers-api"}'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_ready_tells_of_core_and_store(http):
    answer = http.get("/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "core": "ok", "store": "ok"}


def test_root_names_the_service(http):
    answer = http.get("/")
    assert answer.status_code == 200
    root = answer.json()
    assert re.fullmatch(r"\d+\.\d+\.\d+", root.pop("version"))
    assert root == {
        "message": "Zapier Triggers API",
        "status": "operational",
        "docs": "/docs",
        "redoc": "/redoc",
    }


def test_openapi_describes_every_route(http):
    answer = http.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    api = answer.json()
    assert api["openapi"].startswith("3.1")
    assert api["info"]["version"] == http.get("/").json()["version"]
    assert set(api["paths"]) == {
        "/",
        "/health",
        "/ready",
        "/metrics",
        "/api/v1/events",
        "/api/v1/events/batch",
        "/api/v1/events/ack",
        "/api/v1/events/stream",
        "/api/v1/events/{event_id}",
        "/api/v1/events/{event_id}/erase",
        "/api/v1/inbox",
        "/api/v1/kinds",
        "/api/v1/tenants",
        "/api/v1/tenants/{name}",
        "/api/v1/tenants/{name}/suspend",
        "/api/v1/tenants/{name}/resume",
        "/api/v1/tenants/{tenant}/keys",
        "/api/v1/tenants/{tenant}/keys/{key_id}",
        "/api/v1/tenants/{tenant}/keys/{key_id}/rotate",
        "/api/v1/tenants/{tenant}/audit",
        "/api/v1/subscriptions",
        "/api/v1/subscriptions/{name}",
        "/api/v1/subscriptions/{name}/pull",
        "/api/v1/subscriptions/{name}/ack",
        "/api/v1/subscriptions/{name}/nack",
        "/api/v1/subscriptions/{name}/extend",
        "/api/v1/subscriptions/{name}/release",
        "/api/v1/subscriptions/{name}/seek",
        "/api/v1/subscriptions/{name}/dead-letters",
        "/api/v1/subscriptions/{name}/dead-letters/redrive",
        "/api/v1/subscriptions/{name}/dead-letters/delete",
        "/api/v1/health",
        "/api/v1/stats",
    }
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', answer.text):
        part = api
        for name in reference.split("/"):
            part = part[name]


def test_openapi_paths_allow_what_they_say(http):
    for path, item in http.get("/openapi.json").json()["paths"].items():
        allowed = http.options(re.sub(r"\{\w+\}", MISSING_ID, path)).headers["allow"].split(", ")
        described = {name.upper() for name in item if name in ("get", "post", "put", "delete")}
        assert described == set(allowed) - {"HEAD", "OPTIONS"}


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documentation_is_one_page_of_ours(http, path):
    answer = http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "/openapi.json" in answer.text
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", answer.text)


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "//health",
        "/Health",
        f"/api/v1/events/{MISSING_ID}/more",
        f"/api/v1/events%2F{MISSING_ID}",
        f"/api/v1/events/{MISSING_ID}%2F",
        f"/api/v1/events/{MISSING_ID}%00",
        "/health%00",
        "/health%",
        "/health%zz",
        "/%2e%2e/health",
        "/" + "x" * 4000,
    ],
)
def test_unknown_routes_are_not_found(bridge, path):
    answer = exchange(bridge, get(path))
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["detail"] == "Not found"


PREFIXES = {
    "/triggers": "/triggers",
    "/triggers/": "/triggers",
    "/a/b-c_d.e~f/%20": "/a/b-c_d.e~f/%20",
    "/a, /b/": "/a/b",
    "/": "",
    "/, /a": "/a",
    "": "",
    "triggers": "",
    "//evil.example": "",
    "/a, //evil.example": "",
    "http://evil.example": "",
    "/a?b": "",
    '/a"b': "",
    "/a b": "",
    "/" + "a" * 254: "/" + "a" * 254,
    "/" + "a" * 255: "",
}


@pytest.mark.parametrize("sent, used", PREFIXES.items(), ids=map(str, range(len(PREFIXES))))
def test_links_lead_through_a_proxy_that_took_a_prefix_off(http, sent, used):
    headers = {"X-Forwarded-Prefix": sent}
    created = http.post("/api/v1/events", json=CREATE, headers=headers)
    assert created.headers["location"] == f"{used}/api/v1/events/{created.json()['event_id']}"
    root = http.get("/", headers=headers).json()
    assert (root["docs"], root["redoc"]) == (f"{used}/docs", f"{used}/redoc")


RUN_PAGE = """
const element = new Proxy(function () {}, { get: () => element, set: () => true, apply: () => element });
globalThis.document = element;
globalThis.location = { pathname: process.argv[2] };
globalThis.fetch = (url) => { console.log(url); return new Promise(() => {}); };
"""


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
@pytest.mark.parametrize("prefix", ["", "/triggers", "/a/docs", "/redoc/b"])
def test_the_page_asks_for_the_description_beside_it(http, prefix):
    for path in ("/docs", "/redoc", "/docs/"):
        script = re.search("<script>(.*)</script>", http.get(path).text, re.DOTALL).group(1)
        asked = subprocess.run(
            ["node", "-", prefix + path], input=RUN_PAGE + script,
            capture_output=True, text=True,
        )  # fmt: skip
        assert asked.stdout == f"{prefix}/openapi.json\n", asked.stderr


@pytest.mark.parametrize("end", ["/", "//", "/?limit=1", "/?"])
def test_slashes_at_the_end_make_no_difference(bridge, http, end):
    event_id = create(http)
    for path in ["/health", "/ready", "/metrics", "/openapi.json", "/docs", "/redoc"]:
        assert exchange(bridge, get(path + end)).status == 200
    assert http.get(f"/api/v1/inbox{end}").status_code == 200
    assert http.get(f"/api/v1/events/{event_id}{end}").json()["event_id"] == event_id
    assert http.post(f"/api/v1/events/batch{end}", json=[CREATE]).status_code == 200
    created = http.post(f"/api/v1/events{end}", json=CREATE)
    assert created.headers["location"] == f"/api/v1/events/{created.json()['event_id']}"
    assert http.delete(f"/api/v1/events/{event_id}{end}").json()["status"] == "acknowledged"
    assert http.get(f"/api/v1/events{end}").json()["first_sequence"] == 1
    refused = http.put(f"/api/v1/events{end}")
    assert refused.status_code == 405 and refused.headers["allow"] == "POST, GET, HEAD, OPTIONS"


@pytest.mark.parametrize("base", ["http://localhost", "HTTP://LOCALHOST:8000", "https://127.0.0.1"])
def test_targets_may_have_the_absolute_form(bridge, base):
    """RFC 9112 section 3.2.2: as a client sends them to a proxy."""
    body = json.dumps(CREATE)
    head = f"POST {base}/api/v1/events/ HTTP/1.1\r\nHost: localhost\r\n"
    answer = exchange(bridge, f"{head}Content-Length: {len(body)}\r\n\r\n{body}")
    assert answer.status == 201
    answer = exchange(bridge, get(f"{base}{answer.headers['location']}"))
    assert answer.status == 200 and json.loads(answer.body)["payload"] == CREATE["payload"]
    for target, status in [
        ("", 200),
        ("/", 200),
        ("/health", 200),
        ("/%68ealth", 200),
        ("/api/v1/inbox?limit=1", 200),
        ("/api/v1/inbox?limit=0", 422),
        ("/nope", 404),
    ]:
        assert exchange(bridge, get(base + target)).status == status, target
    for scheme in ("ftp", "ws", "http:"):
        assert exchange(bridge, get(f"{scheme}://localhost/health")).status == 404


def test_escapes_of_plain_characters_make_no_difference(http):
    assert http.get("/%68ealth").status_code == 200


@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("DELETE", "/", "GET, HEAD, OPTIONS"),
        ("PUT", "/api/v1/events", "POST, GET, HEAD, OPTIONS"),
        ("DELETE", "/api/v1/events/stream", "GET, HEAD, OPTIONS"),
        ("GET", "/api/v1/events/batch", "POST, OPTIONS"),
        ("HEAD", "/api/v1/events/batch", "POST, OPTIONS"),
        ("DELETE", "/api/v1/inbox", "GET, HEAD, OPTIONS"),
        ("PATCH", f"/api/v1/events/{MISSING_ID}", "GET, HEAD, DELETE, OPTIONS"),
        ("POST", f"/api/v1/events/{MISSING_ID}", "GET, HEAD, DELETE, OPTIONS"),
        ("TRACE", "/health", "GET, HEAD, OPTIONS"),
        ("BREW", "/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_wrong_methods_are_told_the_right_ones(http, method, path, allow):
    answer = http.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    if method != "HEAD":
        check_problem(answer, 405, "METHOD_NOT_ALLOWED")


def test_options_lists_the_methods(http):
    answer = http.options("/api/v1/inbox")
    assert answer.status_code == 204
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert answer.content == b""
    assert http.options("/nope").status_code == 404


@pytest.mark.parametrize(
    "path", ["/health", "/ready", "/", "/openapi.json", "/docs", "/api/v1/inbox?status=pending"]
)
def test_head_has_the_headers_of_get(bridge, path):
    with Wire(bridge) as wire:
        wire.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = wire.read(body=False)
        wire.send(get(path))
        full = wire.read()
    assert head.status == full.status == 200
    assert head.headers["content-length"] == full.headers["content-length"] == str(len(full.body))
    assert head.headers["content-type"] == full.headers["content-type"]


def test_head_of_an_event(http):
    answer = http.post("/api/v1/events", json=CREATE)
    assert http.head(answer.headers["location"]).status_code == 200
    assert http.head(f"/api/v1/events/{MISSING_ID}").status_code == 404


@pytest.mark.parametrize("sent", ["a", "x" * 128, "!~", "req-1/2:3"])
def test_request_ids_are_echoed(http, sent):
    assert http.get("/health", headers={"X-Request-ID": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", [None, "", "x" * 129, "a b", b"caf\xc3\xa9"])
def test_request_ids_are_made(http, sent):
    headers = {} if sent is None else {"X-Request-ID": sent}
    first = http.get("/health", headers=headers).headers["x-request-id"]
    assert UUID.fullmatch(first)
    assert http.get("/health", headers=headers).headers["x-request-id"] != first


def test_request_id_and_trace_reach_the_core(http, core, bridge):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"X-Request-ID": "find-me-7", "traceparent": trace}
    assert http.get("/api/v1/inbox", headers=headers).status_code == 200
    line = json.loads(bridge.wait_for_line("find-me-7"))
    assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert line["parent_id"] == "00f067aa0ba902b7"
    check_next_hop(line, json.loads(core.wait_for_line("find-me-7")))
    assert line["message"] == "request" and line["level"] == "debug"
    assert line["method"] == "GET" and line["path"] == "/api/v1/inbox" and line["status"] == 200
    assert line["ms"] >= 0


def check_next_hop(line, next_line):
    """Two log lines are of one trace, the second's span a child of the first's."""
    assert next_line["request_id"] == line["request_id"]
    assert next_line["trace_id"] == line["trace_id"] and len(line["trace_id"]) == 32
    assert next_line["parent_id"] == line["span_id"] and len(line["span_id"]) == 16
    assert len({line["parent_id"], line["span_id"], next_line["span_id"]}) == 3


@pytest.mark.parametrize("given", [None, "00-zz", "00-" + "0" * 32 + "-00f067aa0ba902b7-01"])
def test_a_missing_or_wrong_trace_is_replaced(http, core, bridge, given):
    request_id = f"find-me-8-{given and len(given)}"
    headers = {"X-Request-ID": request_id, **({"traceparent": given} if given else {})}
    assert http.get("/api/v1/inbox", headers=headers).status_code == 200
    line = json.loads(bridge.wait_for_line(request_id))
    assert line["parent_id"] == "" and set(line["trace_id"]) != {"0"}
    check_next_hop(line, json.loads(core.wait_for_line(request_id)))


def test_a_trace_that_nobody_would_see_is_not_started(core, start_bridge):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    bridge = start_bridge(core, LOG_LEVEL="info")
    for request_id, headers in (("find-me-9", {}), ("find-me-10", {"traceparent": trace})):
        headers["X-Request-ID"] = request_id
        assert httpx.get(f"{bridge.url}/ready", headers=headers, trust_env=False).status_code == 200
    assert json.loads(core.wait_for_line("find-me-9"))["trace_id"] == ""
    assert json.loads(core.wait_for_line("find-me-10"))["trace_id"] == trace[3:35]


def test_connections_are_kept(bridge):
    with Wire(bridge) as wire:
        for _ in range(3):
            wire.send(get("/health"))
            assert wire.read().status == 200
        wire.send(get("/nope"))
        assert wire.read().status == 404
        wire.send("POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", get("/health"))
        assert wire.read().status == 404
        assert wire.read().status == 200


def test_a_body_where_none_is_meant_is_ignored(bridge):
    with Wire(bridge) as wire:
        wire.send("GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", get("/ready"))
        assert wire.read().status == 200
        assert wire.read().status == 200


def test_http_1_0_is_served(bridge):
    answer = exchange(bridge, "GET /health HTTP/1.0\r\n\r\n")
    assert answer.status == 200 and answer.headers["connection"] == "close"


def test_head_of_a_wrong_route_has_no_body(bridge):
    with Wire(bridge) as wire:
        wire.send("HEAD /nope HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert wire.read(body=False).status == 404
        assert wire.closed()


def test_http_client_over_many_connections(bridge):
    for _ in range(20):
        assert httpx.get(f"{bridge.url}/health", trust_env=False).status_code == 200
