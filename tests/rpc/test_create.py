"""CreateEvent and GetEvent: what is stored, normalised, limited and refused."""

import time

import pytest

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
