"""The ceiling of memory: a core and a bridge in one memory cgroup of 200 MiB, under loads that would take
much more if what callers make them hold were not counted. Nothing is killed, and honest callers of both
protocols are served meanwhile."""

import contextlib
import resource
import selectors
import socket
import struct
import threading
import time

import httpx
import pytest

from support.cgroup import MemoryGroup
from support.memory import MIB, resident, sanitized
from support.network import free_port, wait_until
from support.peer import connect
from support.protocol import events, health
from support.rpc import EVENT_SERVICE, BareClient, RpcError, encode
from support.session import Session

# What a caller answers by sending again, as REST's 429, 503 and 504.
COME_AGAIN = ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED")

LIMIT = 200 * MIB
SANITIZED = {"ASAN_OPTIONS": "quarantine_size_mb=8:detect_leaks=1:exitcode=86"}
BATCH = 1000
RECEIVE = 1 << 16


class Pair:
    """A core and a bridge in one group, and honest callers of both."""

    def __init__(self, core, bridge, group):
        self.core, self.bridge, self.group = core, bridge, group
        self.most = {}

    def look(self):
        for program in (self.core, self.bridge):
            self.most[program.name] = max(self.most.get(program.name, 0), resident(program))

    def assert_alive(self):
        assert self.core.running, self.core.describe()
        assert self.bridge.running, self.bridge.describe()
        assert self.group.kills() == 0

    def describe(self):
        sizes = ", ".join(f"{name} {size / MIB:.0f} MiB" for name, size in self.most.items())
        return f"{sizes} at most, the group {self.group.peak() / MIB:.0f}"


@pytest.fixture
def pair(postgres, start_core, start_bridge, request):
    """A pair on PostgreSQL, whose memory is not counted here."""
    urls = f"ws://127.0.0.1:{free_port()}/rpc,tcp://127.0.0.1:{free_port()}"
    store = postgres.create_database()
    core = start_core(DATABASE_URL=store, TRIGGERS_LISTEN=urls, LOG_LEVEL="error", **SANITIZED)
    bridge = start_bridge(None, TRIGGERS_CORE=core.urls[0], LOG_LEVEL="error", **SANITIZED)
    bridge.wait_answering("/ready")
    group = MemoryGroup(LIMIT * 4 if sanitized(core) else LIMIT)
    request.addfinalizer(lambda: wait_until(lambda: not closes(group), "an empty group"))
    group.add(core)
    group.add(bridge)
    pair = Pair(core, bridge, group)
    with Session(postgres, store) as pair.session:
        yield pair
    pair.assert_alive()
    bridge.stop()
    core.stop()


def closes(group):
    """Whether the group cannot be closed yet."""
    try:
        group.close()
    except OSError:
        return True
    return False


class Honest:
    """Callers that create one small event after the other, over each protocol, in the background."""

    def __init__(self, pair):
        self.pair = pair
        self.took = {"binary": [], "rest": []}
        self.refused = {"binary": 0, "rest": 0}
        self.wrong = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(name, call), daemon=True)
            for name, call in (("binary", self._binary), ("rest", self._rest))
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, name, open_caller):
        try:
            with open_caller() as call:
                while not self._stop.is_set():
                    start = time.monotonic()
                    if call():
                        self.took[name].append(time.monotonic() - start)
                    else:
                        self.refused[name] += 1
                    self._stop.wait(0.02)
        except Exception as error:  # noqa: BLE001 - every surprise is a finding
            self.wrong.append(f"{name}: {error!r}")

    @contextlib.contextmanager
    def _binary(self):
        with BareClient(self.pair.core.url) as rpc:

            def create():
                try:
                    return rpc.create().event_id
                except RpcError as error:
                    assert error.code in COME_AGAIN, error
                    return None

            yield create

    @contextlib.contextmanager
    def _rest(self):
        body = {"source": "crm", "event_type": "lead", "payload": {}}
        with httpx.Client(base_url=self.pair.bridge.url, trust_env=False, timeout=30.0) as http:

            def create():
                response = http.post("/api/v1/events", json=body)
                assert response.status_code in (201, 429, 503, 504), response.text
                return response.status_code == 201

            yield create

    def describe(self):
        return "; ".join(
            f"{name} {len(took)} creates, {self.refused[name]} refused,"
            f" {max(took, default=0) * 1000:.0f} ms at most"
            for name, took in self.took.items()
        )

    def assert_served(self, names=("binary", "rest")):
        assert not self.wrong, self.wrong
        for name in names:
            assert len(self.took[name]) > self.refused[name], f"{name}: {self.describe()}"


@pytest.fixture
def room():
    """Descriptors for a thousand connections of ours."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def exchange(address, messages, seconds, is_whole, each_turn):
    """Sends each message over a connection of its own, all at once, until each is answered (as
    is_whole(bytes) says) or has lost its connection; begins each anew until `seconds` have passed. Returns
    the answers' beginnings, counted."""
    end = time.monotonic() + seconds
    answers = {}
    with selectors.DefaultSelector() as selector:

        def begin(message):
            peer = socket.create_connection(address, 20)
            peer.setblocking(False)
            state = [message, memoryview(message), b""]
            selector.register(peer, selectors.EVENT_READ | selectors.EVENT_WRITE, state)

        def finish(peer, message, answer):
            selector.unregister(peer)
            peer.close()
            answers[answer] = answers.get(answer, 0) + 1
            if time.monotonic() < end:
                with contextlib.suppress(OSError):
                    begin(message)

        for message in messages:
            begin(message)
        last = time.monotonic() + seconds + 60
        while selector.get_map() and time.monotonic() < last:
            for key, ready in selector.select(1.0):
                state = key.data
                try:
                    if ready & selectors.EVENT_WRITE and state[1]:
                        state[1] = state[1][key.fileobj.send(state[1]) :]
                        if not state[1]:
                            selector.modify(key.fileobj, selectors.EVENT_READ, state)
                    if ready & selectors.EVENT_READ:
                        received = key.fileobj.recv(RECEIVE)
                        state[2] += received
                        if not received or is_whole(state[2]):
                            finish(key.fileobj, state[0], state[2][9:12] if received else b"closed")
                except BlockingIOError:
                    pass
                except OSError:
                    finish(key.fileobj, state[0], b"closed")
            each_turn()
        assert not selector.get_map(), f"{len(selector.get_map())} calls hang"
    return answers


def http_is_whole(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return answer.endswith(b"\r\n0\r\n\r\n")


def sp_is_whole(answer):
    return len(answer) > 16 and len(answer) >= 16 + int.from_bytes(answer[8:16], "big")


def tcp_request(message):
    """What a whole SP peer over tcp sends for one request."""
    body = struct.pack(">I", 0x80000001) + message
    return b"\x00SP\x00\x00\x30\x00\x00" + struct.pack(">Q", len(body)) + body


def tcp_address(core):
    return "127.0.0.1", int(core.urls[1].rsplit(":", 1)[1])


def test_ordinary_batches_over_http(room, pair, pick, told):
    """900 at once, of 1000 tiny events each."""
    body = b"[" + b",".join([b'{"source":"a","event_type":"b","payload":{}}'] * BATCH) + b"]"
    head = (
        b"POST /api/v1/events/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    with Honest(pair) as honest:
        answers = exchange(
            ("127.0.0.1", pair.bridge.port), [head + body] * 900, pick(3, 60), http_is_whole, pair.look
        )
    told(f"900 batches of 1000 over HTTP: {answers}; {honest.describe()}; {pair.describe()}")
    pair.assert_alive()
    honest.assert_served()
    assert answers.get(b"200", 0) > 0 and set(answers) <= {b"200", b"408", b"429", b"503", b"504", b"closed"}


def test_ordinary_batches_over_sp(room, pair, pick, told):
    """The same, of as many connections, to the core itself."""
    event = events.CreateEventRequest(source="a", event_type="b", payload=b"{}")
    batch = events.BatchCreateEventsRequest(events=[event] * BATCH)
    message = tcp_request(encode(f"{EVENT_SERVICE}/BatchCreateEvents", batch, timeout_ms=30000))
    with Honest(pair) as honest:
        answers = exchange(tcp_address(pair.core), [message] * 900, pick(3, 60), sp_is_whole, pair.look)
    told(f"900 batches of 1000 over SP: {sum(answers.values())} answers; {honest.describe()};"
         f" {pair.describe()}")
    pair.assert_alive()
    honest.assert_served()


EVENT = events.CreateEventRequest(source="a", event_type="b", payload=b"{}").SerializeToString()
UNKNOWN = b"\x98\x06\x01" * 104_000  # 312 kB of a field that no message has


def length_of(data):
    """As a varint of three bytes."""
    return bytes([len(data) & 0x7F | 0x80, len(data) >> 7 & 0x7F | 0x80, len(data) >> 14])


SWELLING = {
    "request": lambda: encode(f"{EVENT_SERVICE}/CreateEvent", EVENT + UNKNOWN),
    "nested": lambda: encode(
        f"{EVENT_SERVICE}/BatchCreateEvents", b"\x0a" + length_of(EVENT + UNKNOWN) + EVENT + UNKNOWN
    ),
    "envelope": lambda: encode(f"{EVENT_SERVICE}/CreateEvent", EVENT) + UNKNOWN,
    "empty events": lambda: encode(f"{EVENT_SERVICE}/BatchCreateEvents", b"\x0a\x00" * 156_000),
    "metadata": lambda: encode(f"{EVENT_SERVICE}/CreateEvent", EVENT) + b"\x1a\x00" * 156_000,
    "again": lambda: encode(f"{EVENT_SERVICE}/CreateEvent", b"\x0a\x01x" * 104_000 + EVENT),
}


@pytest.mark.parametrize("kind", SWELLING)
def test_messages_that_swell(room, pair, pick, told, kind):
    """200 clients with 5 messages of 312 kB each, which would take up to a hundred times that, while the
    store waits for a lock."""
    message = SWELLING[kind]()
    body = struct.pack(">I", 0x80000001) + message
    five = tcp_request(message) + (struct.pack(">Q", len(body)) + body) * 4
    locked_until = time.monotonic() + 3

    def look():
        pair.look()
        if pair.session and time.monotonic() > locked_until:
            pair.session.execute("commit")
            pair.session = None

    pair.session.execute("begin; lock table triggers.events in exclusive mode")
    with Honest(pair) as honest:
        answers = exchange(tcp_address(pair.core), [five] * 200, pick(3, 30), sp_is_whole, look)
        look()
    told(f"200 clients with 5 messages that swell ({kind}): {sum(answers.values())} answered;"
         f" {honest.describe()}; {pair.describe()}")
    pair.assert_alive()
    honest.assert_served()


SIZE = 8 << 20
HALVES = {
    "ws": b"\x82\xff" + SIZE.to_bytes(8, "big") + bytes(4) + b"\x80\0\0\1",
    "ws-fragments": b"\x02\xff" + (SIZE // 2).to_bytes(8, "big") + bytes(4) + b"\x80\0\0\1",
    "tcp": SIZE.to_bytes(8, "big") + b"\x80\0\0\1",
}


@pytest.mark.parametrize("kind", HALVES)
def test_halves_of_messages(room, pair, pick, told, kind):
    """Messages of 8 MiB that are half here, and then trickle just fast enough; peers whose connection is
    cut come again."""
    url = pair.core.urls[kind == "tcp"]
    half = HALVES[kind] + b"x" * (SIZE // 2 - 100)
    more = b"x" * 4096
    end = time.monotonic() + pick(5, 60)
    cut = 0
    with contextlib.ExitStack() as stack, Honest(pair) as honest:
        peers = [None] * pick(24, 100)
        while time.monotonic() < end:
            for place, peer in enumerate(peers):
                try:
                    if peer is None:
                        peer = peers[place] = connect(url, 5.0)
                        stack.callback(peer.close)
                        peer.send_bytes(half)
                    peer.send_bytes(more)
                except (OSError, AssertionError):
                    cut += peer is not None
                    peers[place] = None
            pair.look()
            with BareClient(pair.core.url) as rpc:
                assert rpc.health().status == health.HealthCheckResponse.SERVING
    told(f"{len(peers)} halves of 8 MiB messages ({kind}): {cut} cut off; {honest.describe()};"
         f" {pair.describe()}")
    pair.assert_alive()
    honest.assert_served()


def test_large_messages_beside_halves(room, pair, pick, told):
    """Who sends large messages in earnest is told to try again at worst, and soon gets through."""
    batch = events.BatchCreateEventsRequest(
        events=[events.CreateEventRequest(source="a", event_type="b", payload=b'{"a":"%s"}' % (b"x" * 200_000))]
        * 20
    )
    with contextlib.ExitStack() as stack, BareClient(pair.core.url) as rpc:
        for _ in range(pick(4, 40)):
            for kind, half in HALVES.items():
                peer = connect(pair.core.urls[kind == "tcp"])
                stack.callback(peer.close)
                with contextlib.suppress(OSError):
                    peer.send_bytes(half + b"x" * (SIZE // 2 - 100))
        start = time.monotonic()

        def stored():
            pair.look()
            answer = rpc.call(f"{EVENT_SERVICE}/BatchCreateEvents", batch, timeout=30.0)
            assert answer.code == 0 or answer.details.reason == "SERVER_BUSY", answer
            return answer.code == 0

        wait_until(stored, "a large batch stored", 30.0)
    told(f"a batch of 4 MiB beside halves of 8 MiB: stored after {time.monotonic() - start:.1f} s;"
         f" {pair.describe()}")


def fill_pages(pair):
    with BareClient(pair.core.url) as rpc:
        for _ in range(40):
            rpc.create(payload=b'{"a":"%s"}' % (b"x" * 200_000))


def test_pages_read_slowly_over_sp(room, pair, pick, told):
    """Pages of 8 MiB, of which a little is read now and then."""
    fill_pages(pair)
    ask = encode(f"{EVENT_SERVICE}/ListInbox", events.ListInboxRequest(page_size=1000))
    read_slowly(pair, pick, told, "SP", lambda: asking(connect(pair.core.urls[1]), tcp_request(ask)[8:]))


def test_pages_read_slowly_over_http(room, pair, pick, told):
    fill_pages(pair)
    ask = b"GET /api/v1/inbox?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    address = ("127.0.0.1", pair.bridge.port)
    read_slowly(pair, pick, told, "HTTP", lambda: asking(socket.create_connection(address, 5), ask))


def asking(peer, ask):
    peer = getattr(peer, "socket", peer)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.settimeout(0.2)
    peer.sendall(ask)
    return peer


def read_slowly(pair, pick, told, name, ask):
    end = time.monotonic() + pick(4, 60)
    cut = 0
    with contextlib.ExitStack() as stack, Honest(pair) as honest:
        peers = [None] * pick(24, 200)
        while time.monotonic() < end:
            for place, peer in enumerate(peers):
                try:
                    if peer is None:
                        peers[place] = ask()
                        stack.callback(peers[place].close)
                    elif not peer.recv(4096):
                        raise ConnectionError
                except TimeoutError:
                    pass
                except OSError:
                    cut += 1
                    peers[place] = None
            pair.look()
    told(f"{len(peers)} pages of 8 MiB read slowly over {name}: {cut} cut off; {honest.describe()};"
         f" {pair.describe()}")
    pair.assert_alive()
    honest.assert_served()
