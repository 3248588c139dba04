"""Many calls at once and clients that die with calls in flight."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.network import wait_until
from support.peer import connect
from support.protocol import envelope, events
from support.rpc import EVENT_SERVICE, encode
from support.typeid import new_event_id

pytestmark = pytest.mark.concurrent


def create_message(event_id="", payload=b"{}"):
    request = events.CreateEventRequest(
        event_id=event_id, source="crm", event_type="lead", payload=payload
    )
    return encode(f"{EVENT_SERVICE}/CreateEvent", request)


def pending_count(rpc):
    count, token = 0, ""
    while True:
        page = rpc.event("ListInbox", page_size=1000, page_token=token, timeout=60.0)
        count += len(page.events)
        token = page.next_page_token
        if not token:
            return count


def test_many_calls_at_once_on_one_connection(rpc):
    before = pending_count(rpc)
    replies = list(rpc.start([create_message()] * 500))
    assert [reply.code for reply in replies] == [envelope.OK] * 500
    ids = {events.CreateEventResponse.FromString(reply.body).event_id for reply in replies}
    assert len(ids) == 500
    assert pending_count(rpc) == before + 500


def test_mixed_work_from_many_connections(core):
    """Creates, gets, lists and acks of eight clients; each sees its own writes at once."""

    def work(number):
        with core.client() as rpc:
            for round_ in range(15):
                payload = b'{"c":%d,"r":%d}' % (number, round_)
                event_id = rpc.create(f"client{number}", "mixed", payload).event_id
                event = rpc.event("GetEvent", event_id=event_id).event
                assert event.payload == payload
                assert rpc.event("ListInbox", page_size=5).events
                acked = rpc.event("AckEvent", event_id=event_id)
                event = rpc.event("GetEvent", event_id=event_id).event
                assert event.acknowledged_at == acked.acknowledged_at
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))


def test_racing_creates_of_one_id_store_it_once(core):
    """Same id, two contents, many senders: one content wins and every answer agrees with it."""
    event_id = new_event_id()
    barrier = threading.Barrier(8)

    def send(number):
        payload = b'{"v":%d}' % (number % 2)
        with core.client() as rpc:
            rpc.health()
            barrier.wait(30)
            reply = rpc.raw(create_message(event_id, payload))
        return payload, envelope.Response.FromString(reply)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    with core.client() as rpc:
        stored = rpc.event("GetEvent", event_id=event_id).event
    for payload, reply in answers:
        expected = envelope.OK if payload == stored.payload else envelope.ALREADY_EXISTS
        assert reply.code == expected
        if reply.code == envelope.OK:
            created = events.CreateEventResponse.FromString(reply.body)
            assert created.created_at == stored.created_at


def test_racing_acks_agree_on_the_time(core, rpc):
    event_id = rpc.create().event_id
    barrier = threading.Barrier(8)

    def ack(_):
        with core.client() as client:
            client.health()
            barrier.wait(30)
            return client.event("AckEvent", event_id=event_id).acknowledged_at

    with ThreadPoolExecutor(8) as pool:
        times = list(pool.map(ack, range(8)))
    assert times == [times[0]] * 8


def test_clients_killed_with_calls_in_flight(core, rpc):
    """Thirty peers send twenty requests each and die without reading a byte."""
    assert rpc.serving()
    before = core.connections()
    for _ in range(30):
        peer = connect(core.url)
        for number in range(20):
            peer.send(create_message(), number)
        peer.die()
    assert rpc.serving()
    assert rpc.create().event_id
    wait_until(lambda: core.connections() <= before, "connections back where they were")


def test_a_flood_is_answered_or_refused_but_never_dropped(core):
    """More calls than the core holds at once: each gets OK or RESOURCE_EXHAUSTED."""
    with core.client() as rpc:
        replies = list(rpc.start([create_message()] * 3000, timeout=90.0))
    codes = {envelope.Code.Name(reply.code) for reply in replies}
    assert codes <= {"OK", "RESOURCE_EXHAUSTED"} and "OK" in codes


def test_stop_answers_the_calls_in_hand(start_core, new_store_url):
    """SIGTERM with hundreds of calls in flight: each is answered, and what was OK is stored."""
    url = new_store_url()
    first = start_core(DATABASE_URL=url)
    with first.client() as rpc:
        assert rpc.serving()
        replies = rpc.start([create_message()] * 300)
        oldest = next(replies)
        first.terminate()
        stored = [events.CreateEventResponse.FromString(oldest.body).event_id]
        for reply in replies:
            assert reply.code in (envelope.OK, envelope.UNAVAILABLE)
            if reply.code == envelope.OK:
                stored.append(events.CreateEventResponse.FromString(reply.body).event_id)
    first.stop()
    second = start_core(DATABASE_URL=url)
    with second.client() as rpc:
        for event_id in stored:
            assert rpc.event("GetEvent", event_id=event_id).event.event_id == event_id
