"""EraseEvent: the payload is gone for good, everything else stays, in every answer that has the event."""

import pytest

from support.metrics import Metrics
from support.protocol import events, stats
from support.rpc import GET_STATS, decode, fails
from support.typeid import new_event_id


def metrics(rpc):
    answer = decode(rpc.call(GET_STATS, stats.GetStatsRequest()), stats.GetStatsResponse)
    return Metrics(answer.text)


def get(rpc, event_id):
    return rpc.event("GetEvent", event_id=event_id).event


def test_the_payload_is_gone_and_the_rest_stays(rpc):
    created = rpc.create(payload=b'{"name":"Ada"}')
    before = get(rpc, created.event_id)
    assert before.payload == b'{"name":"Ada"}' and not before.payload_erased
    erased = rpc.event("EraseEvent", event_id=created.event_id)
    assert (erased.event_id, erased.sequence) == (created.event_id, created.sequence)
    after = get(rpc, created.event_id)
    assert after.payload == b"" and after.payload_erased
    before.payload, before.payload_erased = b"", True
    assert after == before
    assert rpc.event("EraseEvent", event_id=created.event_id) == erased
    inbox = rpc.event("ListInbox").events
    assert inbox[0] == after
    log = rpc.event("ListEvents", after_sequence=created.sequence - 1).events
    assert list(log) == [after]


def test_a_pending_one_can_be_acknowledged_and_stays_erased(rpc):
    event_id = rpc.create().event_id
    rpc.event("EraseEvent", event_id=event_id)
    rpc.event("AckEvent", event_id=event_id)
    event = get(rpc, event_id)
    assert event.status == events.EVENT_STATUS_ACKNOWLEDGED and event.payload_erased
    acked = rpc.create().event_id
    rpc.event("AckEvent", event_id=acked)
    rpc.event("EraseEvent", event_id=acked)
    assert get(rpc, acked).payload_erased


def test_a_create_is_repeated_whatever_its_payload(rpc):
    event_id = new_event_id()
    first = rpc.create(event_id=event_id)
    rpc.event("EraseEvent", event_id=event_id)
    assert rpc.create(event_id=event_id) == first
    assert rpc.create(event_id=event_id, payload=b'{"other":1}') == first
    assert get(rpc, event_id).payload_erased
    fails("ALREADY_EXISTS", rpc.create, event_id=event_id, source="somebody")


@pytest.mark.parametrize("event_id", ["", "evt_", "evt_" + "z" * 26, "x" * 1000, "evt_\x00"])
def test_wrong_ids(rpc, event_id):
    error = fails("INVALID_ARGUMENT", rpc.event, "EraseEvent", event_id=event_id)
    assert list(error.fields) == ["event_id"]


def test_an_event_that_is_not_there(rpc):
    error = fails("NOT_FOUND", rpc.event, "EraseEvent", event_id=new_event_id())
    assert error.reason == "EVENT_NOT_FOUND"


def test_erasures_are_counted(rpc):
    def count():
        return metrics(rpc).value("triggers_core_payloads_erased_total")

    event_id = rpc.create().event_id
    before = count()
    for _ in range(3):
        rpc.event("EraseEvent", event_id=event_id)
    assert count() == before + 1
