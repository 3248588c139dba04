"""Subscriptions as their callers see them: one by one, and several workers at once."""

import contextlib
import datetime
import itertools
import sqlite3
import threading
import time

import pytest

from support.network import wait_until
from support.peer import connect
from support.protocol import envelope, events, subscriptions
from support.rpc import SUBSCRIPTION_SERVICE, RpcError, check_item_error, decode, encode, fails
from support.waiting import LONG, Waiting, metrics_of, wait_for_waiting, waiting

NUMBERS = itertools.count()
NAME_RULE = 'must be 1 to 63 characters of a-z, 0-9, ".", "_" and "-"'


def put(rpc, name, **fields):
    return rpc.subscription("PutSubscription", name, **fields)


def get(rpc, name):
    return rpc.subscription("GetSubscription", name)


def pull(rpc, name, **fields):
    """The deliveries; an empty answer has its reason."""
    answer = rpc.subscription("Pull", name, **fields)
    assert bool(answer.deliveries) != answer.HasField("empty_because")
    return list(answer.deliveries)


def why_empty(rpc, name, **fields):
    answer = rpc.subscription("Pull", name, **fields)
    assert not answer.deliveries
    return subscriptions.EmptyBecause.Name(answer.empty_because).removeprefix("EMPTY_BECAUSE_")


def settle(rpc, method, name, deliveries, **fields):
    ids = [getattr(delivery, "ack_id", delivery) for delivery in deliveries]
    results = rpc.subscription(method, name, ack_ids=ids, **fields).results
    assert len(results) == len(ids)
    return list(results)


def settled(rpc, method, name, deliveries, late=False, **fields):
    """Asserts that all of them were settled."""
    for result in settle(rpc, method, name, deliveries, **fields):
        assert not result.HasField("error"), result
        assert result.late == late


def refused(result, code, reason):
    check_item_error(result.error, code)
    assert result.error.details.reason == reason


def sequences(deliveries):
    return [delivery.event.sequence for delivery in deliveries]


class Work:
    """A subscription of this test, with a source of its own."""

    def __init__(self, rpc, **fields):
        self.rpc = rpc
        self.name = f"work.{next(NUMBERS)}"
        self.source = f"source-{self.name}"
        self.put(filter={"sources": [self.source]}, **fields)

    def put(self, **fields):
        return put(self.rpc, self.name, **fields)

    def create(self, count=1, payload=b"{}"):
        return [self.rpc.create(self.source, payload=payload) for _ in range(count)]

    def pull(self, **fields):
        return pull(self.rpc, self.name, **fields)

    def pull_again(self, **fields):
        """Waits for what is to be given out again."""
        return self.pull(wait_ms=LONG, **fields)

    def settle(self, method, deliveries, **fields):
        return settle(self.rpc, method, self.name, deliveries, **fields)

    def settled(self, method, deliveries, late=False, **fields):
        settled(self.rpc, method, self.name, deliveries, late, **fields)

    def letters(self, **fields):
        return list(self.call("ListDeadLetters", **fields).dead_letters)

    def call(self, method, **fields):
        return self.rpc.subscription(method, self.name, **fields)


@pytest.fixture
def work(rpc):
    return Work(rpc)


@pytest.fixture
def own_core(start_core, new_store_url):
    return start_core(DATABASE_URL=new_store_url())


@pytest.fixture
def own(own_core):
    """A client of a core whose store is this test's own."""
    with own_core.client() as client:
        yield client


# ---- manage ----


def test_a_new_one_has_the_defaults(rpc):
    answer = put(rpc, "plain")
    made = answer.subscription
    assert answer.created and made.name == "plain" and made.description == ""
    assert not made.HasField("filter")
    assert (made.lease_seconds, made.max_delivery_attempts) == (30, 10)
    assert (made.backoff.minimum_seconds, made.backoff.maximum_seconds) == (1, 600)
    assert (made.max_outstanding, made.acknowledge_in_inbox, made.paused) == (10000, False, False)
    assert made.ordering == subscriptions.ORDERING_NONE
    assert made.after_dead_letter == subscriptions.AFTER_DEAD_LETTER_SKIP
    assert abs(made.created_at.seconds - time.time()) < 60
    again = put(rpc, "plain")
    assert not again.created and again.subscription == made
    assert get(rpc, "plain").subscription == made


def test_what_is_stated_is_changed_and_nothing_else(rpc):
    chosen = {
        "description": "ä" * 1000,
        "filter": {"sources": [" CRM ", "erp*"], "event_types": ["lead.*"]},
        "lease_seconds": 43200,
        "max_delivery_attempts": 1000,
        "backoff": {"minimum_seconds": 7, "maximum_seconds": 43200},
        "max_outstanding": 100000,
        "acknowledge_in_inbox": True,
        "paused": True,
        "ordering": "ORDERING_BY_KEY",
        "after_dead_letter": "AFTER_DEAD_LETTER_BLOCK",
    }
    made = put(rpc, "whole", **chosen).subscription
    expected = subscriptions.Subscription(**chosen, name="whole", created_at=made.created_at)
    expected.filter.sources[0] = "crm"
    assert made == expected
    changes = {
        "lease_seconds": 1,
        "max_delivery_attempts": 0,
        "max_outstanding": 1,
        "acknowledge_in_inbox": False,
        "paused": False,
        "description": "",
        "after_dead_letter": subscriptions.AFTER_DEAD_LETTER_SKIP,
    }
    for field, value in changes.items():
        setattr(expected, field, value)
        assert put(rpc, "whole", **{field: value}).subscription == expected, field
    expected.backoff.minimum_seconds = 0
    assert put(rpc, "whole", backoff={"minimum_seconds": 0}).subscription == expected
    expected.ClearField("filter")
    assert put(rpc, "whole", filter={}).subscription == expected
    assert get(rpc, "whole").subscription == expected


@pytest.mark.parametrize(
    "fields, field, told",
    [
        ({"lease_seconds": 0}, "lease_seconds", "must be 1 to 43200"),
        ({"lease_seconds": 43201}, "lease_seconds", "must be 1 to 43200"),
        ({"lease_seconds": 2**32 - 1}, "lease_seconds", "must be 1 to 43200"),
        ({"max_delivery_attempts": 1001}, "max_delivery_attempts", "must be 0 to 1000"),
        ({"max_outstanding": 0}, "max_outstanding", "must be 1 to 100000"),
        ({"max_outstanding": 100001}, "max_outstanding", "must be 1 to 100000"),
        ({"backoff": {"minimum_seconds": 43201}}, "backoff.minimum_seconds", "must be 0 to 43200"),
        ({"backoff": {"maximum_seconds": 43201}}, "backoff.maximum_seconds", "must be 0 to 43200"),
        ({"description": "ä" * 1001}, "description", "must have at most 1000 characters"),
        ({"filter": {"sources": ["a*b"]}}, "filter.sources[0]", ""),
        ({"filter": {"event_types": ["a", ""]}}, "filter.event_types[1]", ""),
        ({"filter": {"sources": ["a"] * 101}}, "filter.sources", "must have at most 100 elements"),
        ({"ordering": 3}, "ordering", "must be none or by_key"),
        ({"after_dead_letter": -1}, "after_dead_letter", "must be skip or block"),
        ({"start": "now"}, "start", 'must be "latest", "earliest", a time'),
        ({"start": "0"}, "start", 'must be "latest", "earliest", a time'),
        ({"start": "-1"}, "start", 'must be "latest", "earliest", a time'),
        ({"start": "9223372036854775808"}, "start", 'must be "latest", "earliest", a time'),
        ({"start": "2026-02-30T00:00:00Z"}, "start", 'must be "latest", "earliest", a time'),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_changed(rpc, fields, field, told):
    before = put(rpc, "tried").subscription
    for name in ("tried", "untried"):
        error = fails("INVALID_ARGUMENT", put, rpc, name, **fields)
        assert error.fields == [field]
        assert error.details.field_violations[0].description.startswith(told)
    assert get(rpc, "tried").subscription == before
    fails("NOT_FOUND", get, rpc, "untried")


@pytest.mark.parametrize("name, by", [("keyed", "BY_KEY"), ("unordered", "NONE"), ("inbox", "NONE")])
def test_an_ordering_stays(rpc, name, by):
    other = "ORDERING_NONE" if by == "BY_KEY" else "ORDERING_BY_KEY"
    before = put(rpc, name, ordering=f"ORDERING_{by}").subscription
    error = fails("FAILED_PRECONDITION", put, rpc, name, ordering=other, lease_seconds=9)
    assert error.reason == "ORDERING_FIXED" and "create another" in str(error)
    assert put(rpc, name, ordering=f"ORDERING_{by}").subscription == before


def test_a_minimum_over_the_maximum(rpc):
    put(rpc, "tried")
    both = {"minimum_seconds": 3, "maximum_seconds": 2}
    for backoff, fields in (({"minimum_seconds": 601}, []), (both, ["backoff.maximum_seconds"])):
        error = fails("INVALID_ARGUMENT", put, rpc, "tried", backoff=backoff)
        assert error.reason == "BACKOFF_INVALID" and error.fields == fields


@pytest.mark.parametrize("name", ["a", "0", "a" * 63, "a.b_c-d", "0..--__"])
def test_names(rpc, name):
    assert put(rpc, name).subscription.name == name
    assert get(rpc, name).subscription.name == name


@pytest.mark.parametrize("name", ["", "a" * 64, "A", ".a", "-a", "_a", "a b", "ä", "a/b", "a%"])
def test_wrong_names(rpc, name):
    error = fails("INVALID_ARGUMENT", put, rpc, name)
    assert error.fields == ["name"]
    assert error.details.field_violations[0].description.startswith(NAME_RULE)
    for method in ("GetSubscription", "DeleteSubscription", "Pull", "ListDeadLetters"):
        error = fails("NOT_FOUND", rpc.subscription, method, name)
        assert error.reason == "SUBSCRIPTION_NOT_FOUND"


def test_every_call_tells_that_there_is_none(rpc):
    for method, fields in {
        "GetSubscription": {},
        "DeleteSubscription": {},
        "Pull": {"wait_ms": LONG},
        "Ack": {"ack_ids": ["a"]},
        "Nack": {"ack_ids": ["a"]},
        "Extend": {"ack_ids": ["a"]},
        "Release": {"ack_ids": ["a"]},
        "Seek": {"to": "earliest"},
        "ListDeadLetters": {},
        "RedriveDeadLetters": {"all": True},
        "DeleteDeadLetters": {"all": True},
    }.items():
        error = fails("NOT_FOUND", rpc.subscription, method, "nobody", **fields)
        assert error.reason == "SUBSCRIPTION_NOT_FOUND", method


def test_they_are_listed_in_the_order_of_their_creation(own):
    names = ["c", "a", "b", "inbox.2"]
    for name in names:
        put(own, name)
    put(own, "c", paused=True)

    def listed(**fields):
        request = subscriptions.ListSubscriptionsRequest(**fields)
        response = own.call(f"{SUBSCRIPTION_SERVICE}/ListSubscriptions", request)
        return decode(response, subscriptions.ListSubscriptionsResponse)

    page = listed()
    assert [one.name for one in page.subscriptions] == [*names, "inbox"]
    assert page.next_page_token == "" and page.subscriptions[0].paused
    found, token = [], ""
    while token or not found:
        page = listed(page_size=2, page_token=token)
        assert 0 < len(page.subscriptions) <= 2
        found += [one.name for one in page.subscriptions]
        token = page.next_page_token
    assert found == [*names, "inbox"]
    for fields, field in (
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": own.event("ListKinds").next_page_token or "0" * 34}, "page_token"),
    ):
        assert fails("INVALID_ARGUMENT", listed, **fields).fields == [field]


def test_what_is_removed_is_gone(rpc, work):
    work.create(2)
    taken = work.pull(max_events=1)
    work.call("DeleteSubscription")
    fails("NOT_FOUND", get, rpc, work.name)
    fails("NOT_FOUND", work.settle, "Ack", taken)
    fails("NOT_FOUND", work.call, "DeleteSubscription")
    assert work.put(start="latest").created
    assert why_empty(rpc, work.name) == "NOTHING_NEW"
    [result] = work.settle("Ack", taken)
    refused(result, "INVALID_ARGUMENT", "ACK_ID_INVALID")


def rfc3339(timestamp):
    time_us = timestamp.seconds * 1000000 + timestamp.nanos // 1000
    moment = datetime.datetime.fromtimestamp(0, datetime.timezone.utc) + datetime.timedelta(
        microseconds=time_us
    )
    return moment.isoformat()


def test_where_a_new_one_starts(own):
    made = [own.create() for _ in range(4)]
    starts = {
        "earliest": [1, 2, 3, 4],
        "1": [1, 2, 3, 4],
        "3": [3, 4],
        "5": [],
        "9223372036854775807": [],
        "latest": [],
        "": [],
        "0001-01-01T00:00:00Z": [1, 2, 3, 4],
        "1970-01-01T00:00:00Z": [1, 2, 3, 4],
        "9999-12-31T23:59:59Z": [],
    }
    for number, (start, expected) in enumerate(starts.items()):
        put(own, f"start{number}", start=start)
        assert sequences(pull(own, f"start{number}")) == expected, start
    times = [event.created_at for event in made]
    third = [event.sequence for event in made if event.created_at.ToNanoseconds() >= times[2].ToNanoseconds()]
    put(own, "time", start=rfc3339(times[2]))
    assert sequences(pull(own, "time")) == third
    assert not put(own, "time", start="earliest").created
    assert pull(own, "time") == []
    own.create()
    assert sequences(pull(own, "start5")) == [5]


def test_how_much_there_is_to_do(work):
    created = work.create(5)
    first = work.pull(max_events=1)
    read = work.call("GetSubscription")
    assert (read.backlog, read.outstanding, read.delayed, read.dead_letters) == (4, 1, 0, 0)
    assert not read.backlog_is_estimate and read.position == created[0].sequence
    assert read.oldest_unsettled_at == created[0].created_at
    more = work.pull(max_events=2)
    work.settled("Nack", more[:1], delay_seconds=600)
    work.settled("Nack", more[1:], dead_letter=True)
    read = work.call("GetSubscription")
    assert (read.backlog, read.outstanding, read.delayed, read.dead_letters) == (2, 1, 1, 1)
    work.settled("Ack", first)
    assert work.call("GetSubscription").oldest_unsettled_at == created[1].created_at
    for delivery in work.pull():
        work.settled("Ack", [delivery])
    work.settled("Ack", more[:1], late=True)
    read = work.call("GetSubscription")
    assert (read.backlog, read.outstanding, read.delayed, read.dead_letters) == (0, 0, 0, 1)
    assert not read.HasField("oldest_unsettled_at")


# ---- pull ----


def test_events_come_in_order_and_once(work):
    created = work.create(5, payload=b'{ "a": 1 }')
    deliveries = work.pull(max_events=3)
    for delivery, event in zip(deliveries, created):
        assert delivery.event.event_id == event.event_id
        assert delivery.event.sequence == event.sequence
        assert delivery.event.payload == b'{ "a": 1 }'
        assert delivery.event.status == events.EVENT_STATUS_PENDING
        assert delivery.delivery_attempt == 1 and delivery.ack_id
        assert 0 < delivery.lease_expires_at.seconds - time.time() <= 31
    assert sequences(deliveries + work.pull()) == [event.sequence for event in created]
    assert why_empty(work.rpc, work.name) == "NOTHING_NEW"


def test_ten_are_given_out_unless_told_otherwise(work):
    work.create(12)
    assert [len(work.pull()), len(work.pull(max_events=1000))] == [10, 2]


def test_bytes_are_limited_but_one_event_comes(work):
    work.create(4, payload=b'{"a":"%s"}' % (b"x" * 1000))
    assert len(work.pull(max_bytes=1)) == 1
    assert len(work.pull(max_bytes=2500)) == 2
    assert len(work.pull(max_bytes=2**32 - 1)) == 1


def test_only_what_passes_the_filter(own):
    put(own, "some", filter={"sources": ["crm", "er*"], "event_types": ["lead.*"]})
    wanted = [
        own.create(source, kind).sequence
        for source, kind in (("crm", "lead.new"), ("erp", "lead.old"), ("er", "lead."))
    ]
    for source, kind in (("crm", "order"), ("web", "lead.new"), ("crm2", "lead.new")):
        own.create(source, kind)
    wanted.append(own.create("crm", "lead.last").sequence)
    assert sequences(pull(own, "some")) == wanted


@pytest.mark.parametrize(
    "fields, field, told",
    [
        ({"max_events": 1001}, "max_events", "must be 1 to 1000"),
        ({"max_events": 2**32 - 1}, "max_events", "must be 1 to 1000"),
        ({"lease_seconds": 43201}, "lease_seconds", "must be 0 to 43200"),
        ({"pull_id": "ä" * 256}, "pull_id", "must have at most 255 characters"),
    ],
)
def test_wrong_pulls(work, fields, field, told):
    work.create()
    error = fails("INVALID_ARGUMENT", work.call, "Pull", wait_ms=LONG, **fields)
    assert error.fields == [field]
    assert error.details.field_violations[0].description == told
    assert len(work.pull(pull_id="ä" * 255)) == 1


def test_a_lease_that_ends_is_another_delivery(rpc):
    work = Work(rpc, backoff={"minimum_seconds": 0, "maximum_seconds": 0})
    work.create()
    first = work.pull(lease_seconds=1)
    [again] = work.pull_again()
    assert again.event == first[0].event and again.delivery_attempt == 2
    assert again.ack_id != first[0].ack_id
    [result] = work.settle("Ack", first)
    refused(result, "ABORTED", "LEASE_LOST")
    work.settled("Ack", [again])


def test_what_is_due_again_comes_before_what_is_new(work):
    work.create(2)
    taken = work.pull()
    work.settled("Nack", taken[1:], delay_seconds=0)
    work.settled("Release", taken[:1])
    new = work.create()[0]
    found = sequences(work.pull(max_events=2))
    assert sorted(found) == sequences(taken)
    assert sequences(work.pull()) == [new.sequence]


def test_a_pull_that_is_repeated_gets_the_same(work):
    work.create(5)
    first = work.pull(max_events=2, pull_id="one")
    again = work.pull(max_events=2, pull_id="one")
    assert sequences(first) == sequences(again)
    assert [d.ack_id for d in first] == [d.ack_id for d in again]
    assert sequences(work.pull(max_events=2, pull_id="other")) != sequences(first)
    work.settled("Ack", again)
    assert set(sequences(work.pull(pull_id="one"))).isdisjoint(sequences(first))


def test_a_pull_id_is_of_one_subscription(rpc):
    one, other = Work(rpc), Work(rpc)
    one.create()
    other.create()
    assert sequences(one.pull(pull_id="same")) != sequences(other.pull(pull_id="same"))


def test_while_it_is_paused_nothing_is_given_out(work):
    work.create(2)
    taken = work.pull(max_events=1)
    work.put(paused=True)
    assert why_empty(work.rpc, work.name) == "PAUSED"
    work.settled("Ack", taken)
    work.put(paused=False)
    assert len(work.pull()) == 1


def test_no_more_than_may_be_outstanding(rpc):
    work = Work(rpc, max_outstanding=2)
    work.create(4)
    taken = work.pull()
    assert len(taken) == 2
    assert why_empty(rpc, work.name) == "MAX_OUTSTANDING"
    work.settled("Ack", taken[:1])
    assert len(work.pull()) == 1
    work.put(max_outstanding=3)
    assert len(work.pull()) == 1


# ---- wait ----


def ask(name, wait_ms=LONG, timeout_ms=0, **fields):
    request = subscriptions.PullRequest(name=name, wait_ms=wait_ms, **fields)
    return encode(f"{SUBSCRIPTION_SERVICE}/Pull", request, timeout_ms=timeout_ms)


def answered(response):
    return decode(response, subscriptions.PullResponse)


def test_a_create_wakes_one_who_waits(own):
    put(own, "w")
    calls = Waiting(own, ask("w"), ask("w"))
    wait_for_waiting(own, 2)
    first = own.create().sequence
    wait_for_waiting(own, 1)
    second = own.create().sequence
    found = [sequences(answered(response).deliveries) for response in calls.finish()]
    assert sorted(found) == [[first], [second]]
    wait_for_waiting(own, 0)


def test_what_does_not_pass_the_filter_wakes_nobody(own):
    put(own, "w", filter={"sources": ["crm"]})
    call = Waiting(own, ask("w"))
    wait_for_waiting(own, 1)
    own.create("web")
    assert waiting(own) == 1
    wanted = own.create("crm").sequence
    assert sequences(answered(call.finish()[0]).deliveries) == [wanted]


@pytest.mark.parametrize("wait_ms", [1, 300])
def test_time_is_over(own, wait_ms):
    put(own, "w")
    started = time.monotonic()
    assert why_empty(own, "w", wait_ms=wait_ms) == "NOTHING_NEW"
    assert wait_ms / 1000 <= time.monotonic() - started < LONG / 2000


def test_it_is_answered_before_the_deadline(own):
    put(own, "w")
    [response] = Waiting(own, ask("w", timeout_ms=1000)).finish()
    assert response.code == envelope.OK and not answered(response).deliveries


def test_who_waits_gets_what_is_given_back(own):
    put(own, "w")
    own.create()
    taken = pull(own, "w")
    call = Waiting(own, ask("w"))
    wait_for_waiting(own, 1)
    settled(own, "Release", "w", taken)
    [again] = answered(call.finish()[0]).deliveries
    assert again.event.sequence == 1 and again.delivery_attempt == 1


def test_who_waits_gets_what_may_be_outstanding(own):
    put(own, "w", max_outstanding=1)
    own.create()
    own.create()
    taken = pull(own, "w")
    call = Waiting(own, ask("w"))
    wait_for_waiting(own, 1)
    settled(own, "Ack", "w", taken)
    assert sequences(answered(call.finish()[0]).deliveries) == [2]


def test_who_waits_is_told_when_it_goes_on(own):
    put(own, "w", paused=True)
    own.create()
    put(own, "w2", start="earliest", paused=True)
    call = Waiting(own, ask("w2"))
    wait_for_waiting(own, 1)
    put(own, "w2", paused=False)
    assert sequences(answered(call.finish()[0]).deliveries) == [1]


def test_who_waits_for_what_is_removed_is_told(own):
    put(own, "w")
    call = Waiting(own, ask("w"))
    wait_for_waiting(own, 1)
    own.subscription("DeleteSubscription", "w")
    assert call.finish()[0].code == envelope.NOT_FOUND


@pytest.mark.concurrent
def test_who_has_gone_takes_nothing(own_core, own):
    put(own, "w")
    peers = [connect(own_core.url, 20) for _ in range(2)]
    for peer in peers:
        peer.send(ask("w"))
    wait_for_waiting(own, 2)
    peers[0].close()
    peers[1].die()
    wait_for_waiting(own, 0)
    own.create()
    [delivery] = pull(own, "w")
    assert delivery.delivery_attempt == 1


def test_a_release_ends_a_pull_that_waits(own):
    put(own, "w")
    calls = [Waiting(own, ask("w", pull_id=pull_id)) for pull_id in ("ended", "other")]
    wait_for_waiting(own, 2)
    own.subscription("Release", "w", pull_id="ended")
    assert not answered(calls[0].finish()[0]).deliveries
    wait_for_waiting(own, 1)
    wanted = own.create().sequence
    assert sequences(answered(calls[1].finish()[0]).deliveries) == [wanted]


@pytest.fixture
def slow(start_core, tmp_path):
    """A core with a subscription and an event; and a lock for which its take of it waits."""
    path = tmp_path / "slow.db"
    core = start_core(DATABASE_URL=f"sqlite:///{path}")
    with core.client() as rpc, contextlib.closing(sqlite3.connect(path)) as lock:
        put(rpc, "w", lease_seconds=600)
        rpc.create()
        lock.isolation_level = None
        lock.execute("begin immediate")
        yield core, rpc, lock


def in_flight(rpc):
    """How many calls the core has, the one that asks included."""
    return metrics_of(rpc).value("triggers_core_requests_in_flight")


def given_out_again(rpc):
    [delivery] = pull(rpc, "w", wait_ms=LONG)
    assert delivery.delivery_attempt == 1


def test_what_comes_after_the_deadline_is_given_back(slow):
    _, rpc, lock = slow
    fails("DEADLINE_EXCEEDED", rpc.subscription, "Pull", "w", timeout_ms=300)
    lock.execute("rollback")
    given_out_again(rpc)


def test_what_comes_when_the_caller_has_gone_is_given_back(slow):
    core, rpc, lock = slow
    peer = connect(core.url, 20)
    peer.send(ask("w", wait_ms=0))
    wait_until(lambda: in_flight(rpc) == 2, "the pull has come")
    peer.close()
    wait_until(lambda: metrics_of(rpc).value("triggers_core_connections") == 1, "the core notices")
    lock.execute("rollback")
    given_out_again(rpc)


def test_a_release_waits_for_the_pull(slow):
    core, rpc, lock = slow
    call = Waiting(rpc, ask("w", wait_ms=0, pull_id="one"))
    wait_until(lambda: in_flight(rpc) == 2, "the pull has come")
    release = subscriptions.ReleaseRequest(name="w", pull_id="one")
    releasing = Waiting(rpc, encode(f"{SUBSCRIPTION_SERVICE}/Release", release))
    wait_until(lambda: in_flight(rpc) == 3, "the release has come")
    lock.execute("rollback")
    assert releasing.finish()[0].code == envelope.OK
    assert call.finish()[0].code == envelope.OK
    given_out_again(rpc)


def test_a_stop_ends_waits(own_core, own):
    put(own, "w")
    calls = Waiting(own, *[ask("w")] * 5)
    wait_for_waiting(own, 5)
    own_core.stop()
    for response in calls.finish():
        assert response.code in (envelope.OK, envelope.UNAVAILABLE)


# ---- settle ----


def test_what_is_done_does_not_come_again(work):
    work.create(3)
    taken = work.pull(lease_seconds=1)
    work.settled("Ack", taken[::-1])
    work.settled("Ack", taken)  # again
    for method in ("Nack", "Extend", "Release"):
        for result in work.settle(method, taken):
            refused(result, "FAILED_PRECONDITION", "ALREADY_SETTLED")
    assert why_empty(work.rpc, work.name, wait_ms=2500) == "NOTHING_NEW"


def test_late_but_nobody_else_has_it(work):
    work.put(backoff={"minimum_seconds": 600})
    work.create()
    taken = work.pull(lease_seconds=1)

    def delayed():
        read = work.call("GetSubscription")
        return read.outstanding == 0 or taken[0].lease_expires_at.ToNanoseconds() < time.time_ns()

    wait_until(delayed, "the end of the lease")
    work.settled("Ack", taken, late=True)
    assert work.call("GetSubscription").outstanding == 0


def test_one_id_many_times_in_one_call(work):
    work.create()
    taken = work.pull()
    results = work.settle("Ack", taken * 1000)
    assert len(results) == 1000
    assert not any(result.HasField("error") for result in results)


def test_a_release_gives_back_what_a_pull_has(work):
    work.create(5)
    [first, second] = work.pull(max_events=2, pull_id="one")
    other = work.pull(max_events=2, pull_id="other")
    work.settled("Ack", [first])
    results = work.call("Release", pull_id="one", ack_ids=[other[0].ack_id]).results
    assert len(results) == 1 and not results[0].HasField("error")
    again = work.pull_again(max_events=2)
    assert sequences(again) == sequences([second, other[0]])
    assert [delivery.delivery_attempt for delivery in again] == [1, 1]
    work.call("Release", pull_id="one")  # it has nothing any more
    assert len(work.pull()) == 1


def test_another_core_releases_a_pull(start_core, new_store_url):
    url = new_store_url()
    with start_core(DATABASE_URL=url).client() as one, start_core(DATABASE_URL=url).client() as two:
        put(one, "w")
        put(two, "w")
        event = one.create()
        pull(one, "w", pull_id="one")
        two.subscription("Release", "w", pull_id="one")
        assert sequences(pull(two, "w", wait_ms=LONG)) == [event.sequence]


def test_wrong_releases_of_pulls(work):
    error = fails("INVALID_ARGUMENT", work.call, "Release", pull_id="a" * 256)
    assert error.fields == ["pull_id"] and error.reason == "PULL_ID_INVALID"


@pytest.mark.parametrize("method", ["Ack", "Nack", "Extend", "Release"])
def test_the_number_of_ids_is_limited(work, method):
    for ids in ([], ["a"] * 1001):
        error = fails("INVALID_ARGUMENT", work.call, method, ack_ids=ids)
        assert error.fields == ["ack_ids"] and error.reason == "BATCH_SIZE_INVALID"


@pytest.mark.parametrize("method", ["Ack", "Nack", "Extend", "Release"])
def test_ids_that_are_none(rpc, work, method):
    other = Work(rpc)
    other.create()
    work.create()
    [foreign] = other.pull()
    [good] = work.pull()
    right = good.ack_id
    changed = [right[:at] + ("A" if right[at] != "A" else "B") + right[at + 1 :] for at in range(len(right))]
    wrong = ["", "a", "ä", right[:-1], right + "A", right + "=", right.upper(), right * 2]
    wrong += ["A" * 10000, right[::-1], foreign.ack_id, *changed]
    for text, result in zip(wrong, work.settle(method, wrong)):
        assert result.error.details.reason == "ACK_ID_INVALID", (text, result)
        check_item_error(result.error, "INVALID_ARGUMENT")
    read = work.call("GetSubscription")
    assert (read.outstanding, read.delayed, read.dead_letters) == (1, 0, 0)
    work.settled("Ack", [good])
    other.settled("Ack", [foreign])


def test_each_id_succeeds_or_fails_by_itself(work):
    work.create(2)
    taken = work.pull()
    work.settled("Ack", taken[:1])
    results = work.settle("Nack", [taken[0], "x", taken[1]])
    refused(results[0], "FAILED_PRECONDITION", "ALREADY_SETTLED")
    refused(results[1], "INVALID_ARGUMENT", "ACK_ID_INVALID")
    assert not results[2].HasField("error")


def test_a_nack_gives_back_after_its_delay(work):
    work.create(2)
    taken = work.pull()
    work.settled("Nack", taken[:1], delay_seconds=0)
    work.settled("Nack", taken[1:], delay_seconds=43200)
    [again] = work.pull_again()
    assert again.event == taken[0].event and again.delivery_attempt == 2
    assert why_empty(work.rpc, work.name) == "NOTHING_NEW"
    assert work.call("GetSubscription").delayed == 1


def test_a_nack_gives_back_after_the_back_off(work):
    work.put(backoff={"minimum_seconds": 1, "maximum_seconds": 1})
    work.create()
    started = time.monotonic()
    work.settled("Nack", work.pull())
    assert why_empty(work.rpc, work.name) == "NOTHING_NEW"
    [again] = work.pull_again()
    assert 0.7 < time.monotonic() - started < 5 and again.delivery_attempt == 2


@pytest.mark.parametrize(
    "method, fields, field, told",
    [
        ("Nack", {"delay_seconds": 43201}, "delay_seconds", "must be 0 to 43200"),
        ("Nack", {"reason": "ä" * 1001}, "reason", "must have at most 1000 characters"),
        ("Extend", {"lease_seconds": 43201}, "lease_seconds", "must be 0 to 43200"),
    ],
)
def test_wrong_settlements(work, method, fields, field, told):
    work.create()
    [taken] = work.pull()
    error = fails("INVALID_ARGUMENT", work.call, method, ack_ids=[taken.ack_id], **fields)
    assert error.fields == [field]
    assert error.details.field_violations[0].description == told
    assert work.call("GetSubscription").outstanding == 1


def test_a_lease_is_extended(work):
    work.create()
    [taken] = work.pull(lease_seconds=2)
    [result] = work.settle("Extend", [taken], lease_seconds=600)
    assert 500 < result.lease_expires_at.seconds - time.time() < 601
    assert why_empty(work.rpc, work.name, wait_ms=3000) == "NOTHING_NEW"
    [result] = work.settle("Extend", [taken])
    assert 0 < result.lease_expires_at.seconds - time.time() < 31
    work.settled("Ack", [taken])


def test_a_lease_is_not_extended_for_ever(work):
    work.create()
    [taken] = work.pull()
    [result] = work.settle("Extend", [taken], lease_seconds=43200)
    refused(result, "INVALID_ARGUMENT", "LEASE_TOO_LONG")
    assert not result.HasField("lease_expires_at")
    work.settled("Ack", [taken])


def test_a_release_does_not_count(work):
    work.put(max_delivery_attempts=1)
    work.create()
    for _ in range(3):
        [taken] = work.pull_again()
        assert taken.delivery_attempt == 1
        work.settled("Release", [taken])
    assert not work.letters()


# ---- dead letters ----


def kill(work, count=1, reason="broken"):
    """Makes dead letters of new events; returns these."""
    created = work.create(count)
    work.settled("Nack", work.pull(max_events=count), dead_letter=True, reason=reason)
    return created


def test_after_the_last_attempt_it_is_a_dead_letter(work):
    work.put(max_delivery_attempts=2)
    [created] = work.create()
    [first] = work.pull()
    work.settled("Nack", [first], delay_seconds=0, reason="first")
    assert not work.letters()
    [second] = work.pull_again()
    work.settled("Nack", [second], delay_seconds=0, reason="second")
    [letter] = work.letters()
    assert letter.event.event_id == created.event_id
    assert letter.event.payload == b"{}"
    assert (letter.delivery_attempts, letter.reason) == (2, "second")
    first_us = letter.first_delivered_at.ToMicroseconds()
    assert created.created_at.ToMicroseconds() - 10**6 < first_us
    assert first_us < letter.dead_at.ToMicroseconds()
    assert why_empty(work.rpc, work.name) == "NOTHING_NEW"


def test_what_was_given_back_may_still_become_one(work):
    work.create(2)
    taken = work.pull()
    work.settled("Nack", taken, delay_seconds=600)
    work.settled("Nack", taken[:1], late=True, dead_letter=True, reason="hopeless")
    assert [letter.reason for letter in work.letters()] == ["hopeless"]
    read = work.call("GetSubscription")
    assert (read.outstanding, read.delayed, read.dead_letters) == (0, 1, 1)


def test_so_it_is_when_the_last_lease_ends(work):
    work.put(max_delivery_attempts=1)
    work.create()
    taken = work.pull(lease_seconds=1)
    wait_until(lambda: work.letters(), "the dead letter")
    [letter] = work.letters()
    assert letter.delivery_attempts == 1 and letter.reason
    [result] = work.settle("Nack", taken)
    refused(result, "FAILED_PRECONDITION", "ALREADY_SETTLED")


def test_without_an_end_it_comes_for_ever(work):
    work.put(max_delivery_attempts=0)
    work.create()
    for attempt in range(1, 15):
        [taken] = work.pull_again()
        assert taken.delivery_attempt == attempt
        work.settled("Nack", [taken], delay_seconds=0)
    assert not work.letters()


def test_the_last_to_come_is_listed_first(work):
    made = [kill(work)[0] for _ in range(5)]
    ids = [event.event_id for event in reversed(made)]
    assert [letter.event.event_id for letter in work.letters()] == ids
    found, token = [], ""
    while token or not found:
        page = work.call("ListDeadLetters", page_size=2, page_token=token)
        found += [letter.event.event_id for letter in page.dead_letters]
        token = page.next_page_token
    assert found == ids
    token = work.call("ListDeadLetters", page_size=2).next_page_token
    for fields, field in (
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": token[:-1]}, "page_token"),
        ({"page_token": token + "0"}, "page_token"),
        ({"page_token": token[: len(token) // 2]}, "page_token"),
        ({"page_token": token, "filter": {"sources": ["other"]}}, "page_token"),
        ({"filter": {"sources": ["a*b"]}}, "filter.sources[0]"),
    ):
        assert fails("INVALID_ARGUMENT", work.call, "ListDeadLetters", **fields).fields == [field]
    assert work.letters(filter={"sources": ["other"]}) == []
    assert len(work.letters(filter={"sources": [work.source[:-1] + "*"]})) == 5


def test_dead_letters_are_given_out_again(work):
    made = kill(work, 3)
    ids = [event.event_id for event in made]
    answer = work.call("RedriveDeadLetters", event_ids=ids[:1], dry_run=True)
    assert (answer.redriven, answer.left) == (1, 0) and len(work.letters()) == 3
    other = work.rpc.create("elsewhere").event_id
    answer = work.call("RedriveDeadLetters", event_ids=[ids[1], ids[1], other])
    assert answer.redriven == 1
    [again] = work.pull_again()
    assert again.event.event_id == ids[1] and again.delivery_attempt == 1
    assert work.call("RedriveDeadLetters", all=True, dry_run=True).redriven == 2
    assert work.call("RedriveDeadLetters", all=True).redriven == 2
    assert work.call("RedriveDeadLetters", all=True).redriven == 0
    assert sorted(d.event.event_id for d in work.pull_again()) == sorted([ids[0], ids[2]])
    assert work.call("GetSubscription").dead_letters == 0


def test_so_many_a_second(work):
    kill(work, 3)
    work.call("RedriveDeadLetters", all=True, events_per_second=2)
    started, found = time.monotonic(), 0
    while found < 3:
        found += len(work.pull_again())
    assert 0.7 < time.monotonic() - started < 6


def test_dead_letters_are_removed(work):
    made = kill(work, 3)
    ids = [event.event_id for event in made]
    assert work.call("DeleteDeadLetters", event_ids=ids[:2], dry_run=True).deleted == 2
    assert len(work.letters()) == 3
    assert work.call("DeleteDeadLetters", event_ids=ids[:2]).deleted == 2
    assert [letter.event.event_id for letter in work.letters()] == ids[2:]
    assert work.call("DeleteDeadLetters", all=True).deleted == 1
    assert work.letters() == []
    assert why_empty(work.rpc, work.name) == "NOTHING_NEW"
    assert work.rpc.event("GetEvent", event_id=ids[0]).event.event_id == ids[0]


@pytest.mark.parametrize("method", ["RedriveDeadLetters", "DeleteDeadLetters"])
def test_which_dead_letters_must_be_said(work, method):
    kill(work)
    event_id = "evt_01h455vb4pex5vsknk084sn02q"
    for fields, field in (
        ({}, "event_ids"),
        ({"event_ids": [event_id] * 1001}, "event_ids"),
        ({"event_ids": [event_id], "all": True}, "event_ids"),
        ({"event_ids": [event_id, "x"]}, "event_ids[1]"),
    ):
        assert fails("INVALID_ARGUMENT", work.call, method, **fields).fields == [field]
    assert len(work.letters()) == 1


# ---- seek ----


def test_seeks(own):
    put(own, "s")
    made = [own.create() for _ in range(5)]
    taken = pull(own, "s", max_events=3)

    def seek(to, **fields):
        answer = own.subscription("Seek", "s", to=to, **fields)
        return answer.position, answer.events

    assert seek("earliest", dry_run=True) == (0, 3)
    settled(own, "Ack", "s", taken[:1])
    assert seek("earliest") == (0, 3)
    refused(settle(own, "Ack", "s", taken[2:])[0], "ABORTED", "LEASE_LOST")
    again = pull(own, "s")
    assert sequences(again) == [1, 2, 3, 4, 5]
    assert {delivery.delivery_attempt for delivery in again} == {1}
    assert seek("4") == (3, 2)
    assert sequences(pull(own, "s")) == [4, 5]
    assert seek("latest") == (5, 0)
    assert why_empty(own, "s") == "NOTHING_NEW"
    at = made[2].created_at
    later = [e.sequence for e in made if e.created_at.ToNanoseconds() >= at.ToNanoseconds()]
    seek(rfc3339(at))
    assert sequences(pull(own, "s")) == later
    assert seek("1000") == (5, 0)
    for to in ("", "x", "0", "-1", "2026-13-01T00:00:00Z"):
        assert fails("INVALID_ARGUMENT", seek, to).fields == ["to"]


def test_a_seek_wakes_who_waits(own):
    own.create()
    put(own, "s")
    call = Waiting(own, ask("s"))
    wait_for_waiting(own, 1)
    own.subscription("Seek", "s", to="earliest")
    assert sequences(answered(call.finish()[0]).deliveries) == [1]


# ---- the inbox ----


def test_workers_share_the_inbox(own):
    ids = [own.create().event_id for _ in range(4)]
    own.event("AckEvent", event_id=ids[1])
    taken = pull(own, "inbox", max_events=2)
    assert [delivery.event.event_id for delivery in taken] == [ids[0], ids[2]]
    settled(own, "Ack", "inbox", taken[:1])
    assert own.event("GetEvent", event_id=ids[0]).event.status == events.EVENT_STATUS_ACKNOWLEDGED
    pending = [event.event_id for event in own.event("ListInbox").events]
    assert sorted(pending) == sorted([ids[2], ids[3]])
    own.event("AckEvent", event_id=ids[3])
    assert why_empty(own, "inbox") == "NOTHING_NEW"


def test_what_was_acknowledged_elsewhere_is_not_given_out_again(own):
    event_id = own.create().event_id
    taken = pull(own, "inbox")
    own.event("AckEvent", event_id=event_id)
    settled(own, "Nack", "inbox", taken, delay_seconds=0)
    assert why_empty(own, "inbox", wait_ms=1500) == "NOTHING_NEW"


def test_the_inbox_is_always_there(own):
    read = get(own, "inbox").subscription
    assert read.acknowledge_in_inbox and not read.HasField("filter")
    for fields in ({"filter": {}}, {"acknowledge_in_inbox": False}, {"description": "x"}):
        assert fails("INVALID_ARGUMENT", put, own, "inbox", **fields).reason == "INBOX_FIXED"
    error = fails("INVALID_ARGUMENT", own.subscription, "DeleteSubscription", "inbox")
    assert error.reason == "INBOX_FIXED"
    changed = put(own, "inbox", lease_seconds=5, paused=True)
    assert not changed.created and changed.subscription.lease_seconds == 5


def test_one_that_acknowledges_in_the_inbox(own):
    put(own, "w", acknowledge_in_inbox=True)
    put(own, "other")
    event_id = own.create().event_id
    settled(own, "Ack", "other", pull(own, "other"))
    assert own.event("GetEvent", event_id=event_id).event.status == events.EVENT_STATUS_PENDING
    settled(own, "Ack", "w", pull(own, "w"))
    assert own.event("GetEvent", event_id=event_id).event.status == events.EVENT_STATUS_ACKNOWLEDGED


# ---- several workers and cores ----


class Worker(threading.Thread):
    """Pulls and acknowledges until it is told to end."""

    def __init__(self, core, name, ended):
        super().__init__()
        self.core, self.name_, self.ended = core, name, ended
        self.found, self.failures = [], []

    def run(self):
        with self.core.client() as rpc:
            while not self.ended.is_set():
                try:
                    taken = pull(rpc, self.name_, max_events=7, wait_ms=200)
                    if taken:
                        self.found += [(d.event.sequence, d.delivery_attempt) for d in taken]
                        settled(rpc, "Ack", self.name_, taken)
                except (RpcError, AssertionError) as failure:
                    self.failures.append(failure)


def share(cores, events_count):
    """Workers of all cores while events are created by the first; what each of them found."""
    ended = threading.Event()
    with cores[0].client() as rpc:
        put(rpc, "shared")
        workers = [Worker(core, "shared", ended) for core in cores * 2]
        for worker in workers:
            worker.start()
        wanted = [rpc.create().sequence for _ in range(events_count)]
        wait_until(lambda: sum(len(worker.found) for worker in workers) >= events_count, "all found")
        wait_until(lambda: get(rpc, "shared").outstanding == 0, "all settled")
        ended.set()
    for worker in workers:
        worker.join()
        assert not worker.failures, worker.failures
    return wanted, sorted(pair for worker in workers for pair in worker.found)


@pytest.mark.concurrent
def test_nothing_is_handed_to_two(own_core):
    wanted, found = share([own_core] * 2, 300)
    assert found == [(sequence, 1) for sequence in wanted]


@pytest.mark.concurrent
def test_nothing_is_handed_to_two_by_two_cores(start_core, new_store_url):
    url = new_store_url()
    wanted, found = share([start_core(DATABASE_URL=url) for _ in range(2)], 200)
    assert found == [(sequence, 1) for sequence in wanted]


def test_another_core_settles_and_a_restarted_one_remembers(start_core, new_store_url):
    url = new_store_url()
    first = start_core(DATABASE_URL=url)
    with first.client() as rpc:
        put(rpc, "w", lease_seconds=600)
        for _ in range(3):
            rpc.create()
        taken = pull(rpc, "w", max_events=2)
        settled(rpc, "Ack", "w", taken[:1])
    second = start_core(DATABASE_URL=url)
    with second.client() as rpc:
        settled(rpc, "Ack", "w", taken[1:])
        settled(rpc, "Ack", "w", taken)
        assert sequences(pull(rpc, "w")) == [3]
    first.stop()
    second.stop()
    third = start_core(DATABASE_URL=url)
    with third.client() as rpc:
        read = get(rpc, "w")
        assert (read.position, read.outstanding, read.backlog) == (3, 1, 0)
        assert read.subscription.lease_seconds == 600


# ---- ordering keys, and times of delivery ----


def create_keyed(rpc, key, source="crm"):
    fields = {"source": source, "event_type": "lead", "payload": b"{}", "ordering_key": key}
    return rpc.event("CreateEvent", **fields).sequence


def create_delayed(rpc, seconds, source="crm"):
    """The event's sequence, and its time."""
    at = time.time() + seconds
    fields = {"source": source, "event_type": "lead", "payload": b"{}"}
    fields["deliver_at"] = {"seconds": int(at), "nanos": int(at % 1 * 1e6) * 1000}
    return rpc.event("CreateEvent", **fields).sequence, int(at * 1e6) / 1e6


@pytest.fixture
def keyed(rpc):
    return Work(rpc, ordering="ORDERING_BY_KEY", max_delivery_attempts=2)


def test_of_a_key_one_event_is_out(rpc, keyed):
    first, second, third, fourth, other, free, also_free = (
        create_keyed(rpc, key, keyed.source) for key in ("a", "a", "a", "a", "b", "", "")
    )
    taken = keyed.pull(max_events=10)
    assert sequences(taken) == [first, other, free, also_free]
    assert [delivery.event.ordering_key for delivery in taken] == ["a", "b", "", ""]
    assert why_empty(rpc, keyed.name) == "NOTHING_NEW"
    read = get(rpc, keyed.name)
    assert read.outstanding == 4 and read.backlog > 0 and read.backlog_is_estimate
    keyed.settled("Release", taken[:1])
    again = keyed.pull_again()
    assert sequences(again) == [first] and again[0].delivery_attempt == 1
    keyed.settled("Nack", again, delay_seconds=0)
    again = keyed.pull_again()
    assert sequences(again) == [first] and again[0].delivery_attempt == 2
    keyed.settled("Ack", again)
    (taken,) = keyed.pull()
    assert taken.event.sequence == second
    keyed.settled("Nack", [taken], dead_letter=True)
    (taken,) = keyed.pull()
    assert taken.event.sequence == third
    keyed.call("RedriveDeadLetters", all=True)
    keyed.settled("Ack", [taken])
    (taken,) = keyed.pull_again()
    assert taken.event.sequence == second and taken.delivery_attempt == 1
    keyed.settled("Ack", [taken])
    assert sequences(keyed.pull()) == [fourth]


def test_a_dead_letter_may_block_its_key(rpc, keyed):
    keyed.put(after_dead_letter="AFTER_DEAD_LETTER_BLOCK")
    first, second, third = (create_keyed(rpc, "a", keyed.source) for _ in range(3))
    keyed.settled("Nack", keyed.pull(), dead_letter=True)
    assert why_empty(rpc, keyed.name) == "NOTHING_NEW"
    read = get(rpc, keyed.name)
    assert (read.outstanding, read.delayed, read.dead_letters) == (0, 0, 1)
    keyed.call("RedriveDeadLetters", all=True)
    again = keyed.pull_again()
    assert sequences(again) == [first] and again[0].delivery_attempt == 1
    keyed.settled("Ack", again)
    keyed.settled("Nack", keyed.pull(), dead_letter=True)
    assert [letter.event.sequence for letter in keyed.letters()] == [second]
    keyed.call("DeleteDeadLetters", all=True)
    assert sequences(keyed.pull()) == [third]


class KeyedWorker(Worker):
    """Notes in `log`, which it shares with others, what it gets and then acknowledges."""

    def __init__(self, core, name, ended, log):
        super().__init__(core, name, ended)
        self.log = log

    def run(self):
        with self.core.client() as rpc:
            while not self.ended.is_set():
                try:
                    taken = pull(rpc, self.name_, max_events=5, wait_ms=200)
                    self.log += [("got", d.event.ordering_key, d.event.sequence) for d in taken]
                    for delivery in taken:
                        event = delivery.event
                        self.log.append(("done", event.ordering_key, event.sequence))
                        settled(rpc, "Ack", self.name_, [delivery])
                except (RpcError, AssertionError) as failure:
                    self.failures.append(failure)


@pytest.mark.concurrent
@pytest.mark.parametrize("count", [1, 2])
def test_workers_get_each_key_in_order(start_core, new_store_url, count):
    url, ended, log, wanted = new_store_url(), threading.Event(), [], {}
    cores = [start_core(DATABASE_URL=url) for _ in range(count)]
    with cores[0].client() as rpc:
        put(rpc, "shared", ordering="ORDERING_BY_KEY")
        workers = [KeyedWorker(core, "shared", ended, log) for core in cores * (4 // count)]
        for worker in workers:
            worker.start()
        for number in range(100):
            key = f"key {number * number % 5}"
            sequence = create_keyed(rpc, key)
            wanted.setdefault(key, []).extend([("got", key, sequence), ("done", key, sequence)])
        wait_until(lambda: len(log) >= 200 and get(rpc, "shared").outstanding == 0, "all settled")
        ended.set()
    for worker in workers:
        worker.join()
        assert not worker.failures, worker.failures
    assert {key: [line for line in log if line[1] == key] for key in wanted} == wanted


def test_who_waits_gets_an_event_at_its_time(rpc, work):
    sequence, at = create_delayed(rpc, 0.5, work.source)
    (now,) = work.create()
    assert sequences(work.pull()) == [now.sequence]
    read = get(rpc, work.name)
    assert (read.outstanding, read.delayed, read.backlog) == (1, 1, 0)
    (taken,) = work.pull(wait_ms=LONG)
    assert time.time() >= at
    assert (taken.event.sequence, taken.delivery_attempt) == (sequence, 1)
    assert abs(taken.event.deliver_at.ToMicroseconds() - at * 1e6) <= 1  # at is a float
    read = get(rpc, work.name)
    assert (read.outstanding, read.delayed) == (2, 0)
    work.settled("Ack", [taken])
    assert why_empty(rpc, work.name) == "NOTHING_NEW"


def test_a_restarted_core_knows_whose_time_is_to_come(start_core, new_store_url):
    url = new_store_url()
    first = start_core(DATABASE_URL=url)
    with first.client() as rpc:
        put(rpc, "w")
        sequence, at = create_delayed(rpc, 1.5)
        assert why_empty(rpc, "w") == "NOTHING_NEW"
    first.stop()
    with start_core(DATABASE_URL=url).client() as rpc:
        assert sequences(pull(rpc, "w", wait_ms=LONG)) == [sequence]
        assert time.time() >= at


def test_one_is_created_while_others_ask_in_vain(core, rpc):
    """Who creates it is never told that there is none."""
    name, stop = "sought", threading.Event()

    def seek():
        with core.client() as other:
            while not stop.is_set():
                with contextlib.suppress(RpcError):
                    other.subscription("GetSubscription", name)

    seekers = [threading.Thread(target=seek) for _ in range(3)]
    for seeker in seekers:
        seeker.start()
    try:
        for _ in range(200):
            assert put(rpc, name).created
            rpc.subscription("DeleteSubscription", name)
    finally:
        stop.set()
        for seeker in seekers:
            seeker.join()
