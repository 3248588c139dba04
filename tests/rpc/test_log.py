"""ListEvents and ListKinds: the log in the order of its sequences, positions, filters, and what bad
requests get. Where the whole log must be known, a test has a core of its own."""

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.protocol import events
from support.rpc import OLD_TOKEN, fails
from support.typeid import new_event_id

MAX = 2**63 - 1


@pytest.fixture
def log(start_core, new_store_url):
    """A client of a core whose store is empty."""
    core = start_core(DATABASE_URL=new_store_url())
    with core.client() as rpc:
        yield rpc


def fill(rpc, count, kind=lambda number: ("crm", "lead")):
    """Creates events, the first of kind(0) and so on, in several commits; returns their ids."""
    ids = []
    while len(ids) < count:
        kinds = [kind(number) for number in range(len(ids), min(len(ids) + 97, count))]
        items = [
            events.CreateEventRequest(source=source, event_type=name, payload=b"{}")
            for source, name in kinds
        ]
        results = rpc.event("BatchCreateEvents", events=items).results
        ids += [result.created.event_id for result in results]
    return ids


def read(rpc, after=0, **fields):
    """The events of every page until an empty one, and the position then."""
    found = []
    while True:
        page = rpc.event("ListEvents", after_sequence=after, **fields)
        assert page.next_after >= after and page.first_sequence == 1
        found += page.events
        if not page.events and page.next_after == after:
            return found, after
        after = page.next_after


def ids_of(found):
    return [event.event_id for event in found]


def test_an_empty_log(log):
    page = log.event("ListEvents")
    assert (list(page.events), page.next_after, page.first_sequence) == ([], 0, 1)
    assert list(log.event("ListKinds").kinds) == []


def test_sequences_begin_at_1_and_have_no_gap(log):
    assert [log.create().sequence for _ in range(3)] == [1, 2, 3]
    event_id = new_event_id()
    first = log.create(event_id=event_id)
    assert first.sequence == 4
    fails("ALREADY_EXISTS", log.create, event_id=event_id, payload=b'{"other":1}')
    fails("INVALID_ARGUMENT", log.create, source="")
    assert log.create(event_id=event_id).sequence == 4
    assert log.create().sequence == 5


def test_a_batch_has_its_order_and_repeats_have_the_first_sequence(log):
    known, new = new_event_id(), new_event_id()
    log.create(event_id=known)
    items = [
        events.CreateEventRequest(event_id=i, source=s, event_type="lead.created", payload=b"{}")
        for i, s in ((new, "crm"), (known, "crm"), ("", "crm"), (new, "crm"), ("", ""), ("", "crm"))
    ]
    results = log.event("BatchCreateEvents", events=items).results
    assert [result.created.sequence for result in results] == [2, 1, 3, 2, 0, 4]
    assert results[4].WhichOneof("outcome") == "error"


@pytest.mark.parametrize("size", [1, 7, 255, 256, 257, 1000])
def test_pages_show_every_event_once_in_order(log, size):
    count = 20 if size == 1 else 600
    ids = fill(log, count)
    found, end = read(log, page_size=size)
    assert ids_of(found) == ids and end == count
    assert [event.sequence for event in found] == list(range(1, count + 1))


def test_it_goes_on_after_the_end(log):
    ids = fill(log, 3)
    found, end = read(log)
    assert (ids_of(found), end) == (ids, 3)
    new = log.create()
    page = log.event("ListEvents", after_sequence=end)
    assert (ids_of(page.events), page.next_after) == ([new.event_id], 4)


def test_acknowledged_events_stay_in_their_place(log):
    ids = fill(log, 300)
    acked = log.event("BatchAckEvents", event_ids=ids[::2]).results[0].acknowledged
    found, _ = read(log, page_size=100)
    assert ids_of(found) == ids
    assert found[0].acknowledged_at == acked.acknowledged_at
    assert [event.status for event in found[:2]] == [
        events.EVENT_STATUS_ACKNOWLEDGED,
        events.EVENT_STATUS_PENDING,
    ]
    for event in found[:2]:
        assert event == log.event("GetEvent", event_id=event.event_id).event


def test_the_inbox_has_the_same_sequences(log):
    fill(log, 5)
    newest = log.event("ListInbox").events
    assert [event.sequence for event in newest] == [5, 4, 3, 2, 1]
    assert list(newest)[::-1] == list(log.event("ListEvents").events)


@pytest.mark.parametrize("after", [600, 601, 2**32, 2**40, 2**40 + 1, 2**62, MAX - 1, MAX])
def test_after_the_end_there_is_nothing(log, after):
    fill(log, 600)
    for fields in ({}, {"filter": {"sources": ["crm"]}}, {"filter": {"sources": ["nobody"]}}):
        page = log.event("ListEvents", after_sequence=after, **fields)
        assert (len(page.events), page.next_after, page.first_sequence) == (0, after, 1)


def test_page_size_default_and_maximum(log):
    fill(log, 1100)
    assert len(log.event("ListEvents").events) == 50
    for size in (1000, 1001, 2**31 - 1):
        page = log.event("ListEvents", page_size=size)
        assert (len(page.events), page.next_after) == (1000, 1000)


def test_a_page_ends_early_by_size(log):
    payload = b'{"a":"' + b"x" * 250000 + b'"}'
    ids = [log.create(payload=payload).event_id for _ in range(40)]
    page = log.event("ListEvents", page_size=1000)
    assert 25 <= len(page.events) <= 34 and page.next_after == len(page.events)
    assert ids_of(read(log, page_size=1000)[0]) == ids


def test_filters(log):
    kinds = [("crm", "lead.new"), ("crm", "lead.won"), ("crm.eu", "deal"), ("erp", "lead.new")]
    ids = fill(log, 700, lambda n: ("rare", "x") if n in (3, 300, 699) else kinds[n % 4])
    everything, _ = read(log, page_size=1000)
    assert ids_of(everything) == ids
    for sources, names in (
        (["crm"], []),
        (["CRM*"], []),
        ([], ["lead.*"]),
        (["erp", "crm.*"], ["lead.new", "deal"]),
        (["*"], ["x"]),
        (["rare"], []),
        (["nobody"], []),
        (["crm"], ["deal"]),
    ):
        expected = [
            event.sequence
            for event in everything
            if fits(event.source, sources) and fits(event.event_type, names)
        ]
        for size in (40, 1000):
            fields = {"filter": {"sources": sources, "event_types": names}, "page_size": size}
            found, end = read(log, **fields)
            assert [event.sequence for event in found] == expected
            assert end == 700  # also where nothing fits: who goes on is not held up
            found, _ = read(log, after=300, **fields)
            assert [event.sequence for event in found] == [s for s in expected if s > 300]


def fits(name, patterns):
    return not patterns or any(
        name.startswith(pattern[:-1].lower()) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )


def test_filters_by_time(log):
    fill(log, 600)
    everything, _ = read(log, page_size=1000)
    start, end = everything[100].created_at, everything[400].created_at
    for fields, expected in (
        ({"from_time": start}, everything[100:]),
        ({"until_time": end}, everything[:400]),
        ({"from_time": start, "until_time": end}, everything[100:400]),
    ):
        found, _ = read(log, page_size=130, filter=fields)
        assert found == expected


def test_kinds_are_listed_in_the_order_in_which_they_came(log):
    kinds = [("crm", "lead"), ("erp", "lead"), ("crm", "deal"), ("crmlead", ""), ("é", "x")]
    kinds = [(source, name or "x") for source, name in kinds]
    for source, name in kinds + kinds:
        log.create(source, name)
    for size in (1, 2, 5, 1000):
        assert all_kinds(log, size) == kinds
    log.create("CRM ", " Lead")  # not a new one
    log.create("new", "new")
    assert all_kinds(log, 3) == [*kinds, ("new", "new")]


def all_kinds(rpc, size):
    kinds = []
    token = ""
    while True:
        page = rpc.event("ListKinds", page_size=size, page_token=token)
        assert len(page.kinds) <= size
        kinds += [(kind.source, kind.event_type) for kind in page.kinds]
        token = page.next_page_token
        if not token:
            return kinds


def test_a_reader_beside_many_writers_misses_nothing(log):
    """The reader continues from its position while eight threads create: what it has read is the
    log without a gap."""
    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(lambda: [log.create().sequence for _ in range(40)]) for _ in range(8)]
        found = []
        while len(found) < 320:
            after = found[-1] if found else 0
            page = log.event("ListEvents", after_sequence=after, page_size=30)
            found += [event.sequence for event in page.events]
            assert all(writer.running() or not writer.exception() for writer in writers)
    assert found == list(range(1, 321))
    assert sorted(sum((writer.result() for writer in writers), [])) == found


def remove_first_block(url, postgres):
    """What retention will do to a log of 600 events: its first block goes, with its events."""
    statements = ["delete from {}blocks where block = 0", "delete from {}pending where block = 0"]
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
            for statement in [*statements, "delete from events where position < 256"]:
                db.execute(statement.format(""))
            db.commit()
    else:
        statements.append("delete from {}events where sequence < 256")
        sql = "; ".join(statement.format("triggers.") for statement in statements)
        postgres.psql(sql, url.rsplit("/", 1)[1])


def test_positions_before_the_beginning(start_core, new_store_url, postgres):
    url = new_store_url()
    core = start_core(DATABASE_URL=url)
    with core.client() as rpc:
        ids = fill(rpc, 600)
        remove_first_block(url, postgres)
        for after in (1, 2, 254):
            error = fails("OUT_OF_RANGE", rpc.event, "ListEvents", after_sequence=after)
            assert error.reason == "POSITION_REMOVED"
            assert error.details.first_sequence == 256
            assert "256" in error.response.message
        for after in (0, 255):
            page = rpc.event("ListEvents", after_sequence=after, page_size=2)
            assert ids_of(page.events) == ids[255:257]
            assert (page.next_after, page.first_sequence) == (257, 256)
        page = rpc.event("ListEvents", after_sequence=600)
        assert (len(page.events), page.next_after, page.first_sequence) == (0, 600, 256)


@pytest.mark.parametrize("after", [-1, -(2**63)])
def test_negative_positions_are_refused(rpc, after):
    error = fails("INVALID_ARGUMENT", rpc.event, "ListEvents", after_sequence=after)
    assert (error.reason, error.fields) == ("POSITION_INVALID", ["after_sequence"])


@pytest.mark.parametrize("method", ["ListEvents", "ListKinds"])
@pytest.mark.parametrize("size", [-1, -(2**31)])
def test_negative_page_sizes_are_refused(rpc, method, size):
    error = fails("INVALID_ARGUMENT", rpc.event, method, page_size=size)
    assert (error.reason, error.fields) == ("PAGE_SIZE_INVALID", ["page_size"])


LONG = "x" * 255
BAD_NAMES = ["", " ", "\u2003", "**", "a**", "a*b", "*a", "a* *", LONG + "y", LONG + "y*", "İ" * 128]


@pytest.mark.parametrize("method", ["ListEvents", "ListInbox"])
@pytest.mark.parametrize("field", ["sources", "event_types"])
@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_in_filters_are_refused(rpc, method, field, name):
    error = fails("INVALID_ARGUMENT", rpc.event, method, filter={field: ["crm", "x*", name]})
    assert (error.reason, error.fields) == ("FILTER_INVALID", [f"filter.{field}[2]"])
    assert error.details.field_violations[0].description in error.response.message


@pytest.mark.parametrize("method", ["ListEvents", "ListInbox"])
@pytest.mark.parametrize("field", ["sources", "event_types"])
def test_filters_have_at_most_100_names(rpc, method, field):
    names = [f"name{number}*" for number in range(101)]
    rpc.event(method, filter={field: names[:100]})
    error = fails("INVALID_ARGUMENT", rpc.event, method, filter={field: names})
    assert (error.reason, error.fields) == ("FILTER_INVALID", [f"filter.{field}"])


@pytest.mark.parametrize("name", [LONG, LONG + "*", " " + LONG.upper() + "* ", "é" * 255 + "*", "*"])
def test_names_of_255_characters_are_accepted(rpc, name):
    rpc.create(source=name.strip().rstrip("*") or "crm")
    for method in ("ListEvents", "ListInbox"):
        found = rpc.event(method, filter={"sources": [name]}).events
        start = name.strip().lower().rstrip("*")
        assert found and all(event.source.startswith(start) for event in found)


@pytest.mark.parametrize("method", ["ListEvents", "ListInbox"])
@pytest.mark.parametrize(
    "times, field",
    [
        ({"from_time": {"seconds": -62135596801}}, "from_time"),
        ({"from_time": {"seconds": 253402300800}}, "from_time"),
        ({"until_time": {"seconds": 2**63 - 1}}, "until_time"),
        ({"until_time": {"seconds": -(2**63)}}, "until_time"),
        ({"until_time": {"seconds": 1, "nanos": -1}}, "until_time"),
        ({"from_time": {"seconds": 1, "nanos": 1000000000}}, "from_time"),
        ({"from_time": {"seconds": 5}, "until_time": {"seconds": 5}}, "until_time"),
        ({"from_time": {"seconds": 6}, "until_time": {"seconds": 5}}, "until_time"),
        ({"from_time": {}, "until_time": {}}, "until_time"),
    ],
)
def test_bad_times_in_filters_are_refused(rpc, method, times, field):
    error = fails("INVALID_ARGUMENT", rpc.event, method, filter=times)
    assert (error.reason, error.fields) == ("FILTER_INVALID", [f"filter.{field}"])


@pytest.mark.parametrize("token", ["x", "0" * 34, "02" + "f" * 32, "é", "A" * 5000, " ", OLD_TOKEN])
def test_bad_page_tokens_of_kinds_are_refused(rpc, token):
    error = fails("INVALID_ARGUMENT", rpc.event, "ListKinds", page_token=token)
    assert (error.reason, error.fields) == ("PAGE_TOKEN_INVALID", ["page_token"])
