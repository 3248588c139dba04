"""Peers that break the SP protocol itself, byte by byte over TCP and as other socket types. Each may
lose its own connection; the core lives and honest callers are served."""

import socket
import struct

import pynng
import pytest

from support.log import assert_limited
from support.network import free_port, wait_until
from support.one_store import store_name  # noqa: F401
from support.peer import REPLIER, REQUESTER, UngreetedTcpPeer
from support.protocol import envelope
from support.rpc import EVENT_SERVICE, HEALTH_CHECK, RpcClient, encode
from support.services import Core



@pytest.fixture(scope="module")
def tcp_core(tmp_path_factory):
    """A core that also listens on TCP; its addresses are ws first, then tcp."""
    folder = tmp_path_factory.mktemp("hostile")
    urls = f"ws://127.0.0.1:{free_port()}/rpc,tcp://127.0.0.1:{free_port()}"
    core = Core(folder, TRIGGERS_LISTEN=urls, DATABASE_URL=f"sqlite:///{folder / 'triggers.db'}")
    try:
        yield core.wait_serving()
    finally:
        core.stop()


@pytest.fixture(params=["ws", "tcp"])
def honest(request, tcp_core):
    """A client that stays connected while the other peer misbehaves."""
    with RpcClient(tcp_core.urls[["ws", "tcp"].index(request.param)]) as rpc:
        assert rpc.create().event_id
        yield rpc
        assert rpc.create().event_id


def handshake(protocol=REQUESTER):
    return b"\0SP\0" + struct.pack(">HH", protocol, 0)


def message(body, size=None):
    return struct.pack(">Q", len(body) if size is None else size) + body


def request(data, number=1):
    return struct.pack(">I", 0x80000000 | number) + data


class TcpPeer(UngreetedTcpPeer):
    """Bytes to the core's TCP address and what comes back."""

    def __init__(self, core):
        super().__init__(core.urls[1])


HEALTH = request(encode(HEALTH_CHECK, b""))


def test_a_peer_by_the_book_is_served(tcp_core, honest):
    """The frames below are as the protocol has them: what is refused later is the deviation."""
    with TcpPeer(tcp_core) as peer:
        peer.send_bytes(handshake() + message(HEALTH))
        assert peer.read(8) == handshake(REPLIER)
        reply = peer.receive_body()
        assert reply[:4] == HEALTH[:4]
        assert envelope.Response.FromString(reply[4:]).code == envelope.OK


def test_a_peer_that_sends_a_byte_at_a_time_is_served(tcp_core, honest):
    with TcpPeer(tcp_core) as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in handshake() + message(HEALTH):
            peer.send_bytes(bytes([byte]))
        assert peer.read(8) == handshake(REPLIER)
        assert envelope.Response.FromString(peer.receive_body()[4:]).code == envelope.OK


@pytest.mark.parametrize(
    "first",
    [
        handshake(REPLIER),
        handshake(0x10),  # pair
        handshake(0x20),  # publisher
        handshake(0x62),  # surveyor
        handshake(0xFFFF),
        b"\0SP\1" + handshake()[4:],  # a version there is not
        b"\0SP\0" + b"\0\x30\xff\xff",  # the reserved bytes used
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01",  # the start of a TLS hello
        b"\xff" * 64,
    ],
)
def test_wrong_handshakes_cost_the_connection(tcp_core, honest, first):
    with TcpPeer(tcp_core) as peer:
        peer.send_bytes(first + message(HEALTH))
        peer.wait_closed()


@pytest.mark.parametrize("length", range(8))
def test_half_handshakes_harm_nobody(tcp_core, honest, length):
    with TcpPeer(tcp_core) as peer:
        peer.send_bytes(handshake()[:length])
        assert honest.serving()


@pytest.mark.parametrize("size", [16 * 2**20 + 5, 2**31, 2**32, 2**63, 2**64 - 1])
def test_absurd_lengths_cost_the_connection(tcp_core, honest, size):
    with TcpPeer(tcp_core) as peer:
        peer.send_bytes(handshake() + message(HEALTH, size))
        peer.wait_closed()


def test_the_log_says_why_and_does_not_repeat_itself(start_core):
    """Peers that come again and again, with two faults in turn, write one line in ten seconds for
    each."""
    core = start_core(TRIGGERS_LISTEN=f"ws://127.0.0.1:{free_port()}/rpc,tcp://127.0.0.1:{free_port()}")
    for data in [b"x" * 8, handshake() + message(HEALTH, 16 * 2**20 + 5)] * 100:
        with TcpPeer(core) as peer:
            peer.send_bytes(data)
            peer.wait_closed()
    core.stop()
    lines = [line for line in core.log if line["message"] == "closing the connection of a peer"]
    assert {line["because"] for line in lines} == {
        "it does not speak SP's REQ/REP as this program does",
        "its message is over 16 MiB",
    }
    assert_limited(lines, "because")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80",
        b"\x80\0\0",
        b"\0\0\0\1" + HEALTH[4:],  # no request id: the top bit is not set
        b"\0\0\0\1" * 300,  # hops without an end
    ],
)
def test_messages_without_a_request_id_are_dropped(tcp_core, honest, body):
    with TcpPeer(tcp_core) as peer:
        peer.send_bytes(handshake() + message(body))
        assert honest.serving()


def test_a_message_cut_short_harms_nobody(tcp_core, honest):
    for cut in (1, 7, 8, 11, 12, 20):
        with TcpPeer(tcp_core) as peer:
            peer.send_bytes(handshake() + message(HEALTH)[:cut])
        assert honest.serving()


def test_garbage_requests_are_answered(tcp_core, honest):
    """With a request id everything gets an answer, over this transport as over any."""
    with TcpPeer(tcp_core) as peer:
        peer.send_bytes(handshake())
        peer.read(8)
        for number, data in enumerate([b"", b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f"], start=1):
            peer.send_bytes(message(request(data, number)))
            reply = peer.receive_body()
            assert reply[:4] == struct.pack(">I", 0x80000000 | number)
            assert envelope.Response.FromString(reply[4:]).code == envelope.INVALID_ARGUMENT


@pytest.mark.parametrize("transport", [0, 1])
@pytest.mark.parametrize("peer_type", [pynng.Rep0, pynng.Pair0, pynng.Pub0, pynng.Push0])
def test_sockets_of_another_type_are_not_connected(tcp_core, honest, transport, peer_type):
    """Also a replier: it would send replies where requests belong."""
    with peer_type() as peer:
        try:
            peer.dial(tcp_core.urls[transport], block=True)
        except pynng.NNGException:
            pass
        assert honest.serving()


def test_a_raw_peer_that_sends_replies_is_answered_or_dropped(tcp_core, honest):
    """Response envelopes in place of requests: to the core they are envelopes without a method."""
    answer = envelope.Response(code=envelope.NOT_FOUND, message="x", body=b"y").SerializeToString()
    with TcpPeer(tcp_core) as peer:
        peer.send_bytes(handshake() + message(request(answer)))
        peer.read(8)
        reply = envelope.Response.FromString(peer.receive_body()[4:])
    assert reply.code == envelope.INVALID_ARGUMENT


@pytest.mark.parametrize("entries, code", [(900, envelope.OK), (300000, envelope.INVALID_ARGUMENT)])
def test_metadata_floods_are_answered(tcp_core, honest, entries, code):
    keys = (b"%08d" % number for number in range(entries))
    flood = b"".join(b"\x1a\x0c\x0a\x08" + key + b"\x12\0" for key in keys)
    response = envelope.Response.FromString(honest.raw(encode(HEALTH_CHECK, b"") + flood))
    assert response.code == code, response
    huge = {"request-id": "x" * 100000, "traceparent": "\n" * 10000, "client": "\x1b[2J" * 10000}
    response = envelope.Response.FromString(honest.raw(encode(HEALTH_CHECK, b"", huge)))
    assert response.code == envelope.OK
    assert len(response.metadata["request-id"]) <= 128


@pytest.mark.parametrize("tag", range(1, 6))
@pytest.mark.parametrize("wire_type", range(8))
def test_wrong_wire_types_are_refused_or_ignored(honest, tag, wire_type):
    """Every field of a request with every wire type; the values are too short for some."""
    values = {0: b"\x01", 1: b"12345678", 2: b"\x01x", 5: b"1234"}
    body = bytes([tag << 3 | wire_type]) + values.get(wire_type, b"\x01")
    methods = ["CreateEvent", "BatchCreateEvents", "GetEvent", "AckEvent", "BatchAckEvents", "EraseEvent"]
    for method in [*methods, "ListInbox", "ListEvents", "ListKinds"]:
        data = honest.raw(encode(f"{EVENT_SERVICE}/{method}", body))
        response = envelope.Response.FromString(data)
        assert response.code in (envelope.OK, envelope.INVALID_ARGUMENT, envelope.NOT_FOUND)
    response = envelope.Response.FromString(honest.raw(body))
    assert response.code in (envelope.INVALID_ARGUMENT, envelope.UNIMPLEMENTED)


def test_connections_that_come_and_go_leave_nothing(tcp_core):
    """A hundred peers that each stop at another byte of a call."""
    with RpcClient(tcp_core.urls[0]) as rpc:
        whole = handshake() + message(HEALTH)
        before = tcp_core.connections()
        for number in range(100):
            with TcpPeer(tcp_core) as peer:
                peer.send_bytes(whole[: number % (len(whole) - 1)])
        wait_until(lambda: tcp_core.connections() <= before + 1, "connections back")
        assert rpc.create().event_id
