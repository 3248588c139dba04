"""Peers that take their time: bodies that do not come, answers that are not read. They hold what they
have sent or were sent, no longer than its size allows, and honest callers are served meanwhile."""

import contextlib
import json
import socket
import threading

import httpx
import pytest

from rest.checks import CREATE
from support.https import secured
from support.metrics import Metrics
from support.network import wait_until
from rest.wire import Wire, with_key
from support.one_store import store_name  # noqa: F401

MIB = 1048576
BATCH = "POST /api/v1/events/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = 8 * MIB
PAGE = "GET /api/v1/inbox?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = {"source": "crm", "event_type": "large", "payload": {"a": "x" * 250_000}}
PATIENCE = {"TRIGGERS_BRIDGE_REQUEST_TIMEOUT": 1000}
BRIDGE_SETTINGS = {"LOG_LEVEL": "warning"}


@pytest.fixture(scope="module")
def pages(http):
    """Makes pages of the largest size, 8 MiB."""
    for _ in range(34):
        assert http.post("/api/v1/events", json=LARGE).status_code == 201


@pytest.fixture
def impatient(core, start_bridge):
    """A bridge that waits a second for what it waits for by default ten."""
    return start_bridge(core, LOG_LEVEL="warning", **PATIENCE)


def http_of(bridge):
    return httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0)


def metric(http, name, **labels):
    return Metrics(http.get("/metrics").text).value(f"triggers_bridge_{name}", **labels)


def held(http):
    return metric(http, "held_memory_bytes")


def connect(stack, bridge, number=1, room=None):
    """A connection from 127.0.0.`number`, which receives `room` bytes before it reads."""
    peer = stack.enter_context(socket.socket())
    if room:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    peer.bind((f"127.0.0.{number}", 0))
    peer.settimeout(60)
    peer.connect(("127.0.0.1", bridge.port))
    return stack.enter_context(secured(bridge, peer))


def large_batch(size=BODY):
    """A batch of almost `size` bytes."""
    event = json.dumps(LARGE)
    return "[" + ",".join([event] * (size // (len(event) + 1))) + "]"


def eventually(call):
    """The answer to a call that tries again when told to (the core may say so, too) or when it was late."""

    def answered():
        with contextlib.suppress(httpx.TimeoutException):
            answer = call()
            return answer.status_code not in (429, 503, 504) and answer

    return wait_until(answered, "an answer", 240)


def create_is_served(http):
    assert eventually(lambda: http.post("/api/v1/events", json=CREATE)).status_code == 201
    assert eventually(lambda: http.get("/api/v1/inbox?limit=1")).status_code == 200
    assert eventually(lambda: http.get("/ready")).status_code == 200


def large_ones_are_served(http):
    batch = eventually(
        lambda: http.post(
            "/api/v1/events/batch", content=large_batch(), headers={"Content-Type": "application/json"}
        )
    )
    assert batch.status_code == 200, batch.text
    page = eventually(lambda: http.get("/api/v1/inbox?limit=1000"))
    assert page.status_code == 200 and len(page.content) > 7 * MIB


@pytest.mark.parametrize("begun", [b"", b"[", b"[" + b" " * 4000])
def test_what_is_announced_takes_no_memory(bridge, http, begun):
    before = held(http)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            peer = connect(stack, bridge)
            peer.sendall(with_key(f"{BATCH}Content-Length: {BODY}\r\n\r\n".encode()) + begun)
        wait_until(lambda: metric(http, "requests_in_flight") >= 100, "all begun")
        for _ in range(10):
            create_is_served(http)
        small = http.post("/api/v1/events/batch", json=[CREATE] * 1000)
        assert small.status_code == 200
        assert held(http) - before < 100 * (len(begun) + 65536)


@pytest.mark.parametrize(
    ("addresses", "chunked"), [(1, False), (8, True)], ids=["one address", "many, in chunks"]
)
def test_bodies_that_stop_before_their_end(bridge, http, pages, addresses, chunked):
    """They are told to come back, or the slowest make room."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {BODY}"
    stop = threading.Event()

    def attack(number):
        """Sends most of a body, says nothing more, and does it again when it is closed."""
        while not stop.is_set():
            with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
                peer = connect(stack, bridge, 1 + number % addresses)
                peer.sendall(with_key(f"{BATCH}{length}\r\n\r\n".encode()))
                if chunked:
                    peer.sendall(b"7fffff\r\n")
                peer.sendall(b"[" + b" " * (BODY - 100))
                peer.settimeout(0.2)
                while not stop.is_set():
                    with contextlib.suppress(TimeoutError):
                        if not peer.recv(1):
                            break

    threads = [threading.Thread(target=attack, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: held(http) > 8 * MIB, "bodies held")
        create_is_served(http)
        large_ones_are_served(http)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    wait_until(lambda: held(http) < MIB, "memory given back")


DRIBBLES = {
    "the request line": (b"POST /api/v1", b"x"),
    "the head": (b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nX-", b"x"),
    "a body": (b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n{", b" "),
    "a body one byte short": (
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n{}",
        b"",
    ),
    "a body never used": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n", b"x"),
    "chunks": (
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
    ),
    "the size of a chunk": (
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0",
    ),
    "a body in lines": (
        b"POST /api/v1/events/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        b"Content-Length: 8388608\r\n\r\n",
        b"\n",
    ),
    "HTTP/1.0": (b"POST /api/v1/events HTTP/1.0\r\nContent-Length: 20000\r\n\r\n{", b" "),
    "silence after 100": (
        b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200\r\n"
        b"Expect: 100-continue\r\n\r\n",
        b"",
    ),
    "the second request": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea", b"x"),
}


@pytest.mark.parametrize("name", DRIBBLES)
def test_requests_that_do_not_end_are_ended(impatient, name):
    """Whatever keeps coming, too little of it is not waited for. The last answer says so."""
    first, more = DRIBBLES[name]
    with Wire(impatient) as wire:
        wire.send(first)
        stop = threading.Event()

        def dribble():
            with contextlib.suppress(OSError):
                while more and not stop.wait(0.1):
                    wire.send(more)

        thread = threading.Thread(target=dribble)
        thread.start()
        try:
            answer = wire.read()
            if name == "the second request":
                assert answer.status == 200
                answer = wire.read()
            check_timeout(answer)
            assert wire.closed()
        finally:
            stop.set()
            thread.join()


def check_timeout(answer):
    assert answer and answer.status == 408, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    problem = json.loads(answer.body)
    assert problem["status"] == 408 and problem["code"] == "REQUEST_TIMEOUT"


def test_a_large_body_may_take_longer(impatient):
    """64 KiB in 100 pieces over more than the second that a small one may take."""
    body = json.dumps({**CREATE, "payload": {"a": "x" * 65536}})
    with Wire(impatient) as wire:
        wire.send(f"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n")
        pieces = [body[at : at + len(body) // 20] for at in range(0, len(body), len(body) // 20)]
        pause = threading.Event()
        for piece in pieces:
            wire.send(piece)
            pause.wait(0.1)
        answer = wire.read()
        assert answer and answer.status == 201, answer


def test_idle_connections_are_left_alone(impatient):
    """Before the first request and between two."""
    with Wire(impatient) as silent, Wire(impatient) as used, Wire(impatient) as late:
        used.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert used.read().status == 200
        late.send("GET /hea")
        check_timeout(late.read())  # so much time has passed
        for wire in (silent, used):
            wire.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert wire.read().status == 200


@pytest.mark.parametrize(
    ("addresses", "requests"), [(1, 20), (8, 1)], ids=["one address, pipelined", "many addresses"]
)
def test_pages_that_nobody_reads(bridge, http, pages, addresses, requests):
    """The slowest readers make room, and others get their pages and batches."""
    stop = threading.Event()

    def attack(number):
        while not stop.is_set():
            with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
                peer = connect(stack, bridge, 1 + number % addresses, room=4096)
                peer.sendall(with_key(PAGE.encode()) * requests)
                stop.wait(5)

    threads = [threading.Thread(target=attack, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: held(http) > 8 * MIB, "pages held")
        create_is_served(http)
        large_ones_are_served(http)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    wait_until(lambda: held(http) < MIB, "memory given back")


@pytest.mark.parametrize("path", ["/api/v1/inbox?limit=1000", "/openapi.json"])
def test_answers_that_nobody_reads_are_ended(core, impatient, pages, path):
    """Even a few kilobytes, of which the head does not fit."""
    with contextlib.ExitStack() as stack, http_of(impatient) as http:
        peer = connect(stack, impatient, room=1)
        for _ in range(100):
            with contextlib.suppress(OSError):
                peer.sendall(with_key(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()))
        wait_until(
            lambda: metric(http, "slow_connections_closed_total", reason="late") == 1, "closed"
        )
        wait_until(lambda: metric(http, "requests_in_flight") == 1, "ended")


def test_a_slow_reader_gets_its_page(impatient, pages):
    """It takes longer than the second that a small answer may take."""
    with contextlib.ExitStack() as stack:
        peer = connect(stack, impatient, room=65536)
        peer.sendall(with_key(PAGE.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode()))
        pause = threading.Event()
        size = 0
        while piece := peer.recv(262144):
            size += len(piece)
            pause.wait(0.02)
        assert size > 7 * MIB
