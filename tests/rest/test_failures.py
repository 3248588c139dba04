"""The core is away, hangs, or says no: a scripted core answers every call as told."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pynng
import pytest

from rest.checks import CREATE, MISSING_ID, check_problem
from support.network import free_port, wait_until
from support.protocol import envelope

# google.rpc.Code and the HTTP status that DESIGN gives it.
STATUSES = {
    "CANCELLED": 500,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 422,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 500,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


class ScriptedCore:
    """Answers every request with `reply`; with None it never answers."""

    def __init__(self):
        self.url = f"ws://127.0.0.1:{free_port()}/rpc"
        self.reply = None
        self.seen = []
        self._socket = pynng.Rep0(listen=self.url, recv_timeout=100)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while not self._stopping.is_set():
            try:
                self.seen.append(envelope.Request.FromString(self._socket.recv()))
            except pynng.Timeout:
                continue
            if self.reply is not None:
                self._socket.send(self.reply)

    def close(self):
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def fail(self, code, reason="SOME_REASON", message="some message", **details):
        response = envelope.Response(code=envelope.Code.Value(code), message=message)
        response.details.reason = reason
        response.details.retry_delay_ms = details.get("retry_delay_ms", 0)
        for field, description in details.get("fields", {}).items():
            response.details.field_violations.add(field=field, description=description)
        self.reply = response.SerializeToString()


@pytest.fixture
def scripted():
    core = ScriptedCore()
    yield core
    core.close()


@pytest.fixture
def client(scripted, start_bridge):
    """A client of a bridge for the scripted core."""
    bridge = start_bridge(None, TRIGGERS_CORE=scripted.url, TRIGGERS_CALL_TIMEOUT=1000)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as http:
        yield http


CALLS = [
    ("POST", "/api/v1/events", CREATE),
    ("POST", "/api/v1/events/batch", [CREATE]),
    ("GET", "/api/v1/inbox", None),
    ("GET", f"/api/v1/events/{MISSING_ID}", None),
    ("DELETE", f"/api/v1/events/{MISSING_ID}", None),
]


def test_every_code_has_its_status(client, scripted):
    for code, status in STATUSES.items():
        scripted.fail(code)
        for method, path, body in CALLS:
            answer = client.request(method, path, json=body)
            check_problem(answer, status, "SOME_REASON", "some message")


def test_unknown_codes_and_missing_reasons(client, scripted):
    scripted.reply = envelope.Response(code=77, message="odd").SerializeToString()
    check_problem(client.get("/api/v1/inbox"), 500)
    scripted.fail("INTERNAL", reason="")
    check_problem(client.get("/api/v1/inbox"), 500, "INTERNAL")


@pytest.mark.parametrize("reply", [b"\xff\xff\xff", b"garbage" * 100])
def test_replies_that_are_none(client, scripted, reply):
    scripted.reply = reply
    for method, path, body in CALLS:
        check_problem(client.request(method, path, json=body), 500)


def test_replies_without_the_event(client, scripted):
    """An empty message is an envelope that says OK; only an empty page can be told by it."""
    scripted.reply = b""
    for method, path, body in CALLS:
        answer = client.request(method, path, json=body)
        if path == "/api/v1/inbox":
            assert answer.json()["events"] == []
        else:
            check_problem(answer, 500)


@pytest.mark.parametrize("delay, seconds", [(0, 1), (1, 1), (1000, 1), (1001, 2), (60000, 60)])
@pytest.mark.parametrize("code, status", [("RESOURCE_EXHAUSTED", 429), ("UNAVAILABLE", 503)])
def test_retry_after(client, scripted, code, status, delay, seconds):
    scripted.fail(code, retry_delay_ms=delay)
    answer = client.get("/api/v1/inbox")
    check_problem(answer, status)
    assert answer.headers["retry-after"] == str(seconds)


def test_retry_after_is_only_for_overload(client, scripted):
    scripted.fail("NOT_FOUND", retry_delay_ms=5000)
    assert "retry-after" not in client.get("/api/v1/inbox").headers


def test_fields_of_the_core_become_pointers(client, scripted):
    scripted.fail("INVALID_ARGUMENT", fields={"source": "must be nice", "page_size": "must fit"})
    check_problem(
        client.get("/api/v1/inbox"),
        422,
        "SOME_REASON",
        "source must be nice; limit must fit",
        ["#/source", "#/limit"],
    )


def test_a_core_that_hangs_meets_the_deadline(client, scripted):
    answer = client.post("/api/v1/events", json=CREATE)
    check_problem(answer, 504, "DEADLINE_EXCEEDED")
    assert client.get("/ready").json()["core"] == "unreachable"
    assert client.get("/health").status_code == 200
    assert scripted.seen[0].method == "triggers.v1.EventService/CreateEvent"


def test_the_limit_of_calls(scripted, start_bridge):
    """With room for one call the second is refused at once; the first still ends in its time."""
    bridge = start_bridge(
        None,
        TRIGGERS_CORE=scripted.url,
        TRIGGERS_CALL_TIMEOUT=3000,
        TRIGGERS_BRIDGE_CALLS=1,
    )
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as http:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(http.get, "/api/v1/inbox")
            wait_until(lambda: scripted.seen, "the first call at the core")
            check_problem(http.get("/api/v1/inbox"), 503, "OVERLOADED")
            assert http.get("/health").status_code == 200
            check_problem(first.result(), 504, "DEADLINE_EXCEEDED")


def test_overload_that_lasts_shows_in_ready(scripted, start_bridge):
    """When even small requests have been refused for some seconds, whatever the core says."""
    bridge = start_bridge(
        None, TRIGGERS_CORE=scripted.url, TRIGGERS_CALL_TIMEOUT=20000, TRIGGERS_BRIDGE_CALLS=2
    )
    with (
        httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as http,
        ThreadPoolExecutor(2) as pool,
    ):
        waiting = [pool.submit(http.get, "/api/v1/inbox") for _ in range(2)]
        wait_until(lambda: len(scripted.seen) == 2, "two calls at the core")
        check_problem(http.get("/api/v1/inbox"), 503, "OVERLOADED")

        def overloaded():
            ready = http.get("/ready")
            assert ready.status_code == 503
            return ready.json()["status"] == "overloaded" and ready

        ready = wait_until(overloaded, "overload in /ready")
        assert ready.headers["content-type"] == "application/json"
        assert ready.json() == {"status": "overloaded", "core": "unknown", "store": "unknown"}
        assert http.get("/metrics").status_code == 200
        assert {answer.result().status_code for answer in waiting} == {504}
        assert http.get("/ready").json()["status"] == "unavailable"


@pytest.fixture
def away(start_bridge):
    """A bridge whose core does not exist, and where that core would be."""
    url = f"ws://127.0.0.1:{free_port()}/rpc"
    return start_bridge(None, TRIGGERS_CORE=url), url


def test_a_core_that_is_away(away):
    bridge, url = away
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as http:
        for method, path, body in CALLS:
            answer = http.request(method, path, json=body)
            check_problem(answer, 503, "CORE_UNREACHABLE")
            assert url not in answer.text
        ready = http.get("/ready")
        assert ready.status_code == 503
        assert ready.headers["content-type"] == "application/json"
        assert ready.json() == {"status": "unavailable", "core": "unreachable", "store": "unknown"}
        assert http.get("/health").status_code == 200
        check_problem(http.get("/api/v1/events/none"), 404)
        check_problem(http.post("/api/v1/events", json={}), 422)
    (lost,) = [entry for entry in bridge.log if entry["message"] == "core unreachable"]
    assert lost["core"] == url


def test_a_core_that_comes_and_goes_and_comes(away, start_core):
    bridge, url = away
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as http:
        check_problem(http.get("/api/v1/inbox"), 503, "CORE_UNREACHABLE")
        core = start_core(TRIGGERS_LISTEN=url)
        bridge.wait_answering("/ready")
        assert http.post("/api/v1/events", json=CREATE).status_code == 201
        assert json.loads(bridge.wait_for_line("core reachable again"))["level"] == "info"
        core.stop()
        wait_until(lambda: http.get("/ready").status_code == 503, "not ready without a core")
        start_core(TRIGGERS_LISTEN=url)
        bridge.wait_answering("/ready")


def test_a_store_that_is_away(own_postgres, start_core, start_bridge):
    core = start_core(DATABASE_URL=own_postgres.create_database())
    bridge = start_bridge(core)
    bridge.wait_answering("/ready")
    own_postgres.stop()
    expected = {"status": "unavailable", "core": "ok", "store": "unavailable"}
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as http:

        def not_ready():
            http.post("/api/v1/events", json=CREATE)
            answer = http.get("/ready")
            return answer.status_code == 503 and answer.json() == expected

        wait_until(not_ready, "the store's absence in /ready")
        for answer in (http.post("/api/v1/events", json=CREATE), http.get("/api/v1/inbox")):
            problem = check_problem(answer, 503, "STORE_UNAVAILABLE")
            assert problem["detail"] == "The core cannot use its store now; the core's log says why"
        own_postgres.start()
        bridge.wait_answering("/ready")
        assert http.post("/api/v1/events", json=CREATE).status_code == 201
