"""Every transport, and clients that know nothing of us: nngcat with protoc, bare sockets."""

import socket
import struct
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pynng
import pytest

from support.certificates import make_certificate
from support.keys import AUTHORIZATION, KEYED
from support.network import free_port, free_url, wait_until
from support.one_store import store_name  # noqa: F401
from support.peer import connect
from support.protocol import PROTO, envelope, health
from support.rpc import HEALTH_CHECK, BareClient, RpcClient, encode


@pytest.fixture
def everywhere(start_core, tmp_path):
    """A core that listens on one address of each kind, and its certificate."""
    certificate, key = make_certificate(tmp_path)
    urls = [
        f"ws://127.0.0.1:{free_port()}/rpc",
        f"tcp://127.0.0.1:{free_port()}",
        f"ipc://{tmp_path}/core.ipc",
        f"wss://127.0.0.1:{free_port()}/rpc",
        f"tls+tcp://127.0.0.1:{free_port()}",
    ]
    core = start_core(
        TRIGGERS_LISTEN=",".join(urls), TRIGGERS_TLS_CERT=certificate, TRIGGERS_TLS_KEY=key
    )
    return core, certificate


def test_one_core_serves_all_transports(everywhere):
    core, certificate = everywhere
    ids = []
    for url in core.urls:
        secure = url.startswith(("wss:", "tls+tcp:"))
        with RpcClient(url, certificate if secure else None) as rpc:
            payload = b'{"a":"' + b"x" * 200000 + b'"}'
            ids.append(rpc.create(source=url, payload=payload).event_id)
            assert rpc.event("GetEvent", event_id=ids[-1]).event.payload == payload
    with core.client() as rpc:
        listed = [event.event_id for event in rpc.event("ListInbox").events]
    assert listed == ids[::-1]


def test_listeners_are_logged(everywhere):
    core, _ = everywhere
    for url in core.urls:
        core.wait_for_line(url)


def connection_timers(port):
    """What the kernel waits for on each connection to a port of this machine: 02 is keepalive."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return [row[5][:2] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]


def test_silent_connections_are_probed(everywhere):
    core, _ = everywhere
    for port in [urlsplit(url).port for url in core.urls if not url.startswith("ipc:")]:
        with socket.create_connection(("127.0.0.1", port)):
            wait_until(lambda: set(connection_timers(port)) == {"02"}, f"keepalive on port {port}")


def test_a_client_that_trusts_another_certificate_is_not_served(everywhere, tmp_path):
    core, _ = everywhere
    other, _ = make_certificate(tmp_path, "other")
    url = next(url for url in core.urls if url.startswith("wss:"))
    with RpcClient(url, other) as rpc:
        with pytest.raises(pynng.NNGException):
            rpc.health(timeout=1.0)
    assert core.running


def protoc(action, message, file, data):
    command = ["protoc", "-I", PROTO, f"--{action}={message}", file]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def escaped(data):
    """Bytes as protobuf's text format writes them."""
    return "".join(f"\\{byte:03o}" for byte in data)


def nngcat(url, message, folder):
    request = folder / "request.bin"
    request.write_bytes(message)
    command = ["nngcat", "--req0", "--dial", url, "--file", request, "--raw"]
    command += ["--recv-timeout", "20"]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def call_with_tools(url, folder, method, body):
    """A call as a shell script makes it: protoc encodes, nngcat carries, protoc decodes."""
    text = f'method: "{method}" timeout_ms: 5000 body: "{escaped(body)}"'
    if KEYED:
        text += f' metadata {{ key: "authorization" value: "{AUTHORIZATION}" }}'
    file = "triggers/rpc/v1/envelope.proto"
    request = protoc("encode", "triggers.rpc.v1.Request", file, text.encode())
    reply = nngcat(url, request, folder)
    return reply, protoc("decode", "triggers.rpc.v1.Response", file, reply).decode()


@pytest.mark.parametrize("scheme", ["ws", "tcp", "ipc"])
def test_nngcat_and_protoc_are_client_enough(everywhere, tmp_path, scheme):
    core, _ = everywhere
    url = next(url for url in core.urls if url.startswith(f"{scheme}:"))
    file = "triggers/v1/events.proto"
    body = protoc(
        "encode",
        "triggers.v1.CreateEventRequest",
        file,
        b'source: "Shell " event_type: "tool.used" payload: "{\\"n\\":1e400}"',
    )
    method = "triggers.v1.EventService/CreateEvent"
    reply, shown = call_with_tools(url, tmp_path, method, body)
    assert "code" not in shown and "body" in shown  # OK is 0, which protoc leaves out
    created = protoc(
        "decode",
        "triggers.v1.CreateEventResponse",
        file,
        envelope.Response.FromString(reply).body,
    ).decode()
    event_id = created.split('event_id: "')[1].split('"')[0]
    with core.client() as rpc:
        event = rpc.event("GetEvent", event_id=event_id).event
    assert (event.source, event.event_type) == ("shell", "tool.used")
    assert event.payload == b'{"n":1e400}'


def test_nngcat_is_told_of_errors(everywhere, tmp_path):
    core, _ = everywhere
    _, shown = call_with_tools(core.url, tmp_path, "triggers.v1.EventService/Nope", b"")
    assert "code: UNIMPLEMENTED" in shown and "reason:" in shown


@pytest.fixture(params=["ws", "tcp"])
def plain(request, start_core):
    """A core, on one address."""
    core = start_core(TRIGGERS_LISTEN=free_url(request.param))
    with BareClient(core.url) as rpc:
        assert rpc.serving()
    return core


def check_health(reply):
    response = envelope.Response.FromString(reply)
    assert response.code == envelope.OK
    answer = health.HealthCheckResponse.FromString(response.body)
    assert answer.status == health.HealthCheckResponse.SERVING


def test_bare_peer(plain):
    peer = connect(plain.url)
    peer.send(encode(HEALTH_CHECK, b""), number=7)
    number, reply = peer.receive()
    assert number == 7
    check_health(reply)
    peer.close()


def test_messages_need_not_come_in_one_piece(plain):
    """Byte by byte, and all at once with a large one among them."""
    peer = connect(plain.url)
    ask = struct.pack(">I", 0x80000001) + encode(HEALTH_CHECK, b"")
    for place in range(len(peer.frame(ask))):
        peer.send_bytes(peer.frame(ask)[place : place + 1])
    check_health(peer.receive()[1])
    large = struct.pack(">I", 0x80000001) + encode(HEALTH_CHECK, b"", {"more": "x" * 100_000})
    peer.send_bytes((peer.frame(ask) * 30 + peer.frame(large)) * 3)
    for _ in range(93):
        check_health(peer.receive()[1])
    peer.close()


def test_routes_of_devices_come_back(plain):
    """The answer has the words that were before the request, up to eight of them."""
    peer = connect(plain.url)
    for hops in [8, 9, 1]:  # one more is dropped: it has gone in circles
        route = b"".join(struct.pack(">I", hop) for hop in range(hops)) + b"\x80\0\0\5"
        peer.send_bytes(peer.frame(route + encode(HEALTH_CHECK, b"")))
    for hops in [8, 1]:
        body = peer.receive_body()
        assert body[: 4 * hops + 4].endswith(b"\x80\0\0\5")
        check_health(body[4 * hops + 4 :])
    peer.close()


def test_messages_over_the_limit_are_answered(plain):
    peer = connect(plain.url)
    peer.send(bytes((8 << 20) + 1))
    assert envelope.Response.FromString(peer.receive()[1]).details.reason == "MESSAGE_TOO_LARGE"
    peer.send(encode(HEALTH_CHECK, b""))
    check_health(peer.receive()[1])
    peer.close()


BROKEN = {
    "ws": [
        b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",  # a frame of 2^64 bytes
        b"\x82\xfe\xff\xff\0\0\0\0abc",  # cut short
        b"\x82\x05hello",  # not masked, which a client's frame must be
        b"\x82\x80\0\0\0\0",  # too short for a request id
        b"\x82\x84\0\0\0\0\0\0\0\1",  # a request id without its top bit
        b"\xf7\x85\0\0\0\0hello",  # reserved bits and opcode
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    "tcp": [
        b"\xff" * 8,  # a message of 2^64 bytes
        b"\0\0\0\0\0\0\1\0abc",  # cut short
        bytes(8),  # an empty message
        b"\0\0\0\0\0\0\0\4\0\0\0\1",  # a request id without its top bit
        b"GET / HTTP/1.1\r\n\r\n",
    ],
}


@pytest.mark.parametrize(
    ("plain", "data"),
    [(scheme, data) for scheme, broken in BROKEN.items() for data in broken],
    indirect=["plain"],
)
def test_broken_frames_cost_only_their_connection(plain, data):
    with BareClient(plain.url) as rpc:
        assert rpc.serving()  # its own connection is up and counted
        before = plain.connections()
        peer = connect(plain.url)
        peer.send_bytes(data)
        peer.die()
        assert rpc.serving()
        wait_until(lambda: plain.connections() <= before, "connections back")


def test_clients_killed_with_calls_in_flight(plain):
    """Thirty peers send calls and die without reading a byte."""
    with BareClient(plain.url) as rpc:
        assert rpc.serving()
        before = plain.connections()
        for _ in range(30):
            peer = connect(plain.url)
            for number in range(400):
                peer.send(encode(HEALTH_CHECK, b""), number)
            peer.die()
        assert rpc.serving()
        wait_until(lambda: plain.connections() <= before, "connections back where they were")
