"""The WebSocket of the core byte by byte: handshakes, fragments, control frames, and peers that break
its rules. Each may lose its own connection; the core lives."""

import socket
import struct
import time

import pytest

from support.network import free_port, free_url
from support.one_store import store_name  # noqa: F401
from support.peer import UngreetedWebSocketPeer, WebSocketPeer, websocket_frame
from support.protocol import envelope, events, health
from support.rpc import EVENT_SERVICE, HEALTH_CHECK, BareClient, encode
from support.services import Core

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FINAL = 0x80
LIMIT = 8 << 20  # bytes of a message
FRAGMENT = 512 << 10  # bytes of a frame that the core sends
MASK = b"\x37\xfa\x21\x3d"


@pytest.fixture(scope="module")
def ws_core(tmp_path_factory):
    folder = tmp_path_factory.mktemp("websocket")
    settings = {"DATABASE_URL": f"sqlite:///{folder / 'triggers.db'}", "TRIGGERS_MAX_MEMORY": 84 << 20}
    core = Core(folder, **settings)
    try:
        yield core.wait_serving()
    finally:
        core.stop()


@pytest.fixture
def peer(ws_core):
    """A connection of its own; a core that has died is found out by the next one."""
    with WebSocketPeer(ws_core.url) as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield peer
    with BareClient(ws_core.url) as rpc:
        assert rpc.serving()


def request(number=1, size=0):
    """A message that asks for the health, with so many bytes of metadata."""
    metadata = {"more": "x" * size} if size else {}
    return struct.pack(">I", 0x80000000 | number) + encode(HEALTH_CHECK, b"", metadata)


def check_healthy(body, number=1):
    assert body[:4] == struct.pack(">I", 0x80000000 | number)
    response = envelope.Response.FromString(body[4:])
    assert response.code == envelope.OK
    answer = health.HealthCheckResponse.FromString(response.body)
    assert answer.status == health.HealthCheckResponse.SERVING


def check_serves(peer):
    peer.send_bytes(peer.frame(request(99)))
    check_healthy(peer.receive_body(), 99)


def reason_of(body):
    return envelope.Response.FromString(body[4:]).details.reason


def fragments(parts, between=b"", mask=bytes(4)):
    """A message in frames, with `between` after each but the last."""
    opcodes = [BINARY] + [CONTINUATION] * (len(parts) - 1)
    frames = [websocket_frame(code, part, mask) for code, part in zip(opcodes, parts)]
    last = websocket_frame(opcodes[-1] | FINAL, parts[-1], mask)
    return between.join([*frames[:-1], last])


def cut(data, size):
    return [data[place : place + size] for place in range(0, len(data), size)]


SPLITS = {
    "bytes": cut(request(), 1),
    "empty": [b"", *[part for byte in cut(request(), 1) for part in (byte, b"")], b""],
    "within_the_id": [request()[:2], request()[2:]],
    "large": cut(request(size=300_000), 70_000),
    "many": cut(request(size=100_000), 50),
    "large_then_small": [request(size=300_000)[:-3], *cut(request(size=300_000)[-3:], 1)],
}


@pytest.mark.parametrize("parts", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize("mask", [bytes(4), MASK], ids=["plain", "masked"])
def test_fragments_are_one_message(peer, parts, mask):
    whole = fragments(parts, mask=mask)
    peer.send_bytes(whole * 2 + websocket_frame(FINAL | BINARY, request(2), mask))
    for number in (1, 1, 2):
        check_healthy(peer.receive_body(), number)


@pytest.mark.parametrize("parts", SPLITS.values(), ids=SPLITS)
def test_control_frames_come_between_fragments(peer, parts):
    """Of several pings the last has its answer, those before may."""
    ping = websocket_frame(FINAL | PING, b"now", MASK)
    pong = websocket_frame(FINAL | PONG, b"unasked", MASK)
    peer.send_bytes(fragments(parts, pong + ping, MASK))
    peer.send_bytes(websocket_frame(FINAL | PING, b"last", MASK))
    check_serves_after_pongs(peer, {b"now", b"last"}, b"last")


def check_serves_after_pongs(peer, allowed, last):
    pongs = []
    answered = False
    while not answered or last not in pongs:
        first, payload = peer.read_frame()
        if first == FINAL | PONG:
            pongs.append(payload)
        else:
            assert first == FINAL | BINARY and not answered
            check_healthy(payload)
            answered = True
    assert set(pongs) <= allowed


@pytest.mark.parametrize("payload", [b"", b"\0", b"p" * 125])
def test_pings_are_answered_with_their_payload(peer, payload):
    peer.send_bytes(websocket_frame(BINARY, request()[:9]))
    for _ in range(3):
        peer.send_bytes(websocket_frame(FINAL | PING, payload, MASK))
        assert peer.read_frame() == (FINAL | PONG, payload)
    peer.send_bytes(websocket_frame(FINAL | CONTINUATION, request()[9:]))
    check_healthy(peer.receive_body())


def test_the_last_of_many_pings_is_answered(peer):
    peer.send_bytes(b"".join(websocket_frame(FINAL | PING, b"%d" % i) for i in range(1000)))
    numbers = [-1]
    while numbers[-1] < 999:
        first, payload = peer.read_frame()
        assert first == FINAL | PONG
        numbers.append(int(payload))
    assert numbers == sorted(set(numbers))
    check_serves(peer)


def test_bytes_may_trickle(ws_core):
    """Through the handshake, and through frames of every kind."""
    with UngreetedWebSocketPeer(ws_core.url) as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        frames = websocket_frame(FINAL | PONG, b"unasked", MASK)
        frames += fragments(cut(request(size=200), 90), websocket_frame(FINAL | PONG, b""), MASK)
        for byte in cut(peer.request(), 1):
            peer.send_bytes(byte)
        assert peer.read_head().startswith(b"HTTP/1.1 101 ")
        for byte in cut(frames, 1):
            peer.send_bytes(byte)
        check_healthy(peer.receive_body())


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8so long"])
@pytest.mark.parametrize("before", [b"", websocket_frame(FINAL | PING, b"?")], ids=["", "ping"])
def test_a_close_is_answered_and_the_end(peer, before, payload):
    """With its reason; what comes behind it does not count."""
    close = websocket_frame(FINAL | CLOSE, payload, MASK)
    peer.send_bytes(before + close + peer.frame(request()))
    came = peer.wait_closed()
    answer = bytes([FINAL | CLOSE, len(payload[:2])]) + payload[:2]
    assert came == (b"\x8a\x01?" if before else b"") + answer


def test_answers_leave_before_a_close(peer):
    peer.send_bytes(peer.frame(request()))
    check_healthy(peer.receive_body())
    peer.send_bytes(websocket_frame(BINARY, b"begun") + websocket_frame(FINAL | CLOSE, b"\3\xe9"))
    assert peer.wait_closed() == b"\x88\2\3\xe9"


REQUEST_FRAME = websocket_frame(FINAL | BINARY, request())
WRONG = {
    "not_masked": bytes([FINAL | BINARY, len(request())]) + request(),
    "text": websocket_frame(FINAL | TEXT, request()),
    "reserved_bit_1": websocket_frame(FINAL | 0x40 | BINARY, request()),
    "reserved_bit_2": websocket_frame(FINAL | 0x20 | BINARY, request()),
    "reserved_bit_3": websocket_frame(FINAL | 0x10 | BINARY, request()),
    "reserved_opcode": websocket_frame(FINAL | 3, request()),
    "reserved_control": websocket_frame(FINAL | 11, b""),
    "long_ping": websocket_frame(FINAL | PING, b"p" * 126),
    "long_close": websocket_frame(FINAL | CLOSE, b"p" * 126),
    "ping_in_parts": websocket_frame(PING, b"p"),
    "continuation_of_nothing": websocket_frame(FINAL | CONTINUATION, request()),
    "message_within_another": websocket_frame(BINARY, request()) + REQUEST_FRAME,
    "after_a_message_in_parts": fragments(cut(request(), 5)) + websocket_frame(FINAL, b""),
    "over_16_MiB": b"\x82\xff" + struct.pack(">Q", (16 << 20) + 1) + MASK,
    "over_16_MiB_in_parts": websocket_frame(BINARY, request())
    + b"\x80\xff" + struct.pack(">Q", 16 << 20) + MASK,
    "of_2^63_bytes": b"\x82\xff" + struct.pack(">Q", 1 << 63) + MASK,
    "no_id_in_parts": fragments([b"", b"\x80", b"\0", b""]),
}  # fmt: skip


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_wrong_frames_end_the_connection(peer, data):
    check_serves(peer)
    peer.send_bytes(data)
    came = peer.wait_closed()
    if came:  # of a message that was right before
        assert data == WRONG["after_a_message_in_parts"]


def send_unfinished(peer, size):
    """The beginning of a message that takes `size` bytes of memory."""
    peer.send_bytes(websocket_frame(BINARY, request(size=size)))


OVERSIZE = request(5, LIMIT)
TOO_LONG = {
    "one_frame": [OVERSIZE],
    "last_fragment": [OVERSIZE[:-100], OVERSIZE[-100:]],
    "fragments": cut(OVERSIZE, 1_000_000),
    "more_after_it": [OVERSIZE, b"", b"more", request(6)],
    "empty_first": [b"", b"\x80", OVERSIZE[1:]],
}


@pytest.mark.parametrize("parts", TOO_LONG.values(), ids=TOO_LONG)
def test_messages_over_the_limit_are_answered(peer, parts):
    """Once, and the connection goes on: also with pings between what is dropped."""
    peer.send_bytes(fragments(parts, websocket_frame(FINAL | PONG, b"unasked")) + REQUEST_FRAME)
    body = peer.receive_body()
    assert body[:4] == OVERSIZE[:4]
    assert reason_of(body) == "MESSAGE_TOO_LARGE"
    check_healthy(peer.receive_body())


@pytest.mark.parametrize("size", [3_000_000, 1_000_000])
def test_messages_without_room_are_refused(ws_core, peer, size):
    """Others that do not end have taken the memory; a small message has room."""
    message = request(5, 7_900_000)
    with WebSocketPeer(ws_core.url) as one, WebSocketPeer(ws_core.url) as other:
        holders = [one, other]
        for holder in holders:
            send_unfinished(holder, 7_900_000)
        for holder in holders:  # it has been read when this is answered
            holder.send_bytes(websocket_frame(FINAL | PING, b"?"))
            assert holder.read_frame() == (FINAL | PONG, b"?")
        peer.send_bytes(fragments(cut(message, size)) + REQUEST_FRAME)
        body = peer.receive_body()
        assert body[:4] == message[:4]
        assert reason_of(body) == "SERVER_BUSY"
        check_healthy(peer.receive_body())
        for holder in holders:
            holder.send_bytes(websocket_frame(FINAL | CONTINUATION, b""))
            check_healthy(holder.receive_body())
            holder.close()
    peer.send_bytes(fragments(cut(message, 1_000_000)))
    check_healthy(peer.receive_body(), 5)


def seconds_for_pongs(peer, answers=1):
    """What a million frames without payload take to be read."""
    start = time.monotonic()
    peer.send_bytes(websocket_frame(FINAL | PONG, b"") * 1_000_000 + REQUEST_FRAME)
    for _ in range(answers):
        check_healthy(peer.receive_body())
    return time.monotonic() - start


def test_small_frames_cost_little_where_a_large_message_was(peer):
    """Its room holds very many: were all that follow moved for each, that would show."""
    alone = seconds_for_pongs(peer)
    peer.send_bytes(peer.frame(request(size=LIMIT - 1000)))
    assert seconds_for_pongs(peer, 2) < 4 * alone + 0.5


@pytest.fixture(scope="module")
def page(ws_core):
    """What gets the stored events, 1.2 MB together, and their payload."""
    payload = b'{"a":"' + b"x" * 200_000 + b'"}'
    with BareClient(ws_core.url) as rpc:
        for _ in range(6):
            rpc.create(payload=payload)
    return payload, encode(f"{EVENT_SERVICE}/ListInbox", b"")


def test_long_answers_come_in_frames(peer, page):
    payload, question = page
    peer.send(question)
    frames = [peer.read_frame()]
    while not frames[-1][0] & FINAL:
        frames.append(peer.read_frame())
    assert [first for first, _ in frames] == [BINARY, CONTINUATION, FINAL | CONTINUATION]
    assert [len(part) for _, part in frames[:-1]] == [FRAGMENT, FRAGMENT]
    assert 0 < len(frames[-1][1]) < FRAGMENT
    body = b"".join(part for _, part in frames)[4:]
    answer = events.ListInboxResponse.FromString(envelope.Response.FromString(body).body)
    assert [event.payload for event in answer.events] == [payload] * 6


# ---- handshakes ----


def refusal(core, head):
    """Sends a head and reads its answer to the end of the connection."""
    with UngreetedWebSocketPeer(core.url) as peer:
        peer.send_bytes(head(peer))
        return peer.wait_closed()


HANDSHAKES = {
    "not_http": (b"400", lambda peer: b"hello\r\n\r\n"),
    "post": (b"400", lambda peer: peer.request().replace(b"GET", b"POST")),
    "path": (b"404", lambda peer: peer.request().replace(b"/rpc", b"/other")),
    "plain_get": (b"426", lambda peer: peer.request(Upgrade=None)),
    "origin": (b"403", lambda peer: peer.request(Origin="https://evil.example")),
    "origin_of_ours": (b"403", lambda peer: peer.request(Origin="http://127.0.0.1:7300")),
    "origin_null": (b"403", lambda peer: peer.request(Origin="null")),
    "foreign_host": (b"421", lambda peer: peer.request(Host="evil.example:7300")),
    "version": (b"426", lambda peer: peer.request(**{"Sec-WebSocket-Version": "8"})),
    "no_host": (b"400", lambda peer: peer.request(Host=None)),
    "no_key": (b"400", lambda peer: peer.request(**{"Sec-WebSocket-Key": None})),
    "subprotocol": (b"400", lambda peer: peer.request(**{"Sec-WebSocket-Protocol": "chat"})),
    "bare_line_feed": (b"400", lambda peer: peer.request(**{"X": "a\nB: c"})),
    "too_long": (b"431", lambda peer: peer.request(**{"X": "x" * 8192})),
    "too_long_without_end": (b"431", lambda peer: b"GET /rpc HTTP/1.1\r\nX: " + b"x" * 9000),
    "with_more_behind_it": (b"404", lambda peer: b"GET / HTTP/1.1\r\n\r\n" + b"more" * 10000),
}


@pytest.mark.parametrize(("status", "head"), HANDSHAKES.values(), ids=HANDSHAKES)
def test_wrong_handshakes_are_told_so(ws_core, status, head):
    lines, text = refusal(ws_core, head).split(b"\r\n\r\n")
    assert lines.startswith(b"HTTP/1.1 " + status + b" ")
    assert b"\r\nConnection: close, Upgrade" in lines
    assert f"Content-Length: {len(text)}\r\n".encode() in lines
    with BareClient(ws_core.url) as rpc:
        assert rpc.serving()


def upgrades(core, **headers):
    """Whether a handshake with these headers is accepted."""
    with UngreetedWebSocketPeer(core.url) as peer:
        peer.send_bytes(peer.request(**headers))
        return peer.read_head().startswith(b"HTTP/1.1 101 ")


def test_pages_and_hosts_that_settings_list_get_in(start_core):
    core = start_core(TRIGGERS_ORIGINS="https://app.example.com", TRIGGERS_HOSTS="core.example.com")
    assert upgrades(core, Origin="https://app.example.com")
    assert upgrades(core, Origin="https://app.example.com", Host="core.example.com")
    assert upgrades(core, Host="localhost")
    assert not upgrades(core, Origin="https://evil.example")
    assert not upgrades(core, Host="evil.example")


def test_an_open_address_serves_every_host(start_core):
    port = free_port()
    core = start_core(TRIGGERS_LISTEN=f"ws://127.0.0.1:{port}/rpc,ws://0.0.0.0:{free_port()}/rpc")
    assert not upgrades(core, Host="evil.example")
    core.url = core.urls[1].replace("0.0.0.0", "127.0.0.1")
    assert upgrades(core, Host="any.example")
    assert not upgrades(core, Host="any.example", Origin="http://any.example")


def test_a_head_may_have_8192_bytes(ws_core):
    with UngreetedWebSocketPeer(ws_core.url) as peer:
        more = 8192 - len(peer.request(X=""))
        for size, status in [(more, b"101"), (more + 1, b"431")]:
            with UngreetedWebSocketPeer(ws_core.url) as other:
                other.send_bytes(other.request(X="x" * size))
                assert other.read_head().startswith(b"HTTP/1.1 " + status)


def test_frames_may_follow_the_handshake_at_once(ws_core):
    with UngreetedWebSocketPeer(ws_core.url) as peer:
        peer.send_bytes(peer.request() + REQUEST_FRAME * 50)
        assert peer.read_head().startswith(b"HTTP/1.1 101 ")
        for _ in range(50):
            check_healthy(peer.receive_body())


def test_listeners_with_a_query_serve_their_path(start_core):
    core = start_core(TRIGGERS_LISTEN=free_url("ws") + "?a=b")
    with WebSocketPeer(core.url) as peer:
        check_serves(peer)
