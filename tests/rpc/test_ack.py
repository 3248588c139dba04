"""AckEvent: the first acknowledgement counts, the event stays readable."""

import time

from support.protocol import events
from support.rpc import fails
from support.typeid import new_event_id


def listed(rpc, status):
    page = rpc.event("ListInbox", status=status, page_size=1000)
    return [event.event_id for event in page.events]


def test_ack_moves_the_event_out_of_the_inbox(rpc):
    event_id = rpc.create(payload=b'{"k":1}').event_id
    acked = rpc.event("AckEvent", event_id=event_id)
    assert acked.event_id == event_id
    assert abs(acked.acknowledged_at.seconds - time.time()) < 5
    event = rpc.event("GetEvent", event_id=event_id).event
    assert event.status == events.EVENT_STATUS_ACKNOWLEDGED
    assert event.acknowledged_at == acked.acknowledged_at
    assert event.payload == b'{"k":1}'
    assert event_id not in listed(rpc, events.EVENT_STATUS_PENDING)
    assert event_id in listed(rpc, events.EVENT_STATUS_ACKNOWLEDGED)


def test_ack_again_answers_with_the_first_time(rpc):
    event_id = rpc.create().event_id
    first = rpc.event("AckEvent", event_id=event_id)
    assert rpc.event("AckEvent", event_id=event_id) == first


def test_ack_of_an_unknown_id_is_not_found(rpc):
    fails("NOT_FOUND", rpc.event, "AckEvent", event_id=new_event_id())
