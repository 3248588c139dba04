"""Payloads come back as the bytes that were sent, up to the size limit."""

import pytest

from support.rpc import fails

LIMIT = 262144  # the default of TRIGGERS_MAX_PAYLOAD

PAYLOADS = {
    "empty": b"{}",
    "spaces": b' \t\r\n{ "a" : 1 } \n',
    "forty digits": b'{"n":1234567890123456789012345678901234567890}',
    "huge exponent": b'{"n":1e400,"m":-1E-400}',
    "negative zero": b'{"a":-0.0,"b":-0}',
    "trailing zeros": b'{"a":1.5000,"b":10.0e+05}',
    "duplicate keys": b'{"a":1,"a":2,"A":3}',
    "key order": b'{"z":1,"a":2,"m":3}',
    "escapes": rb'{"s":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00"}',
    "nul escape": rb'{"s":"a\u0000b","\u0000":1}',
    "astral": '{"s":"\U0001f600\U0010ffff","日本":"é"}'.encode(),
    "not normalised": "{\"s\":\"e\u0301 \u00e9 \u2028\ufeff\"}".encode(),
    "empty key": b'{"":{"":[]}}',
    "deepest": b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
    "wide": b'{"a":[' + b",".join(b"%d" % i for i in range(20000)) + b"]}",
    "del and slash": b'{"s":"\x7f</script>"}',
}

# What common JSON parsers refuse, which an operator may allow.
UNPORTABLE = {
    "lone surrogates": rb'{"s":"\ud800","t":"\udc00x"}',
    "deeper": b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    "deepest": b'{"a":' + b"[" * 511 + b"]" * 511 + b"}",
}


@pytest.mark.parametrize("name", UNPORTABLE)
def test_payloads_that_common_parsers_cannot_read_are_refused(rpc, name):
    error = fails("INVALID_ARGUMENT", rpc.create, payload=UNPORTABLE[name])
    assert error.reason == "PAYLOAD_INVALID"
    assert error.fields == ["payload"]


def test_an_operator_may_allow_them(start_core, new_store_url):
    core = start_core(DATABASE_URL=new_store_url(), TRIGGERS_PAYLOADS="any")
    with core.client() as rpc:
        for payload in UNPORTABLE.values():
            created = rpc.create(payload=payload)
            assert rpc.event("GetEvent", event_id=created.event_id).event.payload == payload


@pytest.mark.parametrize("name", PAYLOADS)
def test_payload_comes_back_byte_for_byte(rpc, name):
    created = rpc.create(payload=PAYLOADS[name])
    assert rpc.event("GetEvent", event_id=created.event_id).event.payload == PAYLOADS[name]


def test_payloads_come_back_in_lists(rpc):
    ids = {rpc.create(payload=payload).event_id: payload for payload in PAYLOADS.values()}
    page = rpc.event("ListInbox", page_size=len(ids))
    assert {event.event_id: event.payload for event in page.events} == ids


def of_size(size):
    return b'{"a":"' + b"x" * (size - 8) + b'"}'


def test_payload_at_the_limit(rpc):
    created = rpc.create(payload=of_size(LIMIT))
    assert rpc.event("GetEvent", event_id=created.event_id).event.payload == of_size(LIMIT)


def test_payload_over_the_limit_is_refused(rpc):
    error = fails("INVALID_ARGUMENT", rpc.create, payload=of_size(LIMIT + 1))
    assert error.reason == "PAYLOAD_TOO_LARGE"
    assert error.fields == ["payload"]


@pytest.mark.parametrize("limit", [10 << 20, 1 << 20, 100])
def test_payload_limit_is_a_setting(start_core, new_store_url, limit):
    core = start_core(DATABASE_URL=new_store_url(), TRIGGERS_MAX_PAYLOAD=limit)
    with core.client() as rpc:
        created = rpc.create(payload=of_size(limit))
        assert rpc.event("GetEvent", event_id=created.event_id).event.payload == of_size(limit)
        assert len(rpc.event("ListInbox").events) == 1
        error = fails("INVALID_ARGUMENT", rpc.create, payload=of_size(limit + 1))
        assert error.reason == "PAYLOAD_TOO_LARGE"
