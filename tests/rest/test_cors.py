"""CORS: origins, preflights, and the old front end from another origin."""

import httpx
import pytest

from rest.checks import CREATE, check_problem, create
from support.one_store import store_name  # noqa: F401

BRIDGE_SETTINGS = {
    "CORS_ORIGINS": "https://app.example.com, http://localhost:3000,https://*.amplifyapp.com"
}

LISTED = [
    "https://app.example.com",
    "http://localhost:3000",
    "https://main.d1x.amplifyapp.com",
    "https://a.amplifyapp.com",
]
FOREIGN = [
    "https://evil.example",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.example",
    "https://amplifyapp.com",
    "https://xamplifyapp.com",
    "http://localhost:3001",
    "null",
]


@pytest.fixture
def any_origin(bridge, core, start_bridge):
    """A client of a bridge that lets every origin in, as it does by default."""
    with httpx.Client(base_url=start_bridge(core).url, trust_env=False, timeout=20.0) as http:
        yield http


def allowed(answer):
    return {
        name: value
        for name, value in answer.headers.items()
        if name.startswith("access-control-")
    }


def preflight(http, origin, path="/api/v1/events", **headers):
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", **headers}
    return http.options(path, headers=headers)


@pytest.mark.parametrize("origin", LISTED)
def test_listed_origins_are_let_in_with_credentials(http, origin):
    answer = http.get("/api/v1/inbox", headers={"Origin": origin})
    assert allowed(answer) == {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "X-Request-ID, Location, Retry-After, RateLimit, RateLimit-Policy",
    }
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", FOREIGN)
def test_other_origins_get_no_header(http, origin):
    answer = http.get("/health", headers={"Origin": origin})
    assert answer.status_code == 200 and allowed(answer) == {}
    assert answer.headers["vary"] == "Origin"
    answer = preflight(http, origin)
    assert answer.status_code == 204 and allowed(answer) == {}


def test_without_an_origin_there_is_no_header(http):
    answer = http.get("/health")
    assert allowed(answer) == {} and answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/inbox", "/health", "/nope"])
def test_preflight(http, path):
    answer = preflight(
        http, LISTED[0], path, **{"Access-Control-Request-Headers": "content-type,x-request-id"}
    )
    assert answer.status_code == 204 and answer.content == b""
    assert allowed(answer) == {
        "access-control-allow-origin": LISTED[0],
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "X-Request-ID, Location, Retry-After, RateLimit, RateLimit-Policy",
        "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
        "access-control-allow-headers": "content-type,x-request-id",
        "access-control-max-age": "600",
    }


def test_preflight_echoes_only_header_names(http):
    wrong = preflight(http, LISTED[0], **{"Access-Control-Request-Headers": "<script>"})
    assert wrong.status_code == 204
    assert "access-control-allow-headers" not in wrong.headers
    assert "access-control-allow-headers" not in preflight(http, LISTED[0]).headers


def test_options_without_preflight_headers_lists_methods(http):
    answer = http.options("/api/v1/events", headers={"Origin": LISTED[0]})
    assert answer.status_code == 204
    assert answer.headers["allow"] == "POST, GET, HEAD, OPTIONS"
    assert answer.headers["access-control-allow-origin"] == LISTED[0]
    assert "access-control-allow-methods" not in answer.headers


@pytest.mark.parametrize(
    "method, path, body, status",
    [
        ("GET", "/nope", None, 404),
        ("PUT", "/health", None, 405),
        ("POST", "/api/v1/events", b"{", 400),
        ("POST", "/api/v1/events", b"{}", 422),
        ("POST", "/api/v1/events", b"x" * 400000, 413),
        ("GET", "/api/v1/inbox?limit=0", None, 422),
        ("GET", "/api/v1/events/x", None, 404),
    ],
)
def test_errors_can_be_read_too(http, method, path, body, status):
    answer = http.request(method, path, content=body, headers={"Origin": LISTED[1]})
    check_problem(answer, status)
    assert answer.headers["access-control-allow-origin"] == LISTED[1]


@pytest.mark.parametrize("origin", ["https://any.example", "null", "http://localhost:5173"])
def test_every_origin_by_default(any_origin, origin):
    answer = any_origin.get("/health", headers={"Origin": origin})
    assert allowed(answer) == {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "X-Request-ID, Location, Retry-After, RateLimit, RateLimit-Policy",
    }
    assert "vary" not in answer.headers
    answer = preflight(any_origin, origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_the_old_front_end_polls_two_inboxes(any_origin):
    """Its page lists 100 pending and 100 acknowledged events from another origin, sends test
    events and acknowledges."""
    origin = {"Origin": "https://main.d2abc.amplifyapp.com"}
    asked = {"Access-Control-Request-Headers": "content-type"}
    assert preflight(any_origin, origin["Origin"], **asked).status_code == 204
    sent = any_origin.post("/api/v1/events", json=CREATE, headers=origin)
    assert sent.status_code == 201 and sent.json()["message"]
    event_id = create(any_origin)
    for _ in range(3):
        for status in ("pending", "acknowledged"):
            answer = any_origin.get(f"/api/v1/inbox?status={status}&limit=100", headers=origin)
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.json()["total"] == len(answer.json()["events"]) <= 100
        done = any_origin.delete(f"/api/v1/events/{event_id}", headers=origin)
        assert done.json()["status"] == "acknowledged"
    answer = any_origin.get("/api/v1/inbox?status=acknowledged&limit=100", headers=origin)
    assert event_id in [event["event_id"] for event in answer.json()["events"]]
