"""Peers that hold connections and give nothing: thousands that idle, headers and bodies that trickle,
frames that never end, answers that nobody reads. Honest callers are served throughout."""

import contextlib
import resource
import select
import socket
import sqlite3
import ssl
import struct
import time

import httpx
import pytest

from support.certificates import make_certificate
from support.memory import KIB, MIB, assert_below, resident
from support.network import DEADLINE, free_port, free_url, wait_until
from support.peer import GREETING, REQUESTER, connect, websocket_frame
from support.program import Program, program_path
from support.protocol import envelope, events, stats
from support.rpc import EVENT_SERVICE, GET_STATS, HEALTH_CHECK, BareClient, RpcClient, encode

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
        assert core.descriptors() < 590  # of 600; the store's are kept
        assert rpc.create().event_id
    with RpcClient(url) as rpc:
        wait_until(rpc.serving, "new callers served when the crowd is gone")


def test_idle_connections_of_the_bridge(room, start_core, start_bridge, pick, told):
    core = start_core(LOG_LEVEL="warning")
    bridge = start_bridge(core, LOG_LEVEL="warning", TRIGGERS_BRIDGE_CONNECTIONS=11000, TRIGGERS_BRIDGE_MEMORY=1 << 30)
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


HALF = b"\x80\0\0\1" + b"x" * 200_000  # of a message of 8 MiB
PING = b"\x89\x80\0\0\0\0"


def half_over_tcp(urls, certificate):
    return connect(urls["tcp"]).socket, (8 << 20).to_bytes(8, "big") + HALF, b""


def half_over_ws(urls, certificate):
    return connect(urls["ws"]).socket, b"\x82\xff" + (8 << 20).to_bytes(8, "big") + bytes(4) + HALF, b""


def half_over_ws_with_pings(urls, certificate):
    """A fragment that is whole, and pings after it."""
    return connect(urls["ws"]).socket, websocket_frame(0x02, HALF), PING


def half_over_ipc(urls, certificate):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(urls["ipc"].removeprefix("ipc://"))
    peer.sendall(GREETING % REQUESTER)
    assert len(peer.recv(8)) == 8
    return peer, b"\1" + (8 << 20).to_bytes(8, "big") + HALF, b""


def half_over_tls(urls, certificate):
    peer = socket.create_connection(address_of_url(urls["tls+tcp"]), 20)
    context = ssl.create_default_context(cafile=certificate)
    peer = context.wrap_socket(peer, server_hostname="localhost")
    peer.sendall(GREETING % REQUESTER)
    assert len(peer.recv(8)) == 8
    return peer, (8 << 20).to_bytes(8, "big") + HALF, b""


def address_of_url(url):
    host, port = url.rsplit("://")[1].split("/")[0].split(":")
    return host, int(port)


def was_cut_off(peer):
    """Whether a peer that reads nothing has been cut off."""
    readable = select.poll()
    readable.register(peer, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return bool(readable.poll(0))


def test_peers_that_stop_in_the_middle_are_cut_off(start_core, tmp_path):
    """Ten seconds of rest are all that a message gets, over any transport, and an answer the same: also
    from peers that go on with something else."""
    certificate, key = make_certificate(tmp_path)
    urls = {scheme: free_url(scheme) for scheme in ("ws", "tcp", "tls+tcp")}
    urls["ipc"] = f"ipc://{tmp_path}/socket"
    core = start_core(
        TRIGGERS_LISTEN=",".join(urls.values()), TRIGGERS_TLS_CERT=certificate, TRIGGERS_TLS_KEY=key
    )
    with core.client() as rpc:
        for _ in range(10):
            rpc.create(payload=b'{"a":"%s"}' % (b"x" * 250_000))
    kinds = [half_over_tcp, half_over_ws, half_over_ws_with_pings, half_over_ipc, half_over_tls]
    with contextlib.ExitStack() as stack:
        peers = {}
        reader = stack.enter_context(connect(urls["tcp"]))
        for number in range(20):  # more than the kernel takes
            reader.send(encode(f"{EVENT_SERVICE}/ListInbox", b""), number)
        start = time.monotonic()
        for kind in kinds:
            peer, data, again = kind(urls, certificate)
            stack.callback(peer.close)
            peer.sendall(data)
            peers[kind.__name__] = peer, again

        def all_cut_off():
            for name, (peer, again) in list(peers.items()):
                try:
                    peer.sendall(again)
                    if was_cut_off(peer):
                        del peers[name]
                except OSError:
                    del peers[name]
            assert len(peers) == len(kinds) or time.monotonic() - start > 9.0, "cut off too early"
            return not peers

        wait_until(all_cut_off, "all cut off", 45.0, 0.1)
        # What the kernel takes of the answers counts as read, at 64 KiB a second.
        core.wait_for_line("it does not read its messages", DEADLINE + 6 * MIB / (64 * KIB))


def test_a_message_that_comes_steadily_is_served(start_core):
    """A little faster than it must, for longer than it may rest."""
    core = start_core(TRIGGERS_LISTEN=free_url("tcp"), LOG_LEVEL="warning")
    payload = b'{"a":"%s"}' % (b"x" * 250_000)
    event = events.CreateEventRequest(source="a", event_type="b", payload=payload)
    batch = events.BatchCreateEventsRequest(events=[event] * 6)
    message = connect(core.url).frame(
        b"\x80\0\0\1" + encode(f"{EVENT_SERVICE}/BatchCreateEvents", batch)
    )
    with connect(core.url) as peer:
        for place in range(0, len(message), 12_000):
            peer.send_bytes(message[place : place + 12_000])
            time.sleep(0.1)
        _, answer = peer.receive()
        assert envelope.Response.FromString(answer).code == envelope.OK


def test_a_large_room_is_not_kept_by_small_messages(start_core):
    """Each read ends within the next small message, so that the connection is never idle."""
    core = start_core(TRIGGERS_LISTEN=free_url("tcp"), LOG_LEVEL="warning")
    small = b"\x80\0\0\1" + encode(HEALTH_CHECK, b"")
    framed = struct.pack(">Q", len(small)) + small
    large = b"\x80\0\0\1" + encode(HEALTH_CHECK, b"\x9a\x06\xff\xff\xff\x03" + b"x" * ((8 << 20) - 1))
    with contextlib.ExitStack() as stack, BareClient(core.url) as rpc:
        for _ in range(3):
            peer = connect(core.url)
            stack.callback(peer.close)
            peer.send_bytes(struct.pack(">Q", len(large)) + large + framed[:10])
            peer.receive()
            peer.send_bytes(framed[10:] + framed[:10])
            peer.receive()
        wait_until(lambda: memory_held(rpc) < 1 * MIB, "the rooms given back")


def memory_held(rpc):
    samples = stats.GetStatsResponse.FromString(rpc.call(GET_STATS, b"").body).text
    return next(
        float(line.split()[-1])
        for line in samples.splitlines()
        if line.startswith("triggers_core_held_memory_bytes")
    )


def test_handshakes_that_never_end(start_core, pick):
    core = start_core(LOG_LEVEL="warning")
    with contextlib.ExitStack() as stack:
        connect_many(stack, address_of(core), pick(500, 5000), b"GET /rpc HTTP/1.1\r\nHost: localhost\r\n")
        with core.client() as rpc:
            assert rpc.create().event_id
