"""Strings that would be SQL if a statement were built by pasting, in every field, on both stores: they
are data, and come back as they went in."""

import json

import pytest

from support.protocol import events
from support.rpc import fails
from support.typeid import new_event_id

STRINGS = [
    "'",
    "''",
    '"',
    "'; drop table events; --",
    "'); delete from triggers.events; --",
    "\" or \"1\"=\"1",
    "' or 1=1 --",
    "\\'; select pg_sleep(10); --",
    "$1",
    "?1",
    ":name",
    "@name",
    "$$; drop schema triggers cascade; $$",
    "{1,2}",
    '{"a","b"}',
    "(,,)",
    "null",
    "default",
    "%s%n%d",
    "%27 union select 1 --",
    "/* comment",
    "`x`",
    "e'\\x27'",
    "u&'\\0027'",
    "x'00'",
    "\u02bc; \uff07 or 1=1",  # letters that some encodings turn into quotes
    "a\nb\r\nc\td",
    "\x01\x1f\x7f",
    "infinity",
    "\\x00",
    "\\N",
    "\u202e\U0010ffff",
]


@pytest.mark.parametrize("text", STRINGS)
def test_in_a_new_event(rpc, text):
    payload = json.dumps({text: text, "list": [text]}).encode()
    created = rpc.create(source=text, event_type=text, payload=payload)
    event = rpc.event("GetEvent", event_id=created.event_id).event
    assert event.source == event.event_type == text.strip().lower()
    assert event.payload == payload
    listed = rpc.event("ListInbox", page_size=1).events[0]
    assert listed == event
    rpc.event("AckEvent", event_id=created.event_id)
    rpc.event("EraseEvent", event_id=created.event_id)
    event = rpc.event("GetEvent", event_id=created.event_id).event
    assert event.source == event.event_type == text.strip().lower() and event.payload_erased


def test_in_one_batch(rpc):
    payloads = [json.dumps({"s": text}).encode() for text in STRINGS]
    items = [
        events.CreateEventRequest(source=text, event_type=text, payload=payload)
        for text, payload in zip(STRINGS, payloads)
    ]
    results = rpc.event("BatchCreateEvents", events=items).results
    for item, result in zip(items, results, strict=True):
        event = rpc.event("GetEvent", event_id=result.created.event_id).event
        assert event.source == item.source.strip().lower()
        assert event.payload == item.payload


@pytest.mark.parametrize("text", STRINGS)
def test_repeats_are_told_from_other_content(rpc, text):
    """The comparison with what is stored is a statement too."""
    event_id = new_event_id()
    first = rpc.create(source=text, event_type="x", payload=b"{}", event_id=event_id)
    assert rpc.create(source=text, event_type="x", payload=b"{}", event_id=event_id) == first
    fails("ALREADY_EXISTS", rpc.create, text + "'", "x", b"{}", event_id)


@pytest.mark.parametrize("text", STRINGS)
def test_where_an_id_or_token_belongs(rpc, text):
    for method in ("GetEvent", "AckEvent", "EraseEvent"):
        fails("INVALID_ARGUMENT", rpc.event, method, event_id=text)
    for method in ("ListInbox", "ListKinds"):
        fails("INVALID_ARGUMENT", rpc.event, method, page_token=text)
    fails("INVALID_ARGUMENT", rpc.create, event_id=text)
    [result] = rpc.event("BatchAckEvents", event_ids=[text]).results
    assert result.error.details.reason == "EVENT_ID_INVALID"


@pytest.mark.parametrize("text", STRINGS)
def test_in_a_filter(rpc, text):
    """It fits what has this very name, and is no pattern of the database's either."""
    created = rpc.create(source=text, event_type=text)
    rpc.create(source=text + "x", event_type="x" + text)
    if text == "/* comment":
        error = fails("INVALID_ARGUMENT", rpc.event, "ListInbox", filter={"sources": [text]})
        assert error.fields == ["filter.sources[0]"]
        return
    wanted = {"sources": [text], "event_types": [text]}
    for method in ("ListInbox", "ListEvents"):
        found = rpc.event(method, filter=wanted, page_size=1000).events
        assert created.event_id in [event.event_id for event in found]
        assert {event.source for event in found} == {text.strip().lower()}
    start = {"sources": [text + "*"]}
    found = rpc.event("ListEvents", filter=start, page_size=1000).events
    assert created.sequence in [event.sequence for event in found]
    assert all(event.source.startswith(text.strip().lower()) for event in found)
    kinds = every_kind(rpc)
    assert kinds.count((text.strip().lower(), text.strip().lower())) == 1


def every_kind(rpc):
    kinds = []
    token = ""
    while True:
        page = rpc.event("ListKinds", page_size=1000, page_token=token)
        kinds += [(kind.source, kind.event_type) for kind in page.kinds]
        token = page.next_page_token
        if not token:
            return kinds


@pytest.mark.parametrize("position", [0, 1, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("order", [events.SORT_ORDER_NEWEST_FIRST, events.SORT_ORDER_OLDEST_FIRST])
def test_page_tokens_with_any_position(rpc, position, order):
    """A forged token is a position like any other: no error of the database shows through."""
    for _ in range(2):
        rpc.create(event_type=f"position.{position}")
    for method, fields in (("ListInbox", {"order": order}), ("ListKinds", {})):
        token = rpc.event(method, page_size=1, **fields).next_page_token
        forged = token[:-16] + position.to_bytes(8, "big").hex()
        if 1 <= position < 2**63:
            rpc.event(method, page_token=forged, page_size=5, **fields)
        else:
            fails("INVALID_ARGUMENT", rpc.event, method, page_token=forged, **fields)
    assert rpc.serving()
