"""How much a tenant may have at once: what is refused beyond it, when there is room again, and that restarts and
other cores know."""

import threading
import time

import pytest

from support.keyring import FOLLOWS, OPERATOR, REQUIRED, make, refused
from support.network import wait_until
from support.protocol import access, events, subscriptions
from support.rpc import RpcError

CORE_SETTINGS = REQUIRED
COUNTED = FOLLOWS + 10.0  # seconds within which what a tenant has is counted, on a busy machine
PENDING = ("RESOURCE_EXHAUSTED", "TOO_MANY_PENDING_EVENTS")
FULL = ("RESOURCE_EXHAUSTED", "STORAGE_FULL")


@pytest.fixture(scope="module")
def operator(core):
    with core.client(key=OPERATOR) as client:
        yield client


@pytest.fixture
def tenant(operator, store_name, request):
    """The name of a new tenant; cap(**caps) gives it these, and waits until this core knows."""
    name = f"{request.node.originalname.replace('_', '-')}-{store_name}"[:60]
    operator.access("PutTenant", name=name)
    return name


@pytest.fixture
def rpc(core, operator, tenant):
    with core.client(key=make(operator, tenant=tenant, *TENANTS_OWN)) as client:
        yield client


TENANTS_OWN = ("EVENTS_WRITE", "EVENTS_READ", "EVENTS_ACK", "SUBSCRIPTIONS_CONSUME", "SUBSCRIPTIONS_MANAGE")


def cap(operator, tenant, **caps):
    return operator.access("PutTenant", name=tenant, caps=access.Caps(**caps)).tenant


def usage(operator, tenant):
    return operator.access("GetTenant", name=tenant).usage


def caught(call, *arguments, **fields):
    try:
        call(*arguments, **fields)
    except RpcError as error:
        return error
    return None


def is_refused(reason, call, *arguments, **fields):
    error = caught(call, *arguments, **fields)
    assert error is None or (error.code, error.reason) == reason, error
    return error is not None


def create_many(rpc, count, payload=b"{}"):
    event = events.CreateEventRequest(source="crm", event_type="lead", payload=payload)
    answer = rpc.event("BatchCreateEvents", events=[event] * count)
    assert [result.WhichOneof("outcome") for result in answer.results] == ["created"] * count, answer
    return [result.created.event_id for result in answer.results]


def repeat(rpc, event_id, count, payload=b"{}"):
    """Asks for as many events, of which none is new: so nothing is created while the cap is not known yet."""
    event = events.CreateEventRequest(source="crm", event_type="lead", payload=payload, event_id=event_id)
    rpc.event("BatchCreateEvents", events=[event] * count)


def wait_until_refused(reason, call, *arguments, **fields):
    wait_until(lambda: is_refused(reason, call, *arguments, **fields), reason[1], COUNTED)


def wait_until_served(reason, call, *arguments, **fields):
    wait_until(lambda: not is_refused(reason, call, *arguments, **fields), "room", COUNTED)


def test_pending_events(operator, rpc, tenant):
    ids = create_many(rpc, 10)
    put = cap(operator, tenant, pending_events=12)
    assert put.caps == access.Caps(pending_events=12)
    wait_until_refused(PENDING, repeat, rpc, ids[0], 3)
    assert "12 pending events" in refused(*PENDING, create_many, rpc, 3)
    assert caught(create_many, rpc, 3).details.retry_delay_ms == 1000
    create_many(rpc, 2)
    refused(*PENDING, rpc.create)
    assert usage(operator, tenant).pending_events == 12
    rpc.event("AckEvent", event_id=ids[0])
    assert rpc.create().event_id  # there is room at once
    refused(*PENDING, rpc.create)
    assert rpc.event("ListInbox").events
    operator.access("PutTenant", name=tenant, description="as they are")
    refused(*PENDING, rpc.create)
    cap(operator, tenant)
    wait_until_served(PENDING, rpc.create)


def test_what_a_subscription_acknowledges_in_the_inbox_makes_room(operator, rpc, tenant):
    (first, *_) = create_many(rpc, 5)
    cap(operator, tenant, pending_events=5)
    wait_until_refused(PENDING, repeat, rpc, first, 1)
    (delivery,) = rpc.subscription("Pull", "inbox", max_events=1).deliveries
    rpc.subscription("Ack", "inbox", ack_ids=[delivery.ack_id])
    assert rpc.create().event_id
    refused(*PENDING, rpc.create)


def test_storage(operator, rpc, tenant):
    payload = b'{"a":"' + b"x" * 992 + b'"}'
    (first, *_) = create_many(rpc, 300, payload)
    assert usage(operator, tenant).storage_bytes == 300 * 1200
    cap(operator, tenant, storage_bytes=303 * 1200)
    wait_until_refused(FULL, repeat, rpc, first, 4, payload)
    (event_id, *_) = create_many(rpc, 3, payload)
    assert f"{303 * 1200} bytes" in refused(*FULL, rpc.create)
    rpc.event("AckEvent", event_id=event_id)  # which is kept
    refused(*FULL, rpc.create)
    cap(operator, tenant, storage_bytes=305 * 1200)
    wait_until_served(FULL, create_many, rpc, 1, payload)


def test_a_batch_beyond_the_cap_never_has_room(operator, rpc, tenant):
    (first,) = create_many(rpc, 1)
    cap(operator, tenant, pending_events=5)
    wait_until_refused(PENDING, repeat, rpc, first, 6)
    rpc.event("AckEvent", event_id=first)
    refused(*PENDING, create_many, rpc, 6)
    create_many(rpc, 5)


def test_subscriptions(operator, rpc, tenant):
    rpc.create()
    rpc.subscription("Pull", "inbox")  # which counts for nothing
    rpc.subscription("PutSubscription", "first")
    cap(operator, tenant, subscriptions=2)
    rpc.subscription("PutSubscription", "second")
    full = ("RESOURCE_EXHAUSTED", "TOO_MANY_SUBSCRIPTIONS")
    assert "2 subscriptions" in refused(*full, rpc.subscription, "PutSubscription", "third")
    rpc.subscription("PutSubscription", "second", paused=True)
    assert usage(operator, tenant).subscriptions == 2
    rpc.subscription("DeleteSubscription", "first")
    rpc.subscription("PutSubscription", "third")


def test_waiting_calls(core, operator, rpc, tenant):
    cap(operator, tenant, waiting_calls=1)
    waited = []
    waiters = ("RESOURCE_EXHAUSTED", "TOO_MANY_WAITERS")

    def wait():
        with core.client(key=make(operator, *TENANTS_OWN, tenant=tenant)) as other:
            while is_refused(waiters, wait_with, other):  # the other's pull waits just now
                pass

    def wait_with(other):
        waited.append(other.event("ListEvents", wait_ms=20000))

    def pull(wait_ms=1):
        return rpc.subscription("Pull", "inbox", wait_ms=wait_ms)

    pull()
    waiter = threading.Thread(target=wait)
    waiter.start()
    wait_until_refused(waiters, pull)
    assert caught(pull).details.retry_delay_ms == 1000
    refused(*waiters, rpc.event, "ListEvents", wait_ms=1)
    assert not rpc.event("ListEvents").events
    rpc.create()
    waiter.join()
    assert len(waited[0].events) == 1
    rpc.event("ListEvents", after_sequence=1, wait_ms=1)


def test_outstanding(operator, rpc, tenant):
    for name in ("one", "other"):
        rpc.subscription("PutSubscription", name)
    create_many(rpc, 10)
    cap(operator, tenant, outstanding=7)
    one = rpc.subscription("Pull", "one", max_events=5).deliveries
    other = rpc.subscription("Pull", "other", max_events=5).deliveries
    assert (len(one), len(other)) == (5, 2)
    empty = rpc.subscription("Pull", "other", max_events=5)
    assert empty.empty_because == subscriptions.EMPTY_BECAUSE_MAX_OUTSTANDING
    timer = threading.Timer(0.5, settle, (rpc, "one", one[:3]))
    timer.start()
    started = time.monotonic()
    more = rpc.subscription("Pull", "other", max_events=5, wait_ms=15000).deliveries
    assert 0.4 < time.monotonic() - started < 10 and 1 <= len(more) <= 3
    timer.join()
    cap(operator, tenant)
    assert rpc.subscription("Pull", "one", max_events=5).deliveries


def settle(rpc, name, deliveries):
    rpc.subscription("Ack", name, ack_ids=[delivery.ack_id for delivery in deliveries])


def test_other_tenants_have_their_own(core, operator, rpc, tenant):
    """Whoever is at the cap, another tenant is not."""
    (first, *_) = create_many(rpc, 3)
    cap(operator, tenant, pending_events=3)
    wait_until_refused(PENDING, repeat, rpc, first, 1)
    with core.client(key=make(operator, "EVENTS_WRITE")) as default:
        create_many(default, 20)
    assert usage(operator, tenant).pending_events == 3


def test_after_a_restart_it_counts_what_there_was(start_core, new_store_url):
    url = new_store_url()
    core = start_core(DATABASE_URL=url, **REQUIRED)
    with core.client(key=OPERATOR) as operator:
        wait_until(lambda: caught(usage, operator, "default") is None, "keys", COUNTED)
        key = make(operator, "EVENTS_WRITE")
        with core.client(key=key) as rpc:
            (first, *_) = create_many(rpc, 700)
        cap(operator, "default", pending_events=700, storage_bytes=10_000_000)
    core.stop()
    core = start_core(DATABASE_URL=url, **REQUIRED)
    with core.client(key=key) as rpc:
        wait_until_refused(PENDING, repeat, rpc, first, 1)


def test_cores_know_what_others_write(start_core, postgres):
    """The other's events count within a moment of their commit, its acknowledgements when it is counted again."""
    url = postgres.create_database()
    cores = [start_core(DATABASE_URL=url, **REQUIRED) for _ in range(2)]
    with cores[0].client(key=OPERATOR) as operator:
        key = make(operator, *TENANTS_OWN)
        cap(operator, "default", pending_events=100)
        with cores[0].client(key=key) as one, cores[1].client(key=key) as other:
            wait_until(lambda: caught(other.event, "ListInbox") is None, "the key there", COUNTED)
            ids = create_many(one, 1)
            for each in (one, other):
                wait_until_refused(PENDING, repeat, each, ids[0], 100)
            ids += create_many(other, 94)
            wait_until_refused(PENDING, repeat, one, ids[0], 6)
            one.event("BatchAckEvents", event_ids=ids)
            create_many(one, 100)
            refused(*PENDING, one.create)
            wait_until_refused(PENDING, repeat, other, ids[0], 1)
