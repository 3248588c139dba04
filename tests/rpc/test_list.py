"""ListInbox: order, pages, filters, tokens, and what bad requests get. Each test has a core of its
own, so that the whole inbox is known."""

import pytest

from support.protocol import events
from support.rpc import OLD_TOKEN, fails

NEWEST = events.SORT_ORDER_NEWEST_FIRST
OLDEST = events.SORT_ORDER_OLDEST_FIRST
PENDING = events.EVENT_STATUS_PENDING
ACKNOWLEDGED = events.EVENT_STATUS_ACKNOWLEDGED


@pytest.fixture
def inbox(start_core, new_store_url):
    """A client of a core whose store is empty."""
    core = start_core(DATABASE_URL=new_store_url())
    with core.client() as rpc:
        yield rpc


def fill(rpc, count):
    """Creates events in several commits; returns their ids, in the order of their sequences."""
    keys = []
    while len(keys) < count:
        items = [
            events.CreateEventRequest(source="crm", event_type="lead", payload=b"{}")
            for _ in range(min(7, count - len(keys)))
        ]
        for result in rpc.event("BatchCreateEvents", events=items).results:
            keys.append((result.created.sequence, result.created.event_id))
    return [key[1] for key in sorted(keys)]


def pages(rpc, **fields):
    """Ids of every page until the last."""
    found = []
    token = ""
    while True:
        page = rpc.event("ListInbox", page_token=token, **fields)
        found.append([event.event_id for event in page.events])
        token = page.next_page_token
        if not token:
            return found


def test_empty_inbox(inbox):
    page = inbox.event("ListInbox")
    assert len(page.events) == 0 and page.next_page_token == ""
    assert len(inbox.event("ListInbox", status=ACKNOWLEDGED, order=OLDEST).events) == 0


@pytest.mark.parametrize("size", [1, 4, 19, 20, 21])
@pytest.mark.parametrize("order", [0, NEWEST, OLDEST])
def test_pages_show_every_event_once_in_order(inbox, order, size):
    ids = fill(inbox, 20)
    expected = ids if order == OLDEST else ids[::-1]
    found = pages(inbox, order=order, page_size=size)
    assert sum(found, []) == expected
    assert all(len(page) == size for page in found[:-1])


def test_acknowledged_events_have_a_list_of_their_own(inbox):
    ids = fill(inbox, 20)
    acked = ids[::3]
    inbox.event("BatchAckEvents", event_ids=acked)
    left = [event_id for event_id in ids if event_id not in acked]
    assert sum(pages(inbox, status=ACKNOWLEDGED, order=OLDEST, page_size=3), []) == acked
    assert sum(pages(inbox, status=ACKNOWLEDGED, page_size=3), []) == acked[::-1]
    assert sum(pages(inbox, status=PENDING, order=OLDEST, page_size=3), []) == left
    assert sum(pages(inbox, page_size=5), []) == left[::-1]


def test_listed_events_are_complete(inbox):
    created = inbox.create("crm", "lead", b'{"a":1}')
    [event] = inbox.event("ListInbox").events
    assert event == inbox.event("GetEvent", event_id=created.event_id).event
    acked = inbox.event("AckEvent", event_id=created.event_id)
    [event] = inbox.event("ListInbox", status=ACKNOWLEDGED).events
    assert event.acknowledged_at == acked.acknowledged_at


def test_page_size_default_and_maximum(inbox):
    fill(inbox, 1)
    for _ in range(2):
        items = [
            events.CreateEventRequest(source="crm", event_type="lead", payload=b"{}")
            for _ in range(600)
        ]
        inbox.event("BatchCreateEvents", events=items)
    assert len(inbox.event("ListInbox").events) == 50
    assert len(inbox.event("ListInbox", page_size=0).events) == 50
    for size in (1000, 1001, 2**31 - 1):
        page = inbox.event("ListInbox", page_size=size)
        assert len(page.events) == 1000 and page.next_page_token
    rest = inbox.event("ListInbox", page_size=1000, page_token=page.next_page_token)
    assert len(rest.events) == 201 and not rest.next_page_token


def test_new_and_acknowledged_events_do_not_disturb_the_pages(inbox):
    ids = fill(inbox, 10)
    first = inbox.event("ListInbox", order=OLDEST, page_size=4)
    assert [event.event_id for event in first.events] == ids[:4]
    inbox.event("BatchAckEvents", event_ids=ids[2:6])
    new = inbox.create().event_id
    rest = inbox.event(
        "ListInbox", order=OLDEST, page_size=100, page_token=first.next_page_token
    )
    assert [event.event_id for event in rest.events] == ids[6:] + [new]


def test_a_page_ends_early_by_size(inbox):
    payload = b'{"a":"' + b"x" * 250000 + b'"}'
    ids = [inbox.create(payload=payload).event_id for _ in range(40)]
    found = pages(inbox, page_size=1000, order=OLDEST)
    assert sum(found, []) == ids
    assert len(found) == 2 and 25 <= len(found[0]) <= 34


@pytest.mark.parametrize("size", [-1, -(2**31)])
def test_negative_page_size_is_refused(inbox, size):
    error = fails("INVALID_ARGUMENT", inbox.event, "ListInbox", page_size=size)
    assert error.fields == ["page_size"]


@pytest.mark.parametrize("fields", [{"status": 9}, {"order": 9}, {"status": -1}, {"order": -1}])
def test_unknown_status_and_order_are_refused(inbox, fields):
    error = fails("INVALID_ARGUMENT", inbox.event, "ListInbox", **fields)
    assert error.fields == list(fields)


@pytest.mark.parametrize("token", ["x", "0" * 52, "0" * 34, "é", "A" * 5000, " ", OLD_TOKEN])
def test_bad_page_tokens_are_refused(inbox, token):
    error = fails("INVALID_ARGUMENT", inbox.event, "ListInbox", page_token=token)
    assert error.fields == ["page_token"] and error.reason == "PAGE_TOKEN_INVALID"


def test_page_tokens_of_another_list_are_refused(inbox):
    fill(inbox, 3)
    for fields in ({}, {"filter": {"sources": ["crm"]}}):
        token = inbox.event("ListInbox", page_size=1, **fields).next_page_token
        for other in (
            {"status": ACKNOWLEDGED},
            {"order": OLDEST},
            {"filter": {"sources": ["cr*"]}},
            {"filter": {"event_types": ["crm"]}},
            {"filter": {"sources": ["crm"], "from_time": {"seconds": 1}}},
        ):
            error = fails(
                "INVALID_ARGUMENT",
                inbox.event,
                "ListInbox",
                page_token=token,
                **{**fields, **other},
            )
            assert error.reason == "PAGE_TOKEN_INVALID"
        error = fails("INVALID_ARGUMENT", inbox.event, "ListKinds", page_token=token)
        assert error.reason == "PAGE_TOKEN_INVALID"


def test_page_tokens_of_kinds_are_of_no_other_list(inbox):
    inbox.create("crm", "lead")
    inbox.create("crm", "deal")
    token = inbox.event("ListKinds", page_size=1).next_page_token
    error = fails("INVALID_ARGUMENT", inbox.event, "ListInbox", page_token=token)
    assert error.reason == "PAGE_TOKEN_INVALID"


def test_a_filter_said_in_other_words_is_the_same_list(inbox):
    ids = fill(inbox, 3)
    first = inbox.event("ListInbox", page_size=2, filter={"sources": ["crm"]})
    rest = inbox.event(
        "ListInbox", page_token=first.next_page_token, filter={"sources": [" CRM "]}
    )
    assert [event.event_id for event in rest.events] == [ids[0]]


@pytest.mark.parametrize("order", [NEWEST, OLDEST])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_filtered_pages(inbox, order, size):
    """More events than a block of the log has, some kinds in all of them, one in a few."""
    kinds = [("crm", "lead.new"), ("crm", "lead.won"), ("crm.eu", "deal"), ("erp", "lead.new")]
    items = [
        events.CreateEventRequest(source=source, event_type=name, payload=b"{}")
        for number in range(300)
        for source, name in [("rare", "x")] * (number % 100 == 7) + [kinds[number % 4]]
    ]
    results = inbox.event("BatchCreateEvents", events=items).results
    ids = [result.created.event_id for result in results]
    acked = ids[::5]
    inbox.event("BatchAckEvents", event_ids=acked)
    for status in (PENDING, ACKNOWLEDGED):
        for sources, names in (
            (["crm"], []),
            (["crm*"], []),
            (["crm", "rare"], []),
            ([], ["lead.*"]),
            (["erp", "crm.*"], ["lead.new", "deal"]),
            (["*"], ["x"]),
            (["rare"], ["*"]),
            (["nobody"], []),
            (["crm"], ["deal"]),
        ):
            expected = [
                event_id
                for item, event_id in zip(items, ids)
                if fits(item.source, sources)
                and fits(item.event_type, names)
                and (event_id in acked) == (status == ACKNOWLEDGED)
            ]
            if size == 1 and len(expected) > 20:
                continue  # the same with more calls
            found = pages(
                inbox,
                status=status,
                order=order,
                page_size=size,
                filter={"sources": sources, "event_types": names},
            )
            assert sum(found, []) == (expected if order == OLDEST else expected[::-1])


def fits(name, patterns):
    return not patterns or any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )


def test_filters_by_time(inbox):
    ids = [inbox.create().event_id for _ in range(4)]
    times = [event.created_at for event in inbox.event("ListInbox", order=OLDEST).events]
    for fields, expected in (
        ({"from_time": times[1]}, ids[1:]),
        ({"until_time": times[1]}, ids[:1]),
        ({"from_time": times[1], "until_time": times[3]}, ids[1:3]),
        ({"from_time": later(times[1], 1), "until_time": later(times[2], 1)}, ids[2:3]),
        ({"until_time": {"seconds": 0}}, []),
        ({"from_time": {"seconds": -62135596800}}, ids),
        ({"until_time": {"seconds": 253402300799, "nanos": 999999999}}, ids),
        ({"from_time": later(times[3], 1)}, []),
    ):
        assert sum(pages(inbox, order=OLDEST, page_size=3, filter=fields), []) == expected


def later(time, nanos):
    return {"seconds": time.seconds, "nanos": time.nanos + nanos}
