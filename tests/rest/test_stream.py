"""The log as server-sent events: every event once and in order, over reconnects, quiet times, restarts of
the core and the end of the bridge; and clients that go away or do not read."""

import contextlib
import itertools
import json
import socket
import struct
import threading
import time

import httpx
import pytest

from rest.checks import check_problem, create, remove_first_block
from rest.wire import Wire, exchange, get, with_key
from support.https import secured
from support.metrics import scrape
from support.network import wait_until

STREAM = "/api/v1/events/stream"


class Stream:
    """One client, which speaks as the standard says (HTML Living Standard, section 9.2.6)."""

    def __init__(self, bridge, query="", headers=(), timeout=30.0, wire=None):
        self.wire = wire or Wire(bridge, timeout)
        if not wire:
            self.wire.send(get(f"{STREAM}{'?' + query if query else ''}", *headers))
        self.last_id = ""
        self._file = self.wire._file
        self.status, self.headers = self._read_head()
        self._lines = self._read_lines()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.wire.close()

    def _read_head(self):
        status = int(self._file.readline().split()[1])
        headers = {}
        for line in iter(self._file.readline, b"\r\n"):
            name, _, value = line.decode().rstrip("\r\n").partition(": ")
            headers[name.lower()] = value
        return status, headers

    def _read_chunks(self):
        """The chunks of the body; it must end with the empty one."""
        while size := int(self._file.readline(), 16):
            yield self._file.read(size)
            assert self._file.read(2) == b"\r\n"
        assert self._file.readline() == b"\r\n"

    def _read_lines(self):
        text = b""
        for chunk in self._read_chunks():
            text += chunk
            *lines, text = text.split(b"\n")
            for line in lines:
                yield line.decode()
        assert text == b""

    def blocks(self):
        """Everything between empty lines, as lists of (field, value); a comment's field is ""."""
        block = []
        for line in self._lines:
            if line:
                name, _, value = line.partition(":")
                block.append((name, value.removeprefix(" ")))
                if name == "id":
                    self.last_id = value.removeprefix(" ")
                continue
            yield block
            block = []
        assert block == []

    def messages(self):
        """Type and data of each message."""
        for block in self.blocks():
            fields = dict(block)
            if "data" in fields:
                assert sum(name == "data" for name, _ in block) == 1
                yield fields.get("event", "message"), json.loads(fields["data"])

    def events(self):
        for kind, data in self.messages():
            assert kind == "message", data
            assert str(data["sequence"]) == self.last_id
            yield data

    def take(self, count):
        return list(itertools.islice(self.events(), count))


@pytest.fixture
def own_core(start_core, new_store_url):
    return start_core(DATABASE_URL=new_store_url())


@pytest.fixture
def own_bridge(own_core, start_bridge):
    """A bridge whose store is this test's own, empty."""
    return start_bridge(own_core)


@pytest.fixture
def own(own_bridge):
    with client(own_bridge) as http:
        yield http


def client(bridge):
    return httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0)


def fill(http, count, **fields):
    event = {"source": "crm", "event_type": "lead.created", "payload": {}, **fields}
    events = [event] * count
    results = http.post("/api/v1/events/batch", json=events).json()["results"]
    return [result["sequence"] for result in results]


def sequences(events):
    return [event["sequence"] for event in events]


def metric(http, name, **labels):
    return scrape(http).value(f"triggers_bridge_{name}", **labels)


def settled(value):
    """A value that has stayed the same for a second."""
    last, since, until = value(), time.monotonic(), time.monotonic() + 60
    while time.monotonic() - since < 1:
        assert time.monotonic() < until
        if (now := value()) != last:
            last, since = now, time.monotonic()
    return last


# ---- what is sent ----


def test_the_answer_and_an_event_are_these_bytes(own_bridge, own):
    event_id = create(own, payload={"a": 1})
    with Wire(own_bridge) as wire:
        wire.send(get(f"{STREAM}?after=earliest"))
        answer = wire.read()
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        event = own.get(f"/api/v1/events/{event_id}").content
        text = b"retry: 1000\nid: 0\n\nid: 1\ndata: " + event + b"\n\n"
        assert int(wire._file.readline(), 16) == len(text)
        assert wire._file.read(len(text)) == text


def test_a_payload_is_one_line_whatever_its_own(own_bridge, own):
    payload = b'{\r\n "a": "\\n\\r",\n\r\n"b":\t[1,\n2]\r}'
    body = b'{"source":"crm","event_type":"raw","payload":' + payload + b"}"
    own.post("/api/v1/events", content=body, headers={"Content-Type": "application/json"})
    with Stream(own_bridge, "after=0") as stream:
        (event,) = stream.take(1)
    assert event["payload"] == {"a": "\n\r", "b": [1, 2]}


def test_earliest_a_number_and_latest(own_bridge, own):
    assert fill(own, 250)[-1] == 250
    with Stream(own_bridge, "after=earliest") as stream:
        assert sequences(stream.take(250)) == list(range(1, 251))
    with Stream(own_bridge, "after=120") as stream:
        assert sequences(stream.take(130)) == list(range(121, 251))
    for query in ("", "after=latest", "after=earliest&after=latest"):
        with Stream(own_bridge, query) as stream:
            last = fill(own, 1)
            assert sequences(stream.take(1)) == last


def test_latest_is_the_end_whatever_was_acknowledged(own_bridge, own):
    with Stream(own_bridge) as stream:
        assert next(stream.blocks()) == [("retry", "1000"), ("id", "0")]
    ids = [create(own) for _ in range(3)]
    for position, event_id in ((3, ids[1]), (3, ids[2]), (3, ids[0])):
        own.delete(f"/api/v1/events/{event_id}")
        with Stream(own_bridge, "after=latest") as stream:
            assert next(stream.blocks()) == [("retry", "1000"), ("id", str(position))]


def test_filters(own_bridge, own):
    fill(own, 1, source="other")
    with Stream(own_bridge, "source=crm*&event_type=a&event_type=b.*") as stream:
        fill(own, 2, source="crm", event_type="a")
        fill(own, 2, source="crm", event_type="c")
        fill(own, 2, source="crm-eu", event_type="b.1")
        assert sequences(stream.take(4)) == [2, 3, 6, 7]


def test_an_event_comes_at_once(own_bridge, own):
    """It is not what a look once a second finds."""
    with Stream(own_bridge) as stream:
        took = []
        for _ in range(11):
            wait_until(lambda: scrape(own).value("triggers_core_requests_waiting") == 1, "the stream waits")
            start = time.monotonic()
            create(own)
            stream.take(1)
            took.append(time.monotonic() - start)
        assert sorted(took)[5] < 0.5


def test_a_head_is_answered_without_a_stream(own_bridge, own):
    answer = own.head(STREAM)
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/event-stream"
    assert own.head(f"{STREAM}?after=x").status_code == 422


def test_a_client_of_http_1_0_gets_no_chunks(own_bridge, own):
    fill(own, 3)
    with Wire(own_bridge) as wire:
        wire.send(f"GET {STREAM}?after=1 HTTP/1.0\r\n\r\n")
        answer = wire.read()
        assert "transfer-encoding" not in answer.headers
        lines = [wire._file.readline() for _ in range(9)]
        assert [line for line in lines if line.startswith(b"id")] == [b"id: 1\n", b"id: 2\n", b"id: 3\n"]


def test_a_comment_comes_when_nothing_else_does(own_bridge, own):
    fill(own, 1, source="other")
    with Stream(own_bridge, "after=0&source=crm") as stream:
        blocks = stream.blocks()
        assert next(blocks) == [("retry", "1000"), ("id", "0")]
        start = time.monotonic()
        # With the position that has been read, so that the client does not come back with an older one.
        assert next(blocks) == [("", ""), ("id", "1")]
        assert 13 < time.monotonic() - start < 25
        fill(own, 1)
        assert sequences(stream.take(1)) == [2]


# ---- coming back ----


def test_last_event_id_wins(own_bridge, own):
    fill(own, 10)
    with Stream(own_bridge, "after=earliest", ["Last-Event-ID: 7"]) as stream:
        assert sequences(stream.take(3)) == [8, 9, 10]
    with Stream(own_bridge, "after=8", ["Last-Event-ID: "]) as stream:
        assert sequences(stream.take(2)) == [9, 10]


def test_a_client_that_comes_back_misses_nothing(own_bridge, own):
    """It is cut off at any byte while others write, and continues from the last id that it has got."""
    total, found, last = 600, [], ""
    writer = threading.Thread(target=lambda: [fill(own, 20) for _ in range(total // 20)])
    with Stream(own_bridge) as stream:
        next(stream.blocks())
        last = stream.last_id
    writer.start()
    for turn in itertools.count():
        with Stream(own_bridge, "", [f"Last-Event-ID: {last}"]) as stream:
            found += stream.take(min(7 + turn, total - len(found)))
            last = stream.last_id
        if len(found) == total:
            break
    writer.join()
    assert sequences(found) == list(range(1, total + 1))


@pytest.mark.parametrize(
    ("query", "headers", "pointers"),
    [
        ("after=x", [], ["#/after"]),
        ("after=", [], ["#/after"]),
        ("after=-1", [], ["#/after"]),
        ("after=Latest", [], ["#/after"]),
        ("after=9223372036854775808", [], ["#/after"]),
        ("", ["Last-Event-ID: x"], ["#/Last-Event-ID"]),
        ("", ["Last-Event-ID: -1"], ["#/Last-Event-ID"]),
        ("after=1", ["Last-Event-ID: 9223372036854775808"], ["#/Last-Event-ID"]),
        ("after=x", ["Last-Event-ID: 1"], ["#/after"]),
        ("from=x&source=%zz", [], ["#/from", "#/source"]),
    ],
)
def test_wrong_parameters(bridge, query, headers, pointers):
    answer = exchange(bridge, get(f"{STREAM}?{query}", *headers))
    assert answer.status == 422 and answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["code"] == "PARAMETERS_INVALID"
    assert [error["pointer"] for error in problem["errors"]] == pointers


@pytest.mark.parametrize("query", ["limit=x&wait=x&unknown&after=latest", "after=9223372036854775807"])
def test_right_parameters(bridge, query):
    with Stream(bridge, query) as stream:
        assert stream.status == 200


# ---- the core and the bridge come and go ----


def test_a_stream_survives_restarts_of_the_core(start_core, start_bridge, new_store_url):
    url = new_store_url()
    core = start_core(DATABASE_URL=url)
    bridge = start_bridge(core)
    listen = core.url
    with client(bridge) as http, Stream(bridge) as stream:
        for how in ("stop", "kill"):
            first = fill(http, 2)
            assert sequences(stream.take(2)) == first
            getattr(core, how)()
            core = start_core(DATABASE_URL=url, TRIGGERS_LISTEN=listen)
            wait_until(lambda: http.get("/ready").status_code == 200, "the bridge is ready")
            last = fill(http, 2)
            assert sequences(stream.take(2)) == last == [first[-1] + 1, first[-1] + 2]


def test_without_a_core_there_is_no_stream(start_bridge):
    bridge = start_bridge(None, TRIGGERS_CORE="ws://127.0.0.1:1/rpc")
    with client(bridge) as http:
        check_problem(http.get(STREAM), 503, "CORE_UNREACHABLE")
        check_problem(http.get("/api/v1/events?wait=20"), 503, "CORE_UNREACHABLE")
        assert metric(http, "waiting_requests") == 0


def test_the_end_of_the_bridge_is_a_clean_end(own_bridge, own):
    fill(own, 2)
    streams = [Stream(own_bridge, "after=1") for _ in range(30)]
    for stream in streams:
        assert sequences(stream.take(1)) == [2]
    wait_until(lambda: metric(own, "waiting_requests") == 30, "all wait")
    start = time.monotonic()
    own_bridge.stop()
    assert time.monotonic() - start < 15
    for stream in streams:
        *_, last = stream.blocks()  # to the last chunk
        assert last == [("", "the service is stopping")]
        stream.close()


def test_a_position_that_is_removed_later_ends_the_stream(start_core, start_bridge, new_store_url, request):
    """The client has not read what it got when the events after that are removed."""
    url = new_store_url()
    bridge = start_bridge(start_core(DATABASE_URL=url))
    with client(bridge) as http:
        for _ in range(3):
            fill(http, 100, payload={"a": "x" * 60_000})
        fill(http, 300)
        with Stream(bridge, "after=earliest") as stream:
            assert sequences(stream.take(1)) == [1]
            settled(lambda: scrape(http).value("triggers_core_requests_total", method="ListEvents"))
            remove_first_block(url, request)
            *events, (kind, problem) = stream.messages()
        assert sequences(event for _, event in events) == list(range(2, 2 + len(events)))
        assert len(events) < 253 and kind == "error"
        assert problem["status"] == 410 and problem["code"] == "POSITION_REMOVED"
        assert problem["first_sequence"] == 256


# ---- clients that go away or do not read ----


@pytest.mark.parametrize("how", ["close", "reset", "shutdown"])
def test_a_client_that_goes_away_is_noticed(own_bridge, own, how):
    streams = [Stream(own_bridge) for _ in range(10)]
    wait_until(lambda: scrape(own).value("triggers_core_requests_waiting") >= 10, "all wait")
    assert metric(own, "waiting_requests") == 10
    for stream in streams:
        if how == "reset":
            stream.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "shutdown":
            stream.wire.socket.shutdown(socket.SHUT_WR)
        else:
            stream.close()
    wait_until(lambda: metric(own, "waiting_requests") == 0, "nobody waits", 10)
    for stream in streams:
        stream.close()


def test_a_client_that_goes_away_while_the_core_is_gone_is_noticed(start_core, start_bridge):
    core = start_core()
    bridge = start_bridge(core)
    with client(bridge) as http:
        streams = [Stream(bridge) for _ in range(3)]
        core.stop()
        assert metric(http, "waiting_requests") == 3
        for stream in streams:
            stream.close()
        wait_until(lambda: metric(http, "waiting_requests") == 0, "nobody waits", 10)


def slow(bridge, query):
    """A client that receives little before it reads, and does not read."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.settimeout(30)
    peer.connect(("127.0.0.1", bridge.port))
    peer = secured(bridge, peer)
    peer.sendall(with_key(get(f"{STREAM}?{query}").encode()))
    return peer


def test_a_client_that_does_not_read_is_cut_off(own_core, start_bridge):
    bridge = start_bridge(own_core, LOG_LEVEL="warning", TRIGGERS_BRIDGE_REQUEST_TIMEOUT=1000)
    with client(bridge) as http, contextlib.ExitStack() as stack:
        for _ in range(8):
            fill(http, 25, payload={"a": "x" * 200_000})
        before = metric(http, "held_memory_bytes")
        peers = [stack.enter_context(slow(bridge, "after=0")) for _ in range(4)]
        wait_until(lambda: metric(http, "waiting_requests") == 4, "all begun")
        limit = metric(http, "memory_limit_bytes")
        while metric(http, "waiting_requests") > 0:
            assert metric(http, "held_memory_bytes") < limit
            create(http)
        closed = metric(http, "slow_connections_closed_total", reason="late")
        assert closed + metric(http, "slow_connections_closed_total", reason="memory") == 4
        wait_until(lambda: metric(http, "held_memory_bytes") <= before + 65536, "their memory is free", 30)
        del peers
        with Stream(bridge, "after=0") as stream:
            assert len(stream.take(200)) == 200


def test_who_reads_slowly_but_steadily_is_not_cut_off(own_core, start_bridge):
    """64 KiB in half a second are four times what must be."""
    bridge = start_bridge(own_core, LOG_LEVEL="warning", TRIGGERS_BRIDGE_REQUEST_TIMEOUT=1000)
    with client(bridge) as http, Stream(bridge) as stream:
        blocks = stream.blocks()
        next(blocks)
        for i in range(8):
            fill(http, 1, payload={"a": "x" * 65536})
            time.sleep(0.5)  # this is what it is about
            assert ("id", str(i + 1)) in next(blocks)


def test_large_events_go_through_little_memory(own_core, start_bridge):
    """Many streams of large events have more to send than the bridge may hold."""
    bridge = start_bridge(own_core, LOG_LEVEL="warning", TRIGGERS_BRIDGE_MEMORY=33554432)
    with client(bridge) as http:
        for _ in range(100):
            create(http, payload={"a": "x" * 200_000})
        found = {}

        def read(number):
            with Stream(bridge, "after=0", timeout=120) as stream:
                found[number] = sequences(stream.take(100))

        readers = [threading.Thread(target=read, args=(number,)) for number in range(12)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert found == {number: list(range(1, 101)) for number in range(12)}


# ---- many ----


def test_many_streams_get_everything(own_bridge, own):
    wires = [Wire(own_bridge) for _ in range(600)]
    for wire in wires:  # all at once, which is more than the core's queue takes
        wire.send(get(STREAM))
    streams = [Stream(own_bridge, wire=wire) for wire in wires]
    assert {stream.status for stream in streams} == {200}
    wait_until(lambda: metric(own, "waiting_requests") == 600, "all are open")
    for _ in range(5):
        fill(own, 10)
    for stream in streams:
        assert sequences(stream.take(50)) == list(range(1, 51))
    assert own.get("/ready").status_code == 200
    for stream in streams:
        stream.close()
    wait_until(lambda: metric(own, "waiting_requests") == 0, "all are closed", 20)
