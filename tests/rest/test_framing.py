"""Requests whose end can be read in two ways are refused, and sizes are kept."""

import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import termios

import pytest

from rest.checks import CREATE
from rest.wire import Wire, exchange, in_pieces, with_key
from support.https import LOST
from support.network import wait_until
from support.one_store import store_name  # noqa: F401

HEAD = "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = json.dumps(CREATE)
SMUGGLED = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def library_answers():
    """Whether the bridge has a libmicrohttpd that answers some malformed requests by itself, in HTML or by
    redirecting: 1.0, as the images have, does; 0.9 leaves all to the bridge."""
    words = ["pkg-config", "--modversion", "libmicrohttpd"]
    version = subprocess.run(words, capture_output=True, text=True).stdout
    return "TRIGGERS_REST_PORT" in os.environ or not version.startswith("0.")


LIBRARY_ANSWERS = library_answers()


def check_refused(bridge, request, status=400):
    """Refused with a problem, and nothing behind it is read as another request."""
    with Wire(bridge) as wire:
        wire.send(request)
        check_refusal(wire, status)


def check_refusal(wire, status=400):
    answer = wire.read()
    assert answer.status == status, answer
    assert answer.headers["connection"] == "close"
    if not (LIBRARY_ANSWERS and answer.body.startswith(b"<html>")):
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.body)["status"] == status
    assert wire.closed()


def wait_for_acknowledgement(wire):
    """Until the other side's kernel has all that was sent, so that what follows is another piece; or until
    it has closed."""
    unsent = struct.Struct("i")
    state = select.poll()
    state.register(wire.socket, 0)

    def has_all():
        closed = state.poll(0)
        return closed or unsent.unpack(fcntl.ioctl(wire.socket, termios.TIOCOUTQ, bytes(4)))[0] == 0

    wait_until(has_all, "an acknowledgement", interval=0.0005)


@pytest.mark.parametrize(
    "framing",
    [
        f"Content-Length: {len(BODY)}\r\nTransfer-Encoding: chunked\r\n",
        f"Transfer-Encoding: chunked\r\nContent-Length: {len(BODY)}\r\n",
        f"Content-Length: {len(BODY)}\r\nContent-Length: {len(BODY) + 1}\r\n",
        f"Content-Length: {len(BODY)}\r\nContent-Length: {len(BODY)}\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        f"Content-Length : {len(BODY)}\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "X Header: 1\r\n",
        "X\x01: 1\r\n",
        "X: a\x01b\r\n",
        "X: a\x7fb\r\n",
        "X: a\rb\r\n",
        f"X: a\rContent-Length: {len(BODY)}\r\n",
        f"X: a\nContent-Length: {len(BODY)}\r\nContent-Length: 3\r\n",
        f"Content-Length: 3\r\n\tTransfer-Encoding: chunked\r\n",
        "Host: b\r\n",
    ],
)
def test_ambiguous_framing_is_refused(bridge, framing):
    check_refused(bridge, f"{HEAD}{framing}\r\n{BODY}{SMUGGLED}")


@pytest.mark.parametrize(
    "lines",
    [
        f"\nContent-Length: {len(BODY)}\n\n",
        f"\r\nContent-Length: {len(BODY)}\n\r\n",
        f"\r\nContent-Length: {len(BODY)}\r\n\n",
        f"\r\nContent-Length:\r\n {len(BODY)}\r\n\r\n",
        f"\r\ncontent-length: {len(BODY) // 10}\r\n\t{len(BODY) % 10}\r\nX: y\r\n\r\n",
        "\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        f"\r\nContent-Length: {len(BODY)}\r\nIdempotency-Key:\r\n a\r\n\r\n",
        f"\r\nContent-Length: {len(BODY)}\r\nX: a\r\n b\r\n\r\n",
        f"\r\nContent-Length: {len(BODY)}\r\nX: a\0b\r\n\r\n",
        f"\r\nContent-Length: {len(BODY)}\0 3\r\n\r\n",
    ],
)
def test_odd_line_ends_are_refused(bridge, lines):
    """RFC 9112 would let a server take a bare LF for a line's end (2.2) and join folded lines (5.2)."""
    check_refused(bridge, f"{HEAD[:-2]}{lines}{BODY}GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n")


@pytest.mark.parametrize(
    "path", ["/api/v1%2fevents/x", "/api/v1/events/%zz", "/api/v1/events/%", "/health%00"]
)
def test_odd_paths_are_not_found(bridge, path):
    answer = exchange(bridge, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.status == 404 and answer.headers["content-type"] == "application/problem+json"


def test_a_host_is_needed(bridge):
    check_refused(bridge, "GET /health HTTP/1.1\r\n\r\n" + SMUGGLED)


def test_transfer_encoding_does_not_exist_in_http_1_0(bridge):
    head = HEAD.replace("HTTP/1.1", "HTTP/1.0")
    check_refused(bridge, f"{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}")


@pytest.mark.parametrize(
    "length", ["x", "-1", "+5", "5,5", "5;", "0x5", "1e3", "", "99999999999999999999999"]
)
@pytest.mark.parametrize("cut", [0, 20, len(HEAD), -1])
def test_lengths_that_are_no_numbers(bridge, length, cut):
    """However the head is cut into pieces, and after a request that was in order."""
    text = f"{HEAD}Content-Length: {length}\r\n\r\n"
    with Wire(bridge) as wire:
        wire.send(SMUGGLED)
        assert wire.read().status == 200
        wire.send(text[:cut])
        wait_for_acknowledgement(wire)
        wire.send(f"{text[cut:]}{BODY}{SMUGGLED}")
        check_refusal(wire, 413 if length.startswith("9") else 400)


def test_many_lengths_that_are_no_numbers(bridge):
    """Each connection gets one answer, and those beside it are let alone."""
    text = f"{HEAD}Content-Length: x\r\n\r\n"
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(bridge)) for _ in range(20)]
        for wire in wires:
            wire.send(text[:-2])
        with Wire(bridge) as honest:
            honest.send(SMUGGLED[:10])
            for wire in wires[::2]:
                wire.send("\r\n")
                check_refusal(wire)
            honest.send(SMUGGLED[10:])
            assert honest.read().status == 200


@pytest.mark.parametrize(
    "chunks",
    ["zz\r\n", "-5\r\nhello\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "fffffffffffffffff\r\n", ";\r\n"],
)
def test_malformed_chunks(bridge, chunks):
    with Wire(bridge) as wire:
        wire.send(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunks}")
        answer = wire.read()
        assert answer is None or answer.status in (400, 413)
        assert wire.closed()


CHUNKED = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n"
SIZE = f"{len(BODY):x}"


@pytest.mark.parametrize(
    "chunks",
    [
        f"{SIZE}\n{BODY}\r\n0\r\n\r\n",
        f"{SIZE};x=y\n{BODY}\r\n0\r\n\r\n",
        f"{SIZE}\r\n{BODY}\n0\r\n\r\n",
        f"{SIZE}\r\n{BODY}\r\n0\n\r\n",
        f"{SIZE}\r\n{BODY}\r\n0;x\n\r\n",
        f"{SIZE}\r\n{BODY}\r\n00\n\r\n",
        f"{SIZE}\r\n{BODY}\r\n0\r\n\n",
        f"{SIZE}\r\n{BODY}\r\n0\r\nX: y\n\r\n",
        f"{SIZE}\r\n{BODY}\r\n0\r\nX: y\r\n\n",
        f"{SIZE}\r\n{BODY}\r\n0\r\nX: y\nZ: 1\r\n\r\n",
        f"1\r\n{BODY[0]}\n1\r\n{BODY[1]}\r\n{len(BODY) - 2:x}\r\n{BODY[2:]}\r\n0\r\n\r\n",
        f"1\r\n{BODY[0]}\r\n1\n{BODY[1]}\r\n{len(BODY) - 2:x}\r\n{BODY[2:]}\r\n0\r\n\r\n",
        f"{SIZE}\n{BODY}\n0\n\n",
        "0\r\n\n",
    ],
)
@pytest.mark.parametrize("before", ["", SMUGGLED, f"\r\n\r\n{SMUGGLED}\r\n"])
@pytest.mark.parametrize("pieces", ["one", "head", "lines", "bytes"])
def test_odd_line_ends_of_chunks_are_refused(bridge, chunks, pieces, before):
    """However it all comes: in one piece, the head apart, each line or byte, after other requests."""
    head = f"{before}{CHUNKED}"
    text = with_key(f"{head}{chunks}".encode())
    cuts = {
        "one": [text],
        "head": [with_key(head.encode()), chunks.encode()],
        "lines": text.splitlines(keepends=True),
        "bytes": in_pieces(f"{head}{chunks}", 1),
    }[pieces]
    with Wire(bridge) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(*LOST):  # it is refused before its end
            for piece in cuts:
                wire.send_piece(piece)
                wait_for_acknowledgement(wire)
            wire.send(SMUGGLED)
        if before:
            assert wire.read().status == 200
        check_refusal(wire)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_odd_line_end_of_an_empty_body(bridge, method):
    head = CHUNKED.replace("POST", method).replace("/api/v1/events", "/health")
    check_refused(bridge, f"{head}0\n\r\n{SMUGGLED}")
    check_refused(bridge, f"{head}0;x\n\r\n{SMUGGLED}")
    with Wire(bridge) as wire:
        wire.send(f"{head}0\r\n\r\n{head}0;x\r\n\r\n{SMUGGLED}")
        expected = 200 if method == "GET" else 405
        assert [wire.read().status for _ in range(3)] == [expected, expected, 200]


@pytest.mark.parametrize("trailer", ["", "X: y\r\nZ: 1\r\n"])
def test_a_chunked_body_byte_by_byte(bridge, trailer):
    """Its head, too: lines are where they were read, however they came."""
    with Wire(bridge) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        half = len(BODY) // 2
        chunks = f"{half:x}\r\n{BODY[:half]}\r\n{len(BODY) - half:x}\r\n{BODY[half:]}\r\n0\r\n"
        for byte in in_pieces(f"{CHUNKED}{chunks}{trailer}\r\n", 1):
            wire.send_piece(byte)
            wait_for_acknowledgement(wire)
        assert wire.read().status == 201
        wire.send(SMUGGLED)
        assert wire.read().status == 200


@pytest.mark.parametrize("extension", ["", ";x=y"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_chunked_bodies(bridge, size, extension):
    chunks = [BODY[i : i + size] for i in range(0, len(BODY), size)]
    text = "".join(f"{len(chunk):x}{extension}\r\n{chunk}\r\n" for chunk in chunks)
    with Wire(bridge) as wire:
        wire.send(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{text}0\r\nTrailer: x\r\n\r\n", SMUGGLED)
        answer = wire.read()
        if extension and b"chunked encoding is syntactically incorrect" in answer.body:
            assert answer.status == 400 and wire.closed()
            pytest.skip("libmicrohttpd 1.0.1 refuses chunk extensions")
        assert answer.status == 201
        assert wire.read().status == 200


def test_a_body_byte_by_byte(bridge):
    with Wire(bridge) as wire:
        for byte in in_pieces(f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n{BODY}", 1):
            wire.send_piece(byte)
        assert wire.read().status == 201


def test_pipelined_requests_are_answered_in_order(bridge):
    with Wire(bridge) as wire:
        one = f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n{BODY}"
        wire.send(one, SMUGGLED, one, "GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n", SMUGGLED)
        assert [wire.read().status for _ in range(5)] == [201, 200, 201, 404, 200]


def test_expect_continue(bridge):
    with Wire(bridge) as wire:
        wire.send(f"{HEAD}Content-Length: {len(BODY)}\r\nExpect: 100-continue\r\n\r\n")
        assert wire.socket.recv(4096).startswith(b"HTTP/1.1 100")
        wire.send(BODY)
        assert wire.read().status == 201


@pytest.mark.parametrize(
    "head, status",
    [
        (HEAD.replace("application/json", "text/plain"), 415),
        (HEAD.replace("/events", "/nope"), 404),
        (HEAD.replace("POST", "PUT"), 405),
    ],
)
def test_expect_continue_is_refused_before_the_body(bridge, head, status):
    check_refused(bridge, f"{head}Content-Length: 50\r\nExpect: 100-continue\r\n\r\n", status)


CAP = 262144 + 65536


def test_a_stated_length_over_the_cap(bridge):
    """The body is read to its end, so that the client reads the answer and not a reset."""
    with Wire(bridge) as wire:
        wire.send(f"{HEAD}Content-Length: {CAP + 1}\r\n\r\n", b" " * (CAP + 1), SMUGGLED)
        assert wire.read().status == 413
        assert wire.read().status == 200


def test_a_chunked_body_over_the_cap(bridge):
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with Wire(bridge) as wire:
        wire.send(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 6, b"0\r\n\r\n", SMUGGLED)
        assert wire.read().status == 413
        assert wire.read().status == 200


def test_a_body_at_the_cap_is_read(bridge):
    with Wire(bridge) as wire:
        padded = BODY + " " * (CAP - len(BODY))
        wire.send(f"{HEAD}Content-Length: {CAP}\r\n\r\n{padded}")
        assert wire.read().status == 201


def test_a_huge_stated_length_is_refused_at_once(bridge):
    check_refused(bridge, f"{HEAD}Content-Length: 100000000000\r\n\r\n", 413)
    check_refused(bridge, "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413)


def test_an_endless_chunked_body_ends_the_connection(bridge):
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    with Wire(bridge) as wire:
        with pytest.raises(LOST):
            wire.send(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(64):
                wire.send(chunk)
    assert exchange(bridge, SMUGGLED).status == 200


@pytest.mark.parametrize(
    "text",
    [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET /health\r\n\r\n",
        "GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
        "GET /health HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /he alth HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "G\x00T /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\n" + "X-H: " + "a" * 70000 + "\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\n" + "X-H: a\r\n" * 5000 + "\r\n",
        "GET /" + "a" * 70000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_nonsense_harms_nobody(bridge, text):
    with Wire(bridge) as wire:
        try:
            wire.send(text)
            answer = wire.read() if text.strip() else None
            refused = 300 if LIBRARY_ANSWERS else 400
            assert answer is None or answer.status >= refused or "HTTP/1.1" not in text
        except OSError:
            pass  # reset before all was sent
    assert exchange(bridge, SMUGGLED).status == 200


@pytest.mark.parametrize("cut", range(0, 140, 7))
def test_clients_that_leave_at_any_byte(bridge, cut):
    with Wire(bridge) as wire:
        wire.send(f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n{BODY}"[:cut])
    assert exchange(bridge, SMUGGLED).status == 200
