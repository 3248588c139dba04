"""Payloads come back byte for byte: from get, from the inbox, from a batch."""

import json
import re

import httpx
import pytest

from rest.checks import check_problem, create_raw, payload_bytes

LIMIT = 262144  # the default of TRIGGERS_MAX_PAYLOAD

PAYLOADS = {
    "empty": b"{}",
    "blanks inside": b'{ \t"a" :\r\n 1 , "b":[ ] }',
    "forty digits": b'{"n":1234567890123456789012345678901234567890}',
    "huge exponents": b'{"n":1e400,"m":-1E-400,"o":1e+0007}',
    "negative zero": b'{"a":-0.0,"b":-0,"c":0.10}',
    "duplicate keys": b'{"a":1,"a":2,"\\u0061":3}',
    "key order": b'{"z":1,"a":2,"m":3}',
    "every escape": rb'{"s":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\u007F"}',
    "nul escape": rb'{"s":"a\u0000b","\u0000":1}',
    "astral": '{"s":"\U0001f600\U0010ffff","日本":"é"}'.encode(),
    "noncharacters": "{\"s\":\"\ufeff\ufffe\u2028\u2029e\u0301\"}".encode(),
    "empty key": b'{"":{"":[]}}',
    "deepest": b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
    "wide": b'{"a":[' + b",".join(b"%d" % i for i in range(20000)) + b"]}",
    "braces in strings": b'{"s":"}]{[,\\",\\"status\\":\\"","t":",\\"status\\":\\"pending"}',
}

# What common JSON parsers refuse, which an operator may allow.
UNPORTABLE = {
    "lone surrogates": rb'{"s":"\ud800","t":"\udc00x"}',
    "lone surrogate in a name": rb'{"a":{"\udfff":1}}',
    "deeper": b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    "deepest": b'{"a":' + b"[" * 509 + b"]" * 509 + b"}",
}


@pytest.mark.parametrize("name", UNPORTABLE)
def test_payloads_that_common_parsers_cannot_read_are_refused(http, name):
    body = b'{"source":"crm","event_type":"raw","payload":' + UNPORTABLE[name] + b"}"
    problem = check_problem(
        http.post("/api/v1/events", content=body), 422, "PAYLOAD_INVALID", None, ["#/payload"]
    )
    assert re.search("half of a surrogate pair at byte|nested over 64 deep", problem["detail"])


@pytest.fixture
def lenient_core(start_core, new_store_url):
    return start_core(DATABASE_URL=new_store_url(), TRIGGERS_PAYLOADS="any")


def test_an_operator_may_allow_them(lenient_core, start_bridge):
    bridge = start_bridge(lenient_core, TRIGGERS_PAYLOADS="any")
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as http:
        for payload in UNPORTABLE.values():
            event_id = create_raw(http, payload)
            assert payload_bytes(http.get(f"/api/v1/events/{event_id}").content) == payload
        page = http.get("/api/v1/inbox").content
        for payload in UNPORTABLE.values():
            assert b'"payload":' + payload + b',"status":"pending"' in page


def test_stored_ones_leave_their_page_readable_and_are_read_one_at_a_time(
    lenient_core, start_bridge
):
    bridge = start_bridge(lenient_core)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as http:
        good = create_raw(http, b'{"a":1}')
        for payload in UNPORTABLE.values():
            event_id = create_raw(http, payload)
            first = http.get("/api/v1/inbox", params={"limit": 1}).json()["events"][0]
            assert first["event_id"] == event_id
            assert first["payload"] is None and first["payload_omitted"] is True
            assert payload_bytes(http.get(f"/api/v1/events/{event_id}").content) == payload
        last = http.get("/api/v1/inbox", params={"order": "asc"}).json()["events"][0]
        assert last["event_id"] == good and last["payload"] == {"a": 1}
        assert "payload_omitted" not in last


@pytest.mark.parametrize("name", PAYLOADS)
def test_get_returns_the_bytes(http, name):
    event_id = create_raw(http, PAYLOADS[name])
    assert payload_bytes(http.get(f"/api/v1/events/{event_id}").content) == PAYLOADS[name]


def test_blanks_around_the_payload_are_not_part_of_it(http):
    event_id = create_raw(http, b' \n{ "a":1 }\t ')
    assert payload_bytes(http.get(f"/api/v1/events/{event_id}").content) == b'{ "a":1 }'


def test_the_inbox_returns_the_bytes(http):
    for payload in PAYLOADS.values():
        create_raw(http, payload)
    page = http.get("/api/v1/inbox", params={"limit": len(PAYLOADS)}).content
    for payload in PAYLOADS.values():
        assert b'"payload":' + payload + b',"status":"pending"' in page


def test_a_batch_keeps_the_bytes(http):
    body = b"[%s]" % b",".join(
        b'{"source":"crm","event_type":"raw","payload":%s}' % payload
        for payload in PAYLOADS.values()
    )
    answer = http.post(
        "/api/v1/events/batch", content=body, headers={"Content-Type": "application/json"}
    )
    results = answer.json()["results"]
    for payload, result in zip(PAYLOADS.values(), results, strict=True):
        event = http.get(f"/api/v1/events/{result['event_id']}").content
        assert payload_bytes(event) == payload


def of_size(size):
    return b'{"a":"' + b"x" * (size - 8) + b'"}'


def test_payload_at_the_limit(http):
    event_id = create_raw(http, of_size(LIMIT))
    assert payload_bytes(http.get(f"/api/v1/events/{event_id}").content) == of_size(LIMIT)


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + 60000])
def test_payload_over_the_limit(http, size):
    body = b'{"source":"crm","event_type":"raw","payload":' + of_size(size) + b"}"
    answer = http.post("/api/v1/events", content=body)
    check_problem(answer, 413, "PAYLOAD_TOO_LARGE", None, ["#/payload"])


def test_largest_payload_that_can_be_configured(start_core, start_bridge, new_store_url):
    """Three of them, each on a page of its own, as pages end at 8 MiB."""
    most = 10 << 20
    core = start_core(DATABASE_URL=new_store_url(), TRIGGERS_MAX_PAYLOAD=most)
    bridge = start_bridge(core, TRIGGERS_MAX_PAYLOAD=most, TRIGGERS_BRIDGE_MEMORY=128 << 20)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=60.0) as http:
        ids = [create_raw(http, of_size(most)) for _ in range(3)]
        for event_id in ids:
            assert payload_bytes(http.get(f"/api/v1/events/{event_id}").content) == of_size(most)
        cursor = ""
        for event_id in ids:
            page = http.get(f"/api/v1/inbox?order=asc{cursor}").json()
            assert [event["event_id"] for event in page["events"]] == [event_id]
            cursor = f"&cursor={page['next_cursor']}"
        assert page["next_cursor"] is None
        body = b'{"source":"crm","event_type":"raw","payload":' + of_size(most + 1) + b"}"
        check_problem(http.post("/api/v1/events", content=body), 413, "PAYLOAD_TOO_LARGE")


def test_a_byte_order_mark_before_a_body_is_dropped(http):
    body = b'{"source":"crm","event_type":"raw","payload":{"a":"\xef\xbb\xbf"}}'
    for mark, status in [(b"\xef\xbb\xbf", 201), (b"\xef\xbb\xbf" * 2, 400), (b"\xef\xbb", 400)]:
        answer = http.post("/api/v1/events", content=mark + body)
        assert answer.status_code == status
        if status == 201:
            event = http.get(answer.headers["location"]).content
            assert payload_bytes(event) == b'{"a":"\xef\xbb\xbf"}'
