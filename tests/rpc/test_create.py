"""CreateEvent and GetEvent: what is stored, normalised, limited and refused."""

import time

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from support.protocol import events
from support.rpc import fails
from support.typeid import new_event_id


def seconds(timestamp):
    return timestamp.seconds + timestamp.nanos / 1e9


def test_create_then_get_returns_the_event(rpc):
    before = time.time()
    created = rpc.create("crm", "lead.created", b'{"name":"Ada"}')
    event = rpc.event("GetEvent", event_id=created.event_id).event
    assert event.event_id == created.event_id
    assert (event.source, event.event_type) == ("crm", "lead.created")
    assert event.payload == b'{"name":"Ada"}'
    assert event.status == events.EVENT_STATUS_PENDING
    assert event.created_at == created.created_at
    assert event.sequence == created.sequence >= 1
    assert not event.HasField("acknowledged_at")
    assert before - 2 <= seconds(created.created_at) <= time.time() + 2
    assert created.created_at.nanos % 1000 == 0


def test_id_made_by_the_server_is_a_typeid(rpc):
    event_id = rpc.create().event_id
    assert len(event_id) == 30 and event_id.startswith("evt_")
    assert event_id[4] in "01234567"
    assert rpc.create().event_id != event_id


def test_own_id_is_kept(rpc):
    event_id = new_event_id()
    assert rpc.create(event_id=event_id).event_id == event_id


@pytest.mark.parametrize(
    "sent, stored",
    [
        ("  CRM\t\n", "crm"),
        ("\u00a0\u2003Élan\u3000\u2028", "élan"),
        ("ÅÄÖ ΣΊΣΥΦΟΣ", "åäö σίσυφος"),
        ("İ", "i̇"),
        ("a  B", "a  b"),
        ("\U00010400", "\U00010428"),
        ("日本", "日本"),
    ],
)
def test_names_are_trimmed_and_lower_cased(rpc, sent, stored):
    created = rpc.create(source=sent, event_type=sent)
    event = rpc.event("GetEvent", event_id=created.event_id).event
    assert (event.source, event.event_type) == (stored, stored)


@pytest.mark.parametrize("name", ["x" * 255, "é" * 255, "\U0001f600" * 255, " " + "y" * 255 + " "])
def test_names_of_255_characters_are_accepted(rpc, name):
    created = rpc.create(source=name, event_type=name)
    assert rpc.event("GetEvent", event_id=created.event_id).event.source == name.strip().lower()


@pytest.mark.parametrize("field", ["source", "event_type"])
@pytest.mark.parametrize("value", ["", "   ", "\u2003\u00a0", "x" * 256, "é" * 256, "İ" * 128])
def test_bad_names_are_refused(rpc, field, value):
    error = fails("INVALID_ARGUMENT", rpc.create, **{field: value})
    assert error.fields == [field]
    assert error.details.field_violations[0].description


def test_every_wrong_field_is_named(rpc):
    error = fails("INVALID_ARGUMENT", rpc.create, "", "", b"[]", "evt_x")
    assert sorted(error.fields) == ["event_id", "event_type", "payload", "source"]


@pytest.mark.parametrize(
    "payload",
    [b"", b" ", b"[]", b"1", b'"{}"', b"null", b"{", b"{}{}", b"{'a':1}", b'{"a":01}', b'{"a":1,}']
    + [b'{"a":"\xff"}', b'{"a":"\x01"}', b'\xef\xbb\xbf{}', b'{"a":NaN}', b'{"a":"\\x"}']
    + [b'{"a":' + b"[" * 100000 + b"]" * 100000 + b"}", b'{"a":"\xc0\xaf"}', b'{} \x00'],
)
def test_payloads_that_are_no_json_object_are_refused(rpc, payload):
    error = fails("INVALID_ARGUMENT", rpc.create, payload=payload)
    assert error.fields == ["payload"]


@pytest.mark.parametrize(
    "event_id",
    ["x", "evt_", "evt_01h455vb4pex5vsknk084sn02", "evt_01h455vb4pex5vsknk084sn02qq"]
    + ["evt_81h455vb4pex5vsknk084sn02q", "evt_01H455VB4PEX5VSKNK084SN02Q"]
    + ["evt_0123456789aB", "evt_0123456789a"]
    + ["evn_01h455vb4pex5vsknk084sn02q", "01h455vb4pex5vsknk084sn02q"]
    + ["evt_01h455vb4pex5vsknk084sn0iq", "evt_01h455vb4pex5vsknk084sn02ü"],
)
@pytest.mark.parametrize("method", ["CreateEvent", "GetEvent", "AckEvent"])
def test_bad_ids_are_refused(rpc, method, event_id):
    fields = {"event_id": event_id}
    if method == "CreateEvent":
        fields.update(source="crm", event_type="x", payload=b"{}")
    error = fails("INVALID_ARGUMENT", rpc.event, method, **fields)
    assert error.fields == ["event_id"]


def test_no_create_chooses_an_old_id(rpc):
    """Twelve digits are too few for ids that several callers make; imports alone bring them."""
    error = fails("INVALID_ARGUMENT", rpc.create, "crm", "x", b"{}", "evt_0123456789ab")
    assert (error.reason, error.fields) == ("EVENT_ID_INVALID", ["event_id"])


@pytest.mark.parametrize("method", ["GetEvent", "AckEvent"])
def test_missing_id_is_refused(rpc, method):
    fails("INVALID_ARGUMENT", rpc.event, method)


def test_repeat_with_same_content_answers_with_the_first_result(rpc):
    event_id = new_event_id()
    first = rpc.create("CRM ", "Lead", b'{"a":1}', event_id)
    assert rpc.create("CRM ", "Lead", b'{"a":1}', event_id) == first
    assert rpc.create("crm", " lead", b'{"a":1}', event_id) == first


def test_repeat_after_acknowledgement_answers_with_the_first_result(rpc):
    event_id = new_event_id()
    first = rpc.create(event_id=event_id)
    rpc.event("AckEvent", event_id=event_id)
    assert rpc.create(event_id=event_id) == first
    event = rpc.event("GetEvent", event_id=event_id).event
    assert event.status == events.EVENT_STATUS_ACKNOWLEDGED


@pytest.mark.parametrize(
    "other", [("crm2", "lead", b"{}"), ("crm", "lead2", b"{}"), ("crm", "lead", b"{} ")]
)
def test_repeat_with_other_content_is_refused_and_changes_nothing(rpc, other):
    event_id = new_event_id()
    rpc.create("crm", "lead", b"{}", event_id)
    fails("ALREADY_EXISTS", rpc.create, *other, event_id)
    event = rpc.event("GetEvent", event_id=event_id).event
    assert (event.source, event.event_type, event.payload) == ("crm", "lead", b"{}")


def test_get_of_an_unknown_id_is_not_found(rpc):
    assert fails("NOT_FOUND", rpc.event, "GetEvent", event_id=new_event_id())


def sent(rpc, **fields):
    """The event as it is read back."""
    fields = {"source": "crm", "event_type": "lead.created", "payload": b"{}", **fields}
    created = rpc.event("CreateEvent", **fields)
    return rpc.event("GetEvent", event_id=created.event_id).event


DAY = 86400
MOST = 31 * DAY


def at(offset):
    """A time so many seconds from now, to the second."""
    return Timestamp(seconds=int(time.time()) + offset)


@pytest.mark.parametrize("key", ["a", "Order 7 ", "é" * 127, "x" * 255, "日本"])
def test_an_ordering_key_comes_back_as_it_was_sent(rpc, key):
    event = sent(rpc, ordering_key=key)
    assert event.ordering_key == key
    assert rpc.event("ListInbox", page_size=1).events[0] == event
    assert rpc.event("ListEvents", after_sequence=event.sequence - 1).events[0] == event


def test_without_a_key_or_a_delay_there_is_none(rpc):
    event = sent(rpc, ordering_key="", delay_seconds=0)
    assert event.ordering_key == "" and not event.HasField("deliver_at")


@pytest.mark.parametrize("key", ["x" * 256, "é" * 128])
def test_long_ordering_keys_are_refused(rpc, key):
    error = fails("INVALID_ARGUMENT", sent, rpc, ordering_key=key)
    assert (error.reason, error.fields) == ("ORDERING_KEY_INVALID", ["ordering_key"])
    fails("INVALID_ARGUMENT", sent, rpc, ordering_key="a\0b")


@pytest.mark.parametrize("offset", [60, MOST - 60])
def test_an_event_has_the_time_of_its_delivery(rpc, offset):
    time_of = at(offset)
    event = sent(rpc, deliver_at=time_of)
    assert event.deliver_at == time_of
    assert rpc.event("ListInbox", page_size=1).events[0] == event


def test_the_time_of_delivery_is_not_before_the_one_sent(rpc):
    time_of = at(60)
    time_of.nanos = 1001
    assert sent(rpc, deliver_at=time_of).deliver_at.nanos == 2000


@pytest.mark.parametrize("delay", [1, 90, MOST])
def test_a_delay_counts_from_when_the_event_is_stored(rpc, delay):
    event = sent(rpc, delay_seconds=delay)
    expected = Timestamp(seconds=event.created_at.seconds + delay, nanos=event.created_at.nanos)
    assert event.deliver_at == expected


@pytest.mark.parametrize("offset", [-1, -DAY])
def test_a_time_in_the_past_is_at_once(rpc, offset):
    assert not sent(rpc, deliver_at=at(offset)).HasField("deliver_at")
    assert not sent(rpc, deliver_at=Timestamp()).HasField("deliver_at")


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"delay_seconds": MOST + 1}, "DELAY_INVALID"),
        ({"delay_seconds": 2**32 - 1}, "DELAY_INVALID"),
        ({"deliver_at": at(MOST + 3600)}, "DELIVER_AT_INVALID"),
        ({"deliver_at": Timestamp(seconds=253402300800)}, "DELIVER_AT_INVALID"),
        ({"deliver_at": Timestamp(nanos=-1)}, "DELIVER_AT_INVALID"),
        ({"deliver_at": Timestamp(seconds=2**63 - 1)}, "DELIVER_AT_INVALID"),
    ],
)
def test_wrong_times_are_refused(rpc, fields, reason):
    error = fails("INVALID_ARGUMENT", sent, rpc, **fields)
    assert (error.reason, error.fields) == (reason, list(fields))


@pytest.mark.parametrize("delivery", [{"delay_seconds": 1}, {"deliver_at": at(-1)}])
def test_a_key_and_a_delay_exclude_each_other(rpc, delivery):
    error = fails("INVALID_ARGUMENT", sent, rpc, ordering_key="a", **delivery)
    assert (error.reason, error.fields) == ("ORDERING_KEY_WITH_DELAY", ["ordering_key"])


def test_every_wrong_field_of_the_new_ones_is_named(rpc):
    fields = {"source": "", "event_type": "", "payload": b"", "event_id": "evt_x"}
    error = fails("INVALID_ARGUMENT", sent, rpc, ordering_key="x" * 256, delay_seconds=2**31, **fields)
    assert sorted(error.fields) == sorted([*fields, "ordering_key", "delay_seconds"])


def test_an_ordering_key_is_content_and_a_delay_is_not(rpc):
    event_id = new_event_id()
    first = sent(rpc, event_id=event_id, delay_seconds=60)
    assert sent(rpc, event_id=event_id, delay_seconds=5) == first
    assert sent(rpc, event_id=event_id) == first
    error = fails("ALREADY_EXISTS", sent, rpc, event_id=event_id, ordering_key="a")
    assert error.reason == "EVENT_ID_TAKEN"
    keyed = new_event_id()
    first = sent(rpc, event_id=keyed, ordering_key="a")
    assert sent(rpc, event_id=keyed, ordering_key="a") == first
    for other in ("b", "A", ""):
        fails("ALREADY_EXISTS", sent, rpc, event_id=keyed, ordering_key=other)


def test_a_batch_has_keys_and_delays(rpc):
    event = {"source": "crm", "event_type": "x", "payload": b"{}"}
    events_sent = [
        {**event, "ordering_key": "a"},
        {**event, "delay_seconds": 60},
        {**event, "ordering_key": "a", "delay_seconds": 60},
        {**event, "deliver_at": at(MOST + 3600)},
        event,
    ]
    results = rpc.event(
        "BatchCreateEvents", events=[events.CreateEventRequest(**fields) for fields in events_sent]
    ).results
    ids = [result.created.event_id for result in results]
    read = [rpc.event("GetEvent", event_id=event_id).event for event_id in ids if event_id]
    assert [event.ordering_key for event in read] == ["a", "", ""]
    assert [event.HasField("deliver_at") for event in read] == [False, True, False]
    wrong = [result.error.details for result in results[2:4]]
    fields = [violation.field for details in wrong for violation in details.field_violations]
    assert fields == ["events[2].ordering_key", "events[3].deliver_at"]
