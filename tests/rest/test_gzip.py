"""Bodies that come compressed, and answers that are asked for compressed (RFC 9110 sections 8.4 and
12.5.3)."""

import gzip
import json
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from rest.checks import CREATE, check_problem, create
from rest.wire import Wire
from support.one_store import store_name  # noqa: F401

BRIDGE_SETTINGS = {"TRIGGERS_BRIDGE_THREADS": "1"}

JSON = {"Content-Type": "application/json"}
BATCH = "/api/v1/events/batch"
MAX_CREATE = 262144 + 65536
MAX_BATCH = 8 << 20


def post(http, body, path="/api/v1/events", coding="gzip", kind="application/json"):
    headers = {"Content-Type": kind, "Content-Encoding": coding}
    return http.post(path, content=body, headers=headers)


def body_of(**fields):
    return json.dumps({**CREATE, **fields}).encode()


def payload_of(http, answer):
    assert answer.status_code == 201, answer.text
    return http.get(f"/api/v1/events/{answer.json()['event_id']}").json()["payload"]


# ---- bodies ----


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "gzip, identity", "utf-8, gzip", "gzip ,"])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_body_is_expanded(http, coding, level):
    payload = {"text": "a" * 3000}
    packed = gzip.compress(body_of(payload=payload), level)
    assert payload_of(http, post(http, packed, coding=coding)) == payload


def test_members_follow_one_another(http):
    """RFC 1952 section 2.2, as `cat a.gz b.gz` makes them."""
    body = body_of()
    parts = [gzip.compress(body[i : i + 9]) for i in range(0, len(body), 9)]
    assert payload_of(http, post(http, b"".join([*parts, gzip.compress(b"")]))) == CREATE["payload"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_in_pieces_of_any_size(bridge, size):
    packed = gzip.compress(body_of(payload={"n": list(range(2000))}))
    chunks = [packed[i : i + size] for i in range(0, len(packed), size)]
    with Wire(bridge) as wire:
        wire.send("POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n")
        wire.send("Transfer-Encoding: chunked\r\n\r\n")
        for chunk in chunks:
            wire.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        wire.send("0\r\n\r\n")
        assert wire.read().status == 201


def test_a_batch(http):
    lines = b"\n".join(body_of(payload={"n": n}) for n in range(1000))
    answer = post(http, gzip.compress(lines), BATCH, kind="application/x-ndjson")
    assert answer.status_code == 200
    assert all(result["status"] == "received" for result in answer.json()["results"])
    same = gzip.compress(b"[" + b",".join([body_of()] * 1000) + b"]", 9)
    assert len(post(http, same, BATCH).json()["results"]) == 1000


def test_the_largest_payload(http):
    payload = {"text": "x" * (262144 - len('{"text":""}'))}
    body = json.dumps({**CREATE, "payload": payload}, separators=(",", ":")).encode()
    assert payload_of(http, post(http, gzip.compress(body))) == payload


@pytest.mark.parametrize("spaces,status", [(0, 201), (1, 413), (1 << 24, 413)])
def test_what_is_too_large_when_expanded(http, spaces, status):
    body = body_of()
    body += b" " * (MAX_CREATE - len(body) + spaces)
    answer = post(http, gzip.compress(body, 9))
    if status == 201:
        assert answer.status_code == 201
    else:
        check_problem(answer, 413, "BODY_TOO_LARGE", "The body is too large when it is expanded")


def test_what_does_nothing_but_expand(http):
    body = b"[" + b" " * (MAX_BATCH - 2) + b"]"
    answer = post(http, gzip.compress(body, 9), BATCH)
    check_problem(
        answer, 413, "BODY_TOO_LARGE", "The body expands to more than 100 times what was sent"
    )
    small = post(http, gzip.compress(b" " * 500000 + b"[" + body_of() + b"]", 9), BATCH)
    assert small.status_code == 200


PACKED = gzip.compress(body_of(), mtime=0)
WRONG_SUM = bytearray(PACKED)
WRONG_SUM[-5] ^= 1
DICTIONARY = zlib.compressobj(zdict=b"source")


@pytest.mark.parametrize(
    "body,why",
    [
        (b"", "it ends too early"),
        (PACKED[:1], "it ends too early"),
        (PACKED[:10], "it ends too early"),
        (PACKED[:-1], "it ends too early"),
        (PACKED + PACKED[:12], "it ends too early"),
        (PACKED + b"garbage", "incorrect header check"),
        (PACKED + bytes(512), "incorrect header check"),
        (body_of(), "incorrect header check"),
        (zlib.compress(body_of()), "incorrect header check"),
        (DICTIONARY.compress(body_of()) + DICTIONARY.flush(), "incorrect header check"),
        (bytes(WRONG_SUM), "incorrect data check"),
        (PACKED[:10] + b"\xff" * 40, "invalid block type"),
    ],
)
def test_what_is_no_gzip(http, body, why):
    check_problem(post(http, body), 400, "MALFORMED_GZIP", f"The body is not valid gzip: {why}")


def test_what_is_inside_is_checked_as_ever(http):
    check_problem(post(http, gzip.compress(b"")), 400, "MALFORMED_JSON")
    check_problem(post(http, gzip.compress(gzip.compress(body_of()))), 400, "MALFORMED_JSON")
    check_problem(post(http, gzip.compress(b'{"source":"a"}')), 422, "FIELDS_INVALID")


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "compress", "gzip, gzip", "gzip, br", "gzi"])
def test_other_codings(http, coding):
    answer = post(http, PACKED, coding=coding)
    check_problem(answer, 415, "CONTENT_ENCODING_UNSUPPORTED")
    assert "gzip" in answer.json()["detail"]
    assert answer.headers["accept-encoding"] == "gzip"
    assert "accept-encoding" not in post(http, PACKED, kind="text/plain").headers


def test_a_body_that_nobody_reads_is_not_expanded(http):
    answer = http.request("GET", "/health", content=b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    assert post(http, b"junk", "/nowhere").status_code == 404


def test_bombs_take_no_memory_and_hold_up_nobody(core, start_bridge):
    """Under the smallest ceiling, with every body charged as expanded: each is answered."""
    bridge = start_bridge(core, TRIGGERS_BRIDGE_MEMORY="33554432")
    bomb = gzip.compress(b"[" + b'"1234567890abcdef",' * ((MAX_BATCH - 100) // 19) + b"1]", 9)

    def send(_):
        headers = {**JSON, "Content-Encoding": "gzip"}
        return httpx.post(f"{bridge.url}{BATCH}", content=bomb, headers=headers, timeout=60)

    with ThreadPoolExecutor(12) as pool:
        statuses = {answer.status_code for answer in pool.map(send, range(24))}
    assert statuses <= {413, 503}
    assert httpx.post(f"{bridge.url}/api/v1/events", json=CREATE).status_code == 201


# ---- answers ----


@pytest.fixture(scope="module")
def page(http):
    """The path of a page of over 100 KB."""
    for n in range(60):
        create(http, payload={"n": n, "text": "ab" * 1000})
    return "/api/v1/inbox?limit=60"


def raw(bridge, path, *headers, method="GET"):
    """Status, headers and the body as it came."""
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20) as client:
        del client.headers["accept-encoding"]
        with client.stream(method, path, headers=dict(headers)) as answer:
            return answer.status_code, answer.headers, b"".join(answer.iter_raw())


@pytest.mark.parametrize(
    "accepted,coded",
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("br, gzip, deflate", True),
        ("gzip;q=0.001", True),
        ("gzip ; Q=1.000", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("br", False),
        ("identity", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=0.8", True),
        ("gzippy", False),
        (";q=1", False),
        ("gzip;q=", True),
    ],
)
def test_answers_are_compressed_when_asked(bridge, page, accepted, coded):
    _, plain_headers, plain = raw(bridge, page)
    assert "content-encoding" not in plain_headers
    headers = [] if accepted is None else [("Accept-Encoding", accepted)]
    status, answered, body = raw(bridge, page, *headers)
    assert status == 200 and answered["vary"] == plain_headers["vary"] == "Accept-Encoding"
    assert answered.get("content-encoding") == ("gzip" if coded else None)
    assert (gzip.decompress(body) if coded else body) == plain
    if coded:
        assert len(body) < len(plain) / 10


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/metrics"])
def test_every_long_answer(bridge, path):
    _, headers, packed = raw(bridge, path, ("Accept-Encoding", "gzip"))
    assert headers["content-encoding"] == "gzip"
    plain = raw(bridge, path)[2]
    assert path == "/metrics" or gzip.decompress(packed) == plain
    with Wire(bridge) as wire:
        for _ in range(2):
            wire.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n")
            head = wire.read(body=False)
            assert head.status == 200 and head.headers["vary"] == "Accept-Encoding"


def test_short_answers_are_not(bridge, http):
    path = f"/api/v1/events/{create(http)}"
    for path in ("/health", path, "/nowhere"):
        _, headers, _ = raw(bridge, path, ("Accept-Encoding", "gzip"))
        assert "content-encoding" not in headers and "vary" not in headers


def test_long_results_of_a_batch(bridge):
    body = json.dumps([{}] * 50)
    answer = httpx.post(f"{bridge.url}{BATCH}", content=body, headers=JSON)
    assert answer.headers["content-encoding"] == "gzip" and len(answer.json()["results"]) == 50


def test_the_connection_is_kept(bridge, page):
    with httpx.Client(base_url=bridge.url, trust_env=False) as client:
        for _ in range(3):
            assert client.get(page).headers["content-encoding"] == "gzip"
            assert client.post("/api/v1/events", json=CREATE).status_code == 201


def test_http_1_0(bridge, page):
    with Wire(bridge) as wire:
        wire.send(f"GET {page} HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
        head, _, body = wire.drain().partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert len(json.loads(gzip.decompress(body))["events"]) == 60


def test_the_largest_page(bridge, http):
    """8 MiB of what compresses well and of what does not, read slowly by one while another is served."""
    noise = [chr(33 + n * n * 7919 % 90) for n in range(120000)]
    for text in ("z" * 250000, "".join(noise).replace('"', "'").replace("\\", "/")):
        for _ in range(16):
            create(http, payload={"text": text})
    path = "/api/v1/inbox?limit=32"
    with Wire(bridge) as slow:
        slow.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n")
        assert len(http.get(path).json()["events"]) == 32
        assert slow.read().headers["content-encoding"] == "gzip"


def test_who_leaves_in_the_middle(bridge, page, http):
    for _ in range(20):
        with Wire(bridge) as wire:
            wire.send(f"GET {page} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n")
    assert http.get("/ready").status_code == 200
