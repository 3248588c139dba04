"""ListEvents with wait_ms: who wakes whom, with what, and what ends a wait. Waiting is seen in the core's
metric, not slept for."""

import threading
import time

import pytest

from support.network import wait_until
from support.peer import connect
from support.protocol import envelope, events
from support.rpc import EVENT_SERVICE, encode, fails
from support.waiting import (
    ANSWERED,
    LONG,
    SECOND,
    WAITING,
    Waiting,
    answer,
    delay_to_other,
    metrics_of,
    request,
    sequences,
    wait_for_waiting,
    waiting,
)


@pytest.fixture
def core(start_core, new_store_url):
    return start_core(DATABASE_URL=new_store_url())


@pytest.fixture
def rpc(core):
    with core.client() as client:
        yield client


def test_a_create_wakes_who_waits(rpc):
    calls = Waiting(rpc, request(), request(after=0, page_size=1), request(after=1))
    wait_for_waiting(rpc, 3)
    assert rpc.create().sequence == 1
    wait_until(lambda: calls.answers[1], "the first two answered")  # woken, they have yet to read
    assert waiting(rpc) == 1
    assert rpc.create("crm", "second").sequence == 2
    first, small, second = calls.finish()
    assert sequences(first) == sequences(small) == [1] and answer(first).next_after == 1
    assert sequences(second) == [2] and answer(second).next_after == 2
    wait_for_waiting(rpc, 0)


def test_what_is_there_is_answered_at_once(rpc):
    rpc.create()
    started = time.monotonic()
    assert [event.sequence for event in rpc.event("ListEvents", wait_ms=LONG).events] == [1]
    assert time.monotonic() - started < LONG / 2000


def test_a_wake_up_is_quick(rpc, core):
    """Not by the look of every second: the middle of many."""
    delays = []
    with core.client() as other:
        for number in range(20):
            call = Waiting(rpc, request(after=number))
            wait_for_waiting(other, 1)
            sent = time.monotonic()
            other.create()
            call.finish()
            delays.append(call.started + call.times[0] - sent)
    assert sorted(delays)[10] < SECOND / 10, delays


@pytest.mark.parametrize("wait_ms", [1, 300])
def test_time_is_over(rpc, wait_ms):
    rpc.create()
    started = time.monotonic()
    page = rpc.event("ListEvents", after_sequence=1, wait_ms=wait_ms)
    assert not page.events and page.next_after == 1 and page.first_sequence == 1
    assert wait_ms / 1000 <= time.monotonic() - started < LONG / 2000


@pytest.mark.parametrize("timeout_ms", [400, 3000])
def test_it_is_answered_before_the_deadline(rpc, timeout_ms):
    [response] = Waiting(rpc, request(after=7, timeout_ms=timeout_ms)).finish()
    assert response.code == envelope.OK and answer(response).next_after == 7


def test_no_wait_is_longer_than_20_seconds(rpc):
    started = time.monotonic()
    assert rpc.event("ListEvents", wait_ms=2**32 - 1, timeout=40.0).next_after == 0
    assert 20 <= time.monotonic() - started < 25


def test_only_what_passes_the_filter_wakes(rpc):
    calls = Waiting(
        rpc,
        request(sources=["erp"]),
        request(types=["order.*"]),
        request(sources=["erp", "crm"], types=["lead"]),
        request(sources=["er*"], types=["none"], wait_ms=3000),
    )
    wait_for_waiting(rpc, 4)
    rpc.create("web", "click")
    rpc.create("web", "order.new")
    wait_for_waiting(rpc, 3)
    rpc.create("erp", "stock")
    wait_for_waiting(rpc, 2)
    rpc.create("crm", "lead")
    by_source, by_type, by_both, by_none = calls.finish()
    assert [sequences(by_source), sequences(by_type), sequences(by_both)] == [[3], [2], [4]]
    # It need not read again what it was seen not to wait for.
    assert sequences(by_none) == [] and answer(by_none).next_after == 4


def test_a_filter_of_times(rpc):
    late = events.EventFilter()
    late.from_time.FromSeconds(4102444800)  # 2100
    message = encode(
        f"{EVENT_SERVICE}/ListEvents", events.ListEventsRequest(filter=late, wait_ms=1500)
    )
    call = Waiting(rpc, message)
    wait_for_waiting(rpc, 1)
    rpc.create()
    assert sequences(call.finish()[0]) == []


def test_a_position_after_the_end_waits_for_what_comes_after_it(rpc):
    call = Waiting(rpc, request(after=2))
    wait_for_waiting(rpc, 1)
    for _ in range(2):
        rpc.create()
    assert waiting(rpc) == 1
    rpc.create()
    assert sequences(call.finish()[0]) == [3]


def test_acks_and_repeated_creates_wake_nobody(rpc):
    event_id = rpc.create().event_id
    call = Waiting(rpc, request(after=1, wait_ms=1500))
    wait_for_waiting(rpc, 1)
    rpc.create(event_id=event_id)
    rpc.event("AckEvent", event_id=event_id)
    assert sequences(call.finish()[0]) == [] and call.times[0] >= 1.5


def test_batches_come_whole(rpc):
    call = Waiting(rpc, request())
    wait_for_waiting(rpc, 1)
    items = [events.CreateEventRequest(source="crm", event_type="lead", payload=b"{}")] * 100
    rpc.event("BatchCreateEvents", events=items)
    found = sequences(call.finish()[0])
    assert found == list(range(1, len(found) + 1)) and len(found) == 50  # a page


def test_bad_requests_do_not_wait(rpc):
    wrong = events.EventFilter(sources=["a*b"])
    fails("INVALID_ARGUMENT", rpc.event, "ListEvents", wait_ms=LONG, filter=wrong)
    fails("INVALID_ARGUMENT", rpc.event, "ListEvents", wait_ms=LONG, after_sequence=-1)
    assert waiting(rpc) == 0


@pytest.mark.concurrent
def test_who_has_gone_waits_no_longer(core, rpc):
    peers = [connect(core.url, 20) for _ in range(3)]
    for peer in peers:
        peer.send(request(after=5))
        peer.send(request(), 2)
    wait_for_waiting(rpc, 6)
    peers[0].close()
    peers[1].die()
    wait_for_waiting(rpc, 2)
    rpc.create()
    number, reply = peers[2].receive()
    assert number == 2 and sequences(envelope.Response.FromString(reply)) == [1]
    peers[2].close()
    wait_for_waiting(rpc, 0)


@pytest.mark.concurrent
def test_a_stop_ends_waits_with_an_answer(core, rpc):
    rpc.create()
    calls = Waiting(rpc, *[request(after=1)] * 20)
    wait_for_waiting(rpc, 20)
    core.stop()
    for response in calls.finish():
        assert response.code == envelope.OK, response
        assert sequences(response) == [] and answer(response).next_after == 1


@pytest.mark.concurrent
def test_many_wait_for_one_event(rpc):
    """More than read at the same time, and than the lane of lists holds; nobody is refused."""
    calls = []
    for _ in range(10):
        calls.append(Waiting(rpc, *[request()] * 50))
        wait_for_waiting(rpc, 50 * len(calls))
    rpc.create()
    for call in calls:
        assert [sequences(response) for response in call.finish()] == [[1]] * 50


def test_too_many_wait(start_core, new_store_url):
    """10,000 wait at the same time, and one more is told so; it may still read."""
    most, step = 10000, 100
    core = start_core(DATABASE_URL=new_store_url(), TRIGGERS_MAX_MEMORY=1 << 30, LOG_LEVEL="info")
    with core.client() as rpc:
        peers = [connect(core.url, 60) for _ in range(step)]
        for round in range(most // step):
            for peer in peers:
                peer.send(request(), round + 1)
            wait_for_waiting(rpc, step * (round + 1))
        error = fails("RESOURCE_EXHAUSTED", rpc.event, "ListEvents", wait_ms=LONG)
        assert error.reason == "TOO_MANY_WAITERS" and error.details.retry_delay_ms > 0
        assert rpc.event("ListEvents").next_after == 0
        for peer in peers[1:]:
            peer.close()
        wait_for_waiting(rpc, most // step)
        rpc.create()
        for _ in range(most // step):
            assert sequences(envelope.Response.FromString(peers[0].receive()[1])) == [1]
        peers[0].close()


def test_who_waits_leaves_memory_to_others(start_core, new_store_url):
    """With the default memory fewer than 10,000 may wait, and not all of them over one connection; whoever
    does not wait is served as before."""
    core = start_core(DATABASE_URL=new_store_url(), LOG_LEVEL="info")
    with core.client() as rpc, connect(core.url, 60) as one, connect(core.url, 60) as other:
        refused = {"method": "ListEvents", "code": "RESOURCE_EXHAUSTED"}
        for peer in (one, other):
            before = metrics_of(rpc)
            number, allowed = 0, before.value(WAITING)
            while metrics_of(rpc).value(ANSWERED, **refused) == before.value(ANSWERED, **refused):
                assert number < 10000
                for _ in range(100):
                    number += 1
                    peer.send(request(), number)
                wait_until(
                    lambda: metrics_of(rpc).value(WAITING)  # noqa: B023
                    + metrics_of(rpc).value(ANSWERED, **refused)
                    == number + allowed + before.value(ANSWERED, **refused),  # noqa: B023
                    "all waiting or refused",
                )
            assert waiting(rpc) - allowed > 500
            response = envelope.Response.FromString(peer.receive()[1])
            assert response.details.reason == "TOO_MANY_WAITERS", response
        assert rpc.event("ListEvents").next_after == 0
        for _ in range(20):
            assert rpc.create("web").event_id
        wait_until(lambda: waiting(rpc) == 0, "all woken")


class Creates(threading.Thread):
    """Creates as fast as it can, from several connections, until `stop`."""

    def __init__(self, core):
        super().__init__()
        self.core = core
        self.ended = threading.Event()
        self.count = 0

    def run(self):
        with self.core.client() as rpc:
            while not self.ended.is_set():
                rpc.create(f"source{self.count % 7}")
                self.count += 1

    def stop(self):
        self.ended.set()
        self.join()


def follow(rpc, until, **fields):
    """Reads along until the log has reached `until`; returns the sequences."""
    found, after = [], 0
    while after < until():
        page = rpc.event("ListEvents", after_sequence=after, wait_ms=5000, **fields)
        found += [event.sequence for event in page.events]
        after = page.next_after
    return found


@pytest.mark.concurrent
def test_followers_miss_nothing_while_events_come(core, rpc):
    creates = [Creates(core) for _ in range(3)]
    total = lambda: 600  # noqa: E731
    for create in creates:
        create.start()
    with core.client() as second:
        results = {}
        few = events.EventFilter(sources=["source3"])
        thread = threading.Thread(
            target=lambda: results.update(few=follow(second, total, filter=few))
        )
        thread.start()
        results["all"] = follow(rpc, total)
        thread.join()
    for create in creates:
        create.stop()
    assert results["all"] == list(range(1, len(results["all"]) + 1))
    page = rpc.event("ListEvents", filter=few, page_size=1000)
    expected = [event.sequence for event in page.events][: len(results["few"])]
    assert results["few"] == expected and expected


# ---- several cores on one store ----


@pytest.fixture
def two(start_core, new_store_url):
    """Two cores on one store; clients of both."""
    url = new_store_url()
    cores = [start_core(DATABASE_URL=url) for _ in range(2)]
    with cores[0].client() as one, cores[1].client() as other:
        yield one, other


@pytest.mark.concurrent
def test_an_event_of_another_core_wakes(two, store_name):
    one, other = two
    delays = [delay_to_other(one, other, number) for number in range(10)]
    if store_name == "postgresql":
        assert sorted(delays)[5] < SECOND / 5, delays
    assert max(delays) < 3 * SECOND, delays


def test_only_whom_an_event_of_another_core_concerns(two):
    one, other = two
    calls = Waiting(other, request(sources=["crm"]), request(sources=["erp"], wait_ms=4000))
    wait_for_waiting(other, 2)
    one.create("crm")
    wait_for_waiting(other, 1)
    first, second = calls.finish()
    assert sequences(first) == [1]
    assert sequences(second) == [] and answer(second).next_after <= 1
