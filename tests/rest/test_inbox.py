"""The inbox: filters, both orders, cursors, and pages that end early."""

import httpx
import pytest

from rest.checks import CREATE, TIME, check_problem, create, create_raw
from support.rpc import OLD_TOKEN


@pytest.fixture
def own(start_core, start_bridge, new_store_url):
    """A client of a bridge whose store is this test's own, empty."""
    bridge = start_bridge(start_core(DATABASE_URL=new_store_url()))
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as http:
        yield http


def inbox(http, **parameters):
    answer = http.get("/api/v1/inbox", params=parameters)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert list(page) == ["events", "total", "next_cursor"]
    assert page["total"] == len(page["events"])
    return page


def ids(page):
    return [event["event_id"] for event in page["events"]]


def walk(http, **parameters):
    """The ids of all pages, page by page."""
    pages = []
    cursor = None
    while True:
        page = inbox(http, **parameters, **({"cursor": cursor} if cursor else {}))
        pages.append(ids(page))
        cursor = page["next_cursor"]
        if cursor is None:
            return pages
        assert isinstance(cursor, str) and cursor


def test_an_empty_inbox_is_these_bytes(own):
    answer = own.get("/api/v1/inbox?status=pending&limit=50")
    assert answer.content == b'{"events":[],"total":0,"next_cursor":null}'


def test_order_filter_and_pages(own):
    created = [create(own, payload={"i": i}) for i in range(60)]
    assert ids(inbox(own)) == created[:9:-1]  # 50, newest first
    assert ids(inbox(own, order="desc", limit=3)) == created[:-4:-1]
    assert ids(inbox(own, order="asc", limit=3)) == created[:3]
    for order, expected in (("desc", created[::-1]), ("asc", created)):
        pages = walk(own, order=order, limit=7)
        assert [len(page) for page in pages] == [7] * 8 + [4]
        assert [event_id for page in pages for event_id in page] == expected
    assert inbox(own, limit=60)["next_cursor"] is None
    assert inbox(own, limit=1000)["total"] == 60

    acknowledged = created[10:20]
    for event_id in acknowledged:
        assert own.delete(f"/api/v1/events/{event_id}").status_code == 200
    assert ids(inbox(own, status="pending", limit=1000, order="asc")) == created[:10] + created[20:]
    page = inbox(own, status="acknowledged", limit=1000, order="asc")
    assert ids(page) == acknowledged
    for event in page["events"]:
        assert event["status"] == "acknowledged" and TIME.fullmatch(event["acknowledged_at"])
    assert [p for page in walk(own, status="acknowledged", limit=4) for p in page] == (
        acknowledged[::-1]
    )


def test_events_are_whole(http):
    event_id = create(http)
    event = inbox(http, limit=1)["events"][0]
    assert event == http.get(f"/api/v1/events/{event_id}").json()
    assert event["source"] == CREATE["source"] and event["acknowledged_at"] is None


def test_events_that_arrive_meanwhile_do_not_disturb_a_walk(own):
    created = [create(own) for _ in range(6)]
    first = inbox(own, limit=3)
    newer = create(own)
    second = inbox(own, limit=3, cursor=first["next_cursor"])
    assert ids(first) + ids(second) == created[::-1]
    first = inbox(own, limit=4, order="asc")
    last = create(own)
    second = inbox(own, limit=100, order="asc", cursor=first["next_cursor"])
    assert ids(first) + ids(second) == created + [newer, last]


def test_pages_end_early_by_size(own):
    created = [create_raw(own, b'{"a":"%s"}' % (b"x" * 250000)) for _ in range(40)]
    pages = walk(own, limit=1000)
    assert [event_id for page in pages for event_id in page] == created[::-1]
    assert len(pages) == 2
    assert len(pages[0]) * 250000 <= 8 << 20 < (len(pages[0]) + 1) * 250010


@pytest.mark.parametrize(
    "query, pointers",
    [
        ("limit=0", ["#/limit"]),
        ("limit=1001", ["#/limit"]),
        ("limit=-1", ["#/limit"]),
        ("limit=", ["#/limit"]),
        ("limit", ["#/limit"]),
        ("limit=ten", ["#/limit"]),
        ("limit=1.0", ["#/limit"]),
        ("limit=99999999999999999999", ["#/limit"]),
        ("limit=5%00", ["#/limit"]),
        ("limit=%zz", ["#/limit"]),
        ("status=done", ["#/status"]),
        ("status=Pending", ["#/status"]),
        ("status=", ["#/status"]),
        ("order=newest", ["#/order"]),
        ("order=ASC", ["#/order"]),
        ("cursor=%00", ["#/cursor"]),
        ("status=x&limit=x&order=x", ["#/status", "#/limit", "#/order"]),
        ("limit=5&limit=0", ["#/limit"]),
    ],
)
def test_wrong_parameters(http, query, pointers):
    check_problem(
        http.get(f"/api/v1/inbox?{query}"), 422, "PARAMETERS_INVALID", pointers=pointers
    )


@pytest.mark.parametrize(
    "query",
    [
        "limit=1&unknown=x&x",
        "limit=0&limit=5",
        "limit=%35",
        "status=pend%69ng",
        "order=asc",
        "cursor=",
        "limit=1000",
        "limit=001",
        "&&limit=1&",
        "",
    ],
)
def test_right_parameters(http, query):
    assert http.get(f"/api/v1/inbox?{query}").status_code == 200


@pytest.mark.parametrize("cursor", ["x", "0" * 52, "é", "a b", "x" * 3000, OLD_TOKEN])
def test_cursors_that_are_none(http, cursor):
    answer = http.get("/api/v1/inbox", params={"cursor": cursor})
    detail = "cursor must be the next_cursor of a page with the same status, order and filter"
    check_problem(answer, 422, "PAGE_TOKEN_INVALID", detail, ["#/cursor"])


def test_cursors_belong_to_their_list(http):
    create(http), create(http)
    cursor = inbox(http, limit=1)["next_cursor"]
    for other in ({"order": "asc"}, {"status": "acknowledged"}):
        answer = http.get("/api/v1/inbox", params={"cursor": cursor, **other})
        check_problem(answer, 422, "PAGE_TOKEN_INVALID", pointers=["#/cursor"])
