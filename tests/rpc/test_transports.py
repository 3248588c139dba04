"""Every transport, and clients that know nothing of us: nngcat with protoc, a bare WebSocket."""

import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pynng
import pytest

from support.certificates import make_certificate
from support.network import free_port, wait_until
from support.protocol import PROTO, envelope, health
from support.rpc import HEALTH_CHECK, RpcClient, encode
from support.websocket import BarePeer


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


def test_bare_websocket_peer(core):
    peer = BarePeer(core.url)
    peer.send(encode(HEALTH_CHECK, b""), number=7)
    number, reply = peer.receive()
    response = envelope.Response.FromString(reply)
    assert number == 7 and response.code == envelope.OK
    answer = health.HealthCheckResponse.FromString(response.body)
    assert answer.status == health.HealthCheckResponse.SERVING
    peer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",  # a frame of 2^64 bytes
        b"\x82\xfe\xff\xff\0\0\0\0abc",  # cut short
        b"\x82\x05hello",  # not masked, which a client's frame must be
        b"\x82\x80\0\0\0\0",  # too short for a request id
        b"\x82\x84\0\0\0\0\0\0\0\1",  # a request id without its top bit
        b"\xf7\x85\0\0\0\0hello",  # reserved bits and opcode
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_broken_frames_cost_only_their_connection(core, rpc, data):
    assert rpc.serving()  # its own connection is up and counted
    before = core.descriptors()
    peer = BarePeer(core.url)
    peer.send_bytes(data)
    peer.die()
    assert rpc.serving()
    wait_until(lambda: core.descriptors() <= before, "descriptors back")
