"""The envelope: methods, metadata, deadlines, and messages that are wrong in every way. None is
left without an answer, none is fatal."""

import json
import random
import re

import pytest

from support.one_store import store_name  # noqa: F401
from support.peer import connect
from support.protocol import envelope, events
from support.rpc import EVENT_SERVICE, HEALTH_CHECK, RpcError, decode, encode, fails
from support.typeid import new_event_id

MIB = 1 << 20


def send(rpc, message):
    """Sends bytes; returns the decoded answer, raises RpcError."""
    return decode(envelope.Response.FromString(rpc.raw(message)), events.GetEventResponse)


def create_request(**fields):
    values = {"source": "crm", "event_type": "lead", "payload": b"{}", **fields}
    return events.CreateEventRequest(**values)


@pytest.mark.parametrize(
    "method",
    [
        f"{EVENT_SERVICE}/Nope",
        f"{EVENT_SERVICE}/createevent",
        f"{EVENT_SERVICE}/",
        f"{EVENT_SERVICE}",
        f"/{EVENT_SERVICE}/CreateEvent",
        f"{EVENT_SERVICE}/CreateEvent/",
        "triggers.v2.EventService/CreateEvent",
        "/",
        "EventService/CreateEvent",
        "x" * 10000,
        "日本/語",
    ],
)
def test_unknown_methods_are_unimplemented(rpc, method):
    fails("UNIMPLEMENTED", send, rpc, encode(method, b""))


def test_message_without_method_is_refused(rpc):
    fails("INVALID_ARGUMENT", send, rpc, b"")
    fails("INVALID_ARGUMENT", send, rpc, encode("", b"abc"))


@pytest.mark.parametrize(
    "message",
    [
        b"\xff" * 16,
        b"hello, world",
        b"\x00",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0a\x05abc",
        b"\x0b\x0c",
        encode(HEALTH_CHECK, b"", {"request-id": "x"})[:-1],
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_envelopes_that_do_not_decode_are_invalid(rpc, message):
    fails("INVALID_ARGUMENT", send, rpc, message)


def test_bodies_that_do_not_decode_are_invalid(rpc):
    good = create_request().SerializeToString()
    for body in (b"\xff" * 8, good[:-1], b"\x0a\x7f", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff"):
        fails("INVALID_ARGUMENT", send, rpc, encode(f"{EVENT_SERVICE}/CreateEvent", body))


def test_random_bytes_and_mutations_are_answered(rpc):
    chance = random.Random(20250101)
    wanted = events.EventFilter(sources=["crm", "x*"], from_time={"seconds": 1}, until_time={"seconds": 2})
    requests = [
        create_request(),
        events.ListEventsRequest(after_sequence=7, filter=wanted, page_size=3),
        events.ListKindsRequest(page_size=3, page_token="0" * 34),
        events.EraseEventRequest(event_id=new_event_id()),
    ]
    for number in range(400):
        request = requests[number % len(requests)]
        method = type(request).__name__.removesuffix("Request")
        message = bytearray(encode(f"{EVENT_SERVICE}/{method}", request, {"request-id": "r"}, 1000))
        for _ in range(chance.randrange(1, 6)):
            message[chance.randrange(len(message))] = chance.randrange(256)
        rpc.raw(bytes(message[: chance.randrange(1, len(message) + 1)]))
        rpc.raw(chance.randbytes(chance.randrange(200)))
    assert rpc.serving()


@pytest.mark.parametrize("bad", [b"\xff\xfe", b"a\x00b", b"\xc0\xaf", b"\xed\xa0\x80"])
def test_strings_with_invalid_utf8_or_nul_are_refused(rpc, bad):
    body = b"\x12" + bytes([len(bad)]) + bad + b"\x1a\x01x\x22\x02{}"
    fails("INVALID_ARGUMENT", send, rpc, encode(f"{EVENT_SERVICE}/CreateEvent", body))
    fails("INVALID_ARGUMENT", send, rpc, encode(f"{EVENT_SERVICE}/GetEvent", b"\x0a\x02" + bad[:2]))
    fails("INVALID_ARGUMENT", send, rpc, b"\x0a" + bytes([len(bad)]) + bad)
    name = bytes([len(bad)]) + bad
    names = bytes([len(name) + 1])
    for method, body in (
        ("ListEvents", b"\x12" + names + b"\x0a" + name),
        ("ListEvents", b"\x12" + names + b"\x12" + name),
        ("ListKinds", b"\x12" + name),
        ("EraseEvent", b"\x0a" + name),
    ):
        fails("INVALID_ARGUMENT", send, rpc, encode(f"{EVENT_SERVICE}/{method}", body))


def test_unknown_fields_are_ignored(rpc):
    unknown = b"\xfa\x3e\x03abc" + b"\xa0\x06\x01" + b"\xa5\x06abcd" + b"\xa1\x06abcdefgh"
    body = create_request().SerializeToString() + unknown
    message = encode(f"{EVENT_SERVICE}/CreateEvent", body) + unknown
    response = envelope.Response.FromString(rpc.raw(message))
    assert response.code == envelope.OK


def test_request_id_is_echoed(rpc):
    response = rpc.call(HEALTH_CHECK, b"", metadata={"request-id": "abc-123", "other": "x"})
    assert response.metadata["request-id"] == "abc-123"
    error = fails(
        "UNIMPLEMENTED", send, rpc, encode("x/y", b"", {"request-id": "abc-124"})
    )
    assert error.response.metadata["request-id"] == "abc-124"


def test_request_id_is_made_when_absent(rpc):
    ids = {rpc.call(HEALTH_CHECK, b"").metadata["request-id"] for _ in range(3)}
    assert len(ids) == 3 and all(ids)


def test_trace_and_client_are_logged_at_debug(rpc, core):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    metadata = {"request-id": "logged-1", "traceparent": trace, "client": "pytest/1"}
    rpc.call(f"{EVENT_SERVICE}/CreateEvent", create_request(), metadata=metadata)
    line = json.loads(core.wait_for_line("logged-1"))
    assert line["client"] == "pytest/1"
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert line["parent_id"] == "b7ad6b7169203331"
    assert re.fullmatch("[0-9a-f]{16}", line["span_id"]) and line["span_id"] != line["parent_id"]


@pytest.mark.parametrize("trace", ["00-zz", "", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_a_wrong_traceparent_is_dropped(rpc, core, trace):
    metadata = {"request-id": f"dropped-{len(trace)}", "traceparent": trace}
    assert rpc.call(HEALTH_CHECK, b"", metadata=metadata).code == envelope.OK
    line = json.loads(core.wait_for_line(metadata["request-id"]))
    assert (line["trace_id"], line["span_id"], line["parent_id"]) == ("", "", "")


def test_log_lines_tell_of_every_request(rpc, core):
    message = encode(f"{EVENT_SERVICE}/GetEvent", b"", {"request-id": "told-7"})
    fails("INVALID_ARGUMENT", send, rpc, message)
    core.wait_for_line('"request_id":"told-7"')
    entries = [entry for entry in core.log if entry.get("request_id") == "told-7"]
    merged = {name: value for entry in entries for name, value in entry.items()}
    assert {"time", "level", "program", "message", "method", "code"} <= set(merged)
    assert any("milliseconds" in name or name == "ms" for name in merged)


def test_large_messages_get_an_answer(rpc):
    body = create_request(payload=b"{" + b" " * 9 * MIB + b"}")
    error = fails("INVALID_ARGUMENT", send, rpc, encode(f"{EVENT_SERVICE}/CreateEvent", body))
    assert error.reason == "MESSAGE_TOO_LARGE"


def test_messages_up_to_8_mib_are_read(rpc):
    items = [create_request(payload=b'{"a":"' + b"x" * 250000 + b'"}') for _ in range(33)]
    results = rpc.event("BatchCreateEvents", events=items).results
    assert [result.WhichOneof("outcome") for result in results] == ["created"] * 33


def test_huge_messages_harm_nobody(core, rpc):
    """Over 16 MiB the server may hang up unread. The peer is a bare one, so that the test does not
    depend on how an SP library takes that."""
    peer = connect(core.url)
    try:
        peer.send(encode(f"{EVENT_SERVICE}/CreateEvent", bytes(17 * MIB)))
        reply = envelope.Response.FromString(peer.receive()[1])
        assert reply.code == envelope.INVALID_ARGUMENT
    except (OSError, ConnectionError):
        pass
    peer.die()
    assert rpc.serving()
    assert rpc.create().event_id


def test_many_repeated_fields_do_not_exhaust_the_server(rpc):
    body = b"\x0a\x00" * (3 * MIB)  # three million empty events
    with pytest.raises(RpcError) as caught:
        send(rpc, encode(f"{EVENT_SERVICE}/BatchCreateEvents", body))
    assert caught.value.code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")
    assert rpc.serving()


def test_deadline_passes_while_queued(core):
    """Batches that each take far longer than a millisecond queue up before a hurried create."""
    batch = events.BatchCreateEventsRequest(
        events=[create_request(payload=b'{"a":"' + b"x" * 2000 + b'"}') for _ in range(1000)]
    )
    slow = encode(f"{EVENT_SERVICE}/BatchCreateEvents", batch)
    hurried = encode(f"{EVENT_SERVICE}/CreateEvent", create_request(), timeout_ms=1)
    with core.client() as rpc:
        answers = list(rpc.start([slow] * 10 + [hurried] * 20))
    codes = [envelope.Code.Name(answer.code) for answer in answers]
    assert set(codes) <= {"OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
    late = [answer for answer in answers if answer.code == envelope.DEADLINE_EXCEEDED]
    assert late, codes
    assert all(answer.details.reason for answer in late)
