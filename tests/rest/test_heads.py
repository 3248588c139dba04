"""Heads of requests: 32 KiB and 128 fields are served, what is more gets one whole answer."""

import json

import pytest

from rest.checks import CREATE
from rest.wire import Wire, get, in_pieces, with_key
from support.one_store import store_name  # noqa: F401

MAX = 32768
FIELDS = 128
BODY = json.dumps(CREATE)
KEYS = len(with_key(b" HTTP/1.1\r\n")) - len(b" HTTP/1.1\r\n")  # what each head has more in a run with keys
KEY_FIELDS = 1 if KEYS else 0


def head_of(size, *lines, first="GET /health HTTP/1.1", each=4000):
    """A head of so many bytes, filled up with headers of at most `each`."""
    text = "\r\n".join([first, "Host: localhost", *lines]) + "\r\n"
    left = size - KEYS - len(text) - 2
    while left > 0:
        line = min(left, each)
        if 0 < left - line < 6:
            line = left
        text += "X:" + "a" * (line - 4) + "\r\n"
        left -= line
    assert len(text) + KEYS + 2 == size
    return text + "\r\n"


def check_refused(wire):
    answer = wire.read()
    assert answer.status == 431
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    problem = json.loads(answer.body)
    assert problem["status"] == 431 and problem["code"] == "REQUEST_HEAD_TOO_LARGE"
    assert str(MAX) in problem["detail"] and str(FIELDS) in problem["detail"]
    assert wire.closed()


@pytest.mark.parametrize("each", [300, 4000, MAX])
@pytest.mark.parametrize("size", [7900, 8000, 8192, 16000, 16384, 30000, MAX - 1, MAX])
def test_long_heads_are_served(bridge, size, each):
    with Wire(bridge) as wire:
        for _ in range(3):
            wire.send(head_of(size, each=each))
            assert wire.read().status == 200


@pytest.mark.parametrize("each", [300, 4000, 1 << 20])
@pytest.mark.parametrize("size", [MAX + 1, MAX + 100, 40000, 48000, 49152, 50000, 65536, 1 << 20])
def test_longer_ones_are_refused(bridge, size, each):
    with Wire(bridge) as wire:
        wire.send(get("/health"))
        assert wire.read().status == 200
        wire.send(head_of(size, each=each))
        check_refused(wire)


def test_many_cookies(bridge):
    """As sign-in proxies set them: 30 KB in two, or in thousands."""
    for cookie in ("a=" + "x" * 30000, "; ".join(f"c{n}=v" for n in range(3500))):
        with Wire(bridge) as wire:
            for name in ("Cookie", "cookie"):
                wire.send(get("/ready", f"{name}: {cookie}"))
                assert wire.read().status == 200


@pytest.mark.parametrize("target", ["/" + "a" * (MAX - KEYS - 100), "/health?" + "a" * (MAX - KEYS - 100)])
def test_long_targets(bridge, target):
    with Wire(bridge) as wire:
        wire.send(get(target))
        assert wire.read().status in (200, 404)
    with Wire(bridge) as wire:
        wire.send(get(target + "a" * 100))
        check_refused(wire)


def test_many_fields(bridge):
    fields = [f"X-{n}: 1" for n in range(FIELDS - 1 - KEY_FIELDS)]
    with Wire(bridge) as wire:
        wire.send(get("/health", *fields))
        assert wire.read().status == 200
        wire.send(get("/health", *fields, "X-Last: 1"))
        check_refused(wire)
    for count in (200, 5000):
        with Wire(bridge) as wire:
            wire.send(get("/health", *["a:b"] * count))
            check_refused(wire)
    with Wire(bridge) as wire:
        wire.send(get("/health?" + "&".join(["a"] * 5000)))
        check_refused(wire)


def test_a_head_that_never_ends(bridge):
    with Wire(bridge) as wire:
        wire.send("GET /health HTTP/1.1\r\nX: ", "a" * MAX)
        check_refused(wire)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_in_pieces(bridge, size):
    head = head_of(3000, "Cookie: a=b", "Idempotency-Key: cookie", f"Content-Length: {len(BODY)}",
                   first="POST /api/v1/events HTTP/1.1")
    text = head + BODY
    with Wire(bridge) as wire:
        for piece in in_pieces(text, size):
            wire.send_piece(piece)
        assert wire.read().status == 201


def test_bodies_are_none_of_a_head(bridge):
    """However many lines they have, and whatever these begin with, one after the other at once too."""
    body = json.dumps({**CREATE, "payload": {"a": 1}}, indent=0) + "\n" * 40000
    lines = ("\n".join([BODY] * 300)).encode()
    post = f"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    batch = (
        "POST /api/v1/events/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(lines), lines)
    with Wire(bridge) as wire:
        for _ in range(2):
            wire.send(post, batch, post, post, batch, batch, get("/health", "Cookie: a=b"), post)
            for status in (201, 200, 201, 201, 200, 200, 200, 201):
                assert wire.read().status == status


def test_pipelined_heads(bridge):
    with Wire(bridge) as wire:
        wire.send(*[head_of(9000)] * 8)
        for _ in range(8):
            assert wire.read().status == 200
        wire.send(head_of(MAX + 1))
        check_refused(wire)


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        ("GET /health HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (head_of(MAX + 1), 431),
        ("POST /api/v1/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n", 400),
    ],
)
def test_those_before_a_fault_are_answered_first(bridge, bad, status):
    post = f"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
    with Wire(bridge) as wire:
        wire.send(post + get("/health") + post + bad)
        for expected in (201, 200, 201, status):
            assert wire.read().status == expected
        assert wire.closed()


@pytest.mark.parametrize("left", range(18))
def test_a_fault_at_the_end_of_what_is_received_at_once(bridge, left):
    """Of a new connection that is 8192 bytes: less of them is left than the answer's request takes."""
    request = get("/health", "Origin: a")
    request = request.replace("Origin: a", "Origin: " + "a" * (8192 - left - len(request) + 1))
    with Wire(bridge, timeout=60.0) as wire:
        wire.send(request + "\x02" * 30)
        for expected in (200, 400):
            assert wire.read().status == expected
        assert wire.closed()


def test_a_cut_target_is_not_read(bridge):
    """What follows 8000 bytes could be a parameter that counts."""
    for size, status in ((7999, 200), (8000, 414), (30000, 414)):
        start = "/api/v1/inbox?junk="
        with Wire(bridge) as wire:
            wire.send(get(start + "a" * (size - len(start) - len("&limit=1")) + "&limit=1"))
            assert wire.read().status == status


def test_fields_that_are_read_are_bounded(bridge):
    with Wire(bridge) as wire:
        wire.send(get("/health", *[f"Accept-Encoding: {'a' * 1000}"] * 9))
        assert wire.read().status == 200
        wire.send(get("/health", *[f"Accept-Encoding: {'a' * 1000}"] * 12))
        check_refused(wire)
