"""BatchCreateEvents and BatchAckEvents: a result per item, in order, each by itself."""

import pytest

from support.protocol import events
from support.rpc import check_item_error, fails
from support.typeid import new_event_id


def item(**fields):
    values = {"source": "crm", "event_type": "lead", "payload": b"{}", **fields}
    return events.CreateEventRequest(**values)


def create(rpc, items):
    return rpc.event("BatchCreateEvents", events=items).results


def test_results_are_in_the_order_sent(rpc):
    ids = [new_event_id() for _ in range(1000)]
    results = create(rpc, [item(event_id=i, payload=b'{"i":"%s"}' % i.encode()) for i in ids])
    assert [result.created.event_id for result in results] == ids
    first = results[0].created.sequence
    assert [result.created.sequence for result in results] == list(range(first, first + 1000))
    event = rpc.event("GetEvent", event_id=ids[617]).event
    assert event.payload == b'{"i":"%s"}' % ids[617].encode()


def test_ids_are_made_where_none_is_given(rpc):
    results = create(rpc, [item(), item(), item()])
    assert len({result.created.event_id for result in results}) == 3


def test_good_and_bad_items_fare_by_themselves(rpc):
    taken = new_event_id()
    rpc.create("crm", "lead", b'{"first":1}', taken)
    items = [
        item(payload=b'{"good":1}'),
        item(source=" "),
        item(event_id=taken),
        item(payload=b"[]"),
        item(event_id="nonsense"),
        item(event_id=taken, payload=b'{"first":1}'),
        item(payload=b'{"good":2}'),
    ]
    results = create(rpc, items)
    outcomes = [result.WhichOneof("outcome") for result in results]
    assert outcomes == ["created", "error", "error", "error", "error", "created", "created"]
    check_item_error(results[1].error, "INVALID_ARGUMENT")
    assert results[1].error.details.field_violations[0].field == "events[1].source"
    check_item_error(results[2].error, "ALREADY_EXISTS")
    check_item_error(results[3].error, "INVALID_ARGUMENT")
    assert results[3].error.details.field_violations[0].field == "events[3].payload"
    check_item_error(results[4].error, "INVALID_ARGUMENT")
    assert results[5].created.event_id == taken
    stored = rpc.event("GetEvent", event_id=results[6].created.event_id).event
    assert stored.payload == b'{"good":2}'


def test_only_bad_items(rpc):
    results = create(rpc, [item(source=""), item(payload=b"")])
    assert [result.WhichOneof("outcome") for result in results] == ["error", "error"]


def test_an_id_twice_in_one_batch(rpc):
    event_id = new_event_id()
    results = create(
        rpc,
        [
            item(event_id=event_id, payload=b'{"a":1}'),
            item(event_id=event_id, payload=b'{"a":1}'),
            item(event_id=event_id, payload=b'{"a":2}'),
        ],
    )
    assert results[0].created == results[1].created
    check_item_error(results[2].error, "ALREADY_EXISTS")
    assert rpc.event("GetEvent", event_id=event_id).event.payload == b'{"a":1}'


@pytest.mark.parametrize("count", [0, 1001])
def test_batches_of_a_wrong_size_are_refused_whole(rpc, count):
    fails("INVALID_ARGUMENT", create, rpc, [item()] * count)
    ids = [new_event_id() for _ in range(count)]
    fails("INVALID_ARGUMENT", rpc.event, "BatchAckEvents", event_ids=ids)


def test_batch_ack(rpc):
    ids = [result.created.event_id for result in create(rpc, [item() for _ in range(3)])]
    before = rpc.event("AckEvent", event_id=ids[1])
    asked = [ids[0], new_event_id(), "nonsense", ids[1], ids[2], ids[0]]
    results = rpc.event("BatchAckEvents", event_ids=asked).results
    assert len(results) == 6
    assert [results[i].acknowledged.event_id for i in (0, 3, 4, 5)] == [
        ids[0],
        ids[1],
        ids[2],
        ids[0],
    ]
    check_item_error(results[1].error, "NOT_FOUND")
    check_item_error(results[2].error, "INVALID_ARGUMENT")
    assert results[2].error.details.field_violations[0].field == "event_ids[2]"
    assert results[3].acknowledged == before
    assert results[5].acknowledged == results[0].acknowledged
    for event_id in ids:
        event = rpc.event("GetEvent", event_id=event_id).event
        assert event.status == events.EVENT_STATUS_ACKNOWLEDGED


def test_batch_ack_of_a_thousand(rpc):
    ids = [result.created.event_id for result in create(rpc, [item() for _ in range(1000)])]
    results = rpc.event("BatchAckEvents", event_ids=ids).results
    assert [result.acknowledged.event_id for result in results] == ids
