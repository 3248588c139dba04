"""Every call of the API through what openapi-python-client makes of its description, the package `made`.
The one argument is the bridge's address."""

import sys
import uuid

from made import AuthenticatedClient
from made.api.events import (
    acknowledge_event,
    acknowledge_events,
    create_event,
    create_events,
    get_event,
    list_events,
    list_inbox,
    list_kinds,
)
from made.api.service import health, metrics, ready, root
from made.models import (
    CreatedEvent,
    EventIds,
    ListInboxOrder,
    ListInboxStatus,
    NewEvent,
    NewEventPayload,
    Problem,
    RefusedItem,
)
from made.types import UNSET


def new_event(amount, source="shop"):
    payload = NewEventPayload.from_dict({"amount": amount, "lines": [{"sku": "a"}]})
    return NewEvent(source=source, event_type="order.paid", payload=payload)


def inbox(client):
    """All pending events, page by page."""
    events, cursor = [], UNSET
    while cursor is not None:
        page = list_inbox.sync(
            client=client,
            status=ListInboxStatus.PENDING,
            order=ListInboxOrder.ASC,
            limit=2,
            cursor=cursor,
        )
        events += page.events
        cursor = page.next_cursor
    return [event.event_id for event in events]


def log(client, after):
    """What the log has after a position, part by part."""
    ids = []
    while (part := list_events.sync(client=client, after=after, limit=2, source=["sh*"])).events:
        ids += [event.event_id for event in part.events]
        after = part.next_after
    assert part.first_sequence == 1
    return ids


def main(address):
    client = AuthenticatedClient(base_url=address, token="of no use where calls need no key")
    before = inbox(client)
    key = f'"{uuid.uuid4()}"'
    created = create_event.sync(client=client, body=new_event(7), idempotency_key=key)
    assert isinstance(created, CreatedEvent) and created.status == "received"
    again = create_event.sync(client=client, body=new_event(7), idempotency_key=key)
    assert again.event_id == created.event_id

    many = create_events.sync(client=client, body=[new_event(8), new_event(9, source=" ")])
    good, bad = many.results
    assert isinstance(bad, RefusedItem) and bad.error.errors[0].pointer == "#/1/source"

    event = get_event.sync(created.event_id, client=client)
    assert event.payload["amount"] == 7 and event.acknowledged_at is None
    assert event.created_at.tzinfo
    assert inbox(client) == [*before, created.event_id, good.event_id]
    assert good.sequence > created.sequence == event.sequence
    assert log(client, created.sequence - 1) == [created.event_id, good.event_id]
    waited = list_events.sync(client=client, after=good.sequence, wait=1)
    assert waited.events == [] and waited.next_after == good.sequence
    assert "shop" in [kind.source for kind in list_kinds.sync(client=client).kinds]

    assert acknowledge_event.sync(created.event_id, client=client).status == "acknowledged"
    ids = EventIds(event_ids=[created.event_id, good.event_id, "none"])
    first, _, none = acknowledge_events.sync(client=client, body=ids).results
    assert first.event_id == created.event_id and none.error.code == "EVENT_ID_INVALID"
    assert inbox(client) == before

    missing = get_event.sync("evt_01h455vb4pex5vsknk084sn02q", client=client)
    assert isinstance(missing, Problem) and missing.code == "EVENT_NOT_FOUND"
    assert health.sync(client=client).status == "healthy"
    assert ready.sync(client=client).store == "ok"
    assert root.sync(client=client).message == "Zapier Triggers API"
    assert "triggers_core_up 1" in metrics.sync(client=client)


main(sys.argv[1])
