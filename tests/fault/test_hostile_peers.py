"""Peers that hold connections and give nothing: thousands that idle, headers and bodies that trickle,
frames that never end, answers that nobody reads. Honest callers are served throughout."""

import contextlib
import resource
import socket
import sqlite3
import time

import httpx
import pytest

from support.memory import KIB, MIB, assert_below, resident
from support.network import free_port, free_url, wait_until
from support.peer import connect
from support.program import Program, program_path
from support.rpc import BareClient, RpcClient

HONEST_SECONDS = 2.0  # an honest call takes less, whatever the others do
CORE_BYTES_PER_PEER = 64 * KIB
BRIDGE_BYTES_PER_PEER = 64 * KIB
CORE_BOUND = 200 * MIB
BRIDGE_BOUND = 250 * MIB
PAGES_SECONDS = 10.0  # the same while a sanitized bridge makes pages for others


@pytest.fixture
def room():
    """room(): lets this process, but not those it started, have all descriptors; returns how many."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def make():
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
        return before[1]

    yield make
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def limited_core(started, tmp_path):
    """A core that may have 600 descriptors, and its address."""
    url = f"ws://127.0.0.1:{free_port()}/rpc"
    command = ["prlimit", "--nofile=600:600", program_path("triggersd")]
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path}/triggers.db", "TRIGGERS_LISTEN": url}
    core = Program(command, tmp_path, LOG_LEVEL="warning", **settings)
    started.append(core)
    with RpcClient(url) as rpc:
        wait_until(rpc.serving, "serving")
    return core, url


def address_of(program):
    return "127.0.0.1", int(program.url.split(":")[2].split("/")[0])


def connect_many(stack, address, count, first=b""):
    """So many connections that have sent `first`."""
    peers = []
    for _ in range(count):
        peer = stack.enter_context(socket.create_connection(address, 20))
        if first:
            peer.sendall(first)
        peers.append(peer)
    return peers


def served(http):
    """Asserts that a create and a list work now, and soon."""
    start = time.monotonic()
    body = {"source": "crm", "event_type": "lead", "payload": {}}
    assert http.post("/api/v1/events", json=body).status_code == 201
    assert http.get("/api/v1/inbox?limit=1").status_code == 200
    seconds = time.monotonic() - start
    assert seconds < HONEST_SECONDS, f"an honest caller waited {seconds:.2f} s"
    return seconds


def new_client(bridge):
    return httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0)


def test_idle_connections_of_the_core(room, start_core, pick, told):
    core = start_core(LOG_LEVEL="warning")
    count = min(pick(1500, 10000), room() - 1000)
    before = resident(core)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.callback(connect(core.url).close)
        with core.client() as rpc:
            start = time.monotonic()
            assert rpc.create().event_id
            took = time.monotonic() - start
        grown = resident(core) - before
        told(f"{count} idle connections of triggersd: {grown / count / KIB:.0f} KiB each,"
             f" a new caller served in {took:.2f} s")
        assert took < HONEST_SECONDS
        assert grown < count * CORE_BYTES_PER_PEER
    wait_until(lambda: core.descriptors() < 100, "descriptors given back")


def test_more_connections_than_descriptors(limited_core):
    """The core keeps enough descriptors for its store; honest callers that are connected stay."""
    core, url = limited_core
    with contextlib.ExitStack() as stack, RpcClient(url) as rpc:
        assert rpc.serving()
        for _ in range(700):
            with contextlib.suppress(OSError, AssertionError):
                stack.callback(connect(url).close)
        core.wait_for_line("too many connections")
        assert core.descriptors() < 500
        assert rpc.create().event_id
    with RpcClient(url) as rpc:
        wait_until(rpc.serving, "new callers served when the crowd is gone")


def test_idle_connections_of_the_bridge(room, start_core, start_bridge, pick, told):
    core = start_core(LOG_LEVEL="warning")
    bridge = start_bridge(core, LOG_LEVEL="warning", TRIGGERS_BRIDGE_CONNECTIONS=11000)
    count = min(pick(1500, 10000), room() - 1000)
    before = resident(bridge)
    with contextlib.ExitStack() as stack:
        connect_many(stack, address_of(bridge), count)
        with new_client(bridge) as http:
            took = max(served(http) for _ in range(10))
        grown = resident(bridge) - before
        told(f"{count} idle connections of triggers-bridge: {grown / count / KIB:.0f} KiB each,"
             f" honest callers served in {took:.2f} s")
        assert grown < count * BRIDGE_BYTES_PER_PEER
    wait_until(lambda: bridge.descriptors() < 100, "descriptors given back")


HEAD = b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"source":"slow","event_type":"slow","payload":{}}'


UNFINISHED = {
    "headers": HEAD,
    "body": HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:10],
    "chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    "method": b"G",
}


@pytest.mark.parametrize("sent", UNFINISHED.values(), ids=UNFINISHED)
def test_requests_that_stay_unfinished(start_core, start_bridge, pick, sent):
    count = pick(300, 900)
    bridge = start_bridge(start_core(LOG_LEVEL="warning"), LOG_LEVEL="warning")
    with contextlib.ExitStack() as stack:
        connect_many(stack, address_of(bridge), count, sent)
        with new_client(bridge) as http:
            for _ in range(10):
                served(http)


def test_more_connections_than_allowed(start_core, start_bridge, tmp_path):
    """Those that give nothing make room for others; a request in hand keeps its connection."""
    path = tmp_path / "slow.db"
    core = start_core(DATABASE_URL=f"sqlite:///{path}", LOG_LEVEL="warning")
    bridge = start_bridge(core, LOG_LEVEL="warning", TRIGGERS_BRIDGE_CONNECTIONS=100)
    lock = sqlite3.connect(path, isolation_level=None)
    with contextlib.ExitStack() as stack:
        honest = stack.enter_context(socket.create_connection(address_of(bridge), 20))
        lock.execute("begin immediate")  # the core's commit waits for us
        honest.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        for sent in [b"", *UNFINISHED.values(), b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"]:
            connect_many(stack, address_of(bridge), 100, sent)
            with new_client(bridge) as http:
                assert http.get("/api/v1/inbox?limit=1").status_code == 200
        assert bridge.descriptors() < 250
        lock.execute("rollback")
        lock.close()
        assert honest.recv(12) == b"HTTP/1.1 201"


def test_request_sent_byte_by_byte(start_core, start_bridge, pick):
    """Many at once; each gets its answer in the end, and honest callers theirs meanwhile."""
    count = pick(50, 500)
    bridge = start_bridge(start_core(LOG_LEVEL="warning"), LOG_LEVEL="warning")
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with contextlib.ExitStack() as stack:
        peers = connect_many(stack, address_of(bridge), count)
        with new_client(bridge) as http:
            for place in range(len(request)):
                for peer in peers:
                    peer.sendall(request[place : place + 1])
                if place % 20 == 0:
                    served(http)
        for peer in peers:
            assert peer.recv(12) == b"HTTP/1.1 201"


def test_answers_that_nobody_reads_over_http(start_core, start_bridge, pick):
    """Peers that ask for large pages, again and again, and take nothing."""
    core = start_core(LOG_LEVEL="warning")
    bridge = start_bridge(core, LOG_LEVEL="warning")
    with core.client() as rpc:
        for _ in range(10):
            rpc.create(payload=b'{"a":"%s"}' % (b"x" * 200000))
    ask = b"GET /api/v1/inbox?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3
    with contextlib.ExitStack() as stack:
        connect_many(stack, address_of(bridge), pick(100, 500), ask)
        with new_client(bridge) as http:
            statuses = set()
            for _ in range(10):
                start = time.monotonic()
                answer = http.post(
                    "/api/v1/events", json={"source": "a", "event_type": "b", "payload": {}}
                )
                statuses.add(answer.status_code)
                assert time.monotonic() - start < PAGES_SECONDS
                if answer.status_code == 503:
                    assert "retry-after" in answer.headers
            assert 201 in statuses and statuses <= {201, 503}, statuses
        assert_below(bridge, resident(bridge), BRIDGE_BOUND)


BEGUN = {
    "ws": b"\x82\xff" + (8 << 20).to_bytes(8, "big") + bytes(4) + b"x" * 100,
    "tcp": (8 << 20).to_bytes(8, "big") + b"\x80\0\0\1" + b"x" * 100,
}


@pytest.mark.parametrize("scheme", BEGUN)
def test_frames_that_never_end(start_core, pick, scheme):
    """Peers of the core that begin a message and stop."""
    core = start_core(TRIGGERS_LISTEN=free_url(scheme), LOG_LEVEL="warning")
    with contextlib.ExitStack() as stack:
        for _ in range(pick(100, 1000)):
            peer = connect(core.url)
            stack.callback(peer.close)
            peer.send_bytes(BEGUN[scheme])
        with core.client() as rpc:
            for _ in range(10):
                start = time.monotonic()
                assert rpc.create().event_id
                assert time.monotonic() - start < HONEST_SECONDS
        assert_below(core, resident(core), CORE_BOUND)


def test_large_messages_that_trickle(start_core, pick, told):
    """Peers whose messages are nearly whole take the memory for requests, and no more; who sends
    whole ones is told, or served."""
    core = start_core(TRIGGERS_LISTEN=free_url("tcp"), LOG_LEVEL="warning")
    size = 4 << 20
    begun = size.to_bytes(8, "big") + b"\x80\0\0\1" + b"x" * (size - 100)
    with contextlib.ExitStack() as stack:
        for _ in range(pick(40, 200)):
            peer = connect(core.url)
            stack.callback(peer.close)
            with contextlib.suppress(ConnectionError):
                peer.send_bytes(begun)
        with BareClient(core.url) as rpc:
            assert rpc.create().event_id
        told(f"{pick(40, 200)} messages of 4 MiB that do not end: {resident(core) / MIB:.0f} MiB")
        assert_below(core, resident(core), CORE_BOUND)


def test_handshakes_that_never_end(start_core, pick):
    core = start_core(LOG_LEVEL="warning")
    with contextlib.ExitStack() as stack:
        connect_many(stack, address_of(core), pick(500, 5000), b"GET /rpc HTTP/1.1\r\nHost: localhost\r\n")
        with core.client() as rpc:
            assert rpc.create().event_id
