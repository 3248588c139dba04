"""How much a key, and all keys of a tenant, may do in a second, and what those are told who want more."""

import contextlib
import time

import pytest

from support.keyring import FOLLOWS, OPERATOR, REQUIRED, make, refused
from support.network import wait_until
from support.peer import connect
from support.protocol import access, envelope, events
from support.rpc import EVENT_SERVICE, RpcError, encode, fails

CORE_SETTINGS = REQUIRED
BEYOND = ("RESOURCE_EXHAUSTED", "RATE_LIMITED")


def limits(**per_second):
    return access.Limits(**{f"{what}_per_second": count for what, count in per_second.items()})


@pytest.fixture(scope="module")
def operator(core):
    with core.client(key=OPERATOR) as client:
        yield client


@pytest.fixture
def holder(core, operator):
    """holder(tenant=…, **limits): a client with a new key that has these limits."""
    clients = []

    def new(tenant="default", **per_second):
        key = make(operator, "EVENTS_WRITE", "EVENTS_READ", tenant=tenant, limits=limits(**per_second))
        clients.append(core.client(key=key))
        return clients[-1]

    yield new
    for client in clients:
        client.close()


def create_many(rpc, count, size=10):
    payload = b'{"a":"' + b"x" * (size - 8) + b'"}'
    event = events.CreateEventRequest(source="crm", event_type="lead", payload=payload)
    answer = rpc.event("BatchCreateEvents", events=[event] * count)
    assert [result.WhichOneof("outcome") for result in answer.results] == ["created"] * count, answer


def served(call, seconds):
    """How many calls were served in so many seconds, each begun when the one before had its answer."""
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            call()
            count += 1
        except RpcError as error:
            assert (error.code, error.reason) == BEYOND, error
            time.sleep(0.005)
    return count


def retry_s(error):
    return error.details.retry_delay_ms / 1000


def test_calls(holder):
    rpc = holder(calls=20)
    started = time.monotonic()
    count = served(lambda: rpc.event("ListInbox"), 2.0)
    elapsed = time.monotonic() - started
    assert 20 < count <= 20 + 20 * elapsed + 1


def test_a_connection_that_goes_on_is_read_slowly(core, operator):
    """What is refused would cost others as much as what is served."""
    key = make(operator, "EVENTS_READ", limits=limits(calls=20))
    message = encode(f"{EVENT_SERVICE}/ListInbox", b"", {"authorization": f"Bearer {key}"})

    def refused_by(peer):
        answer = envelope.Response.FromString(peer.receive()[1])
        return answer.code != envelope.OK

    with connect(core.url) as peer:
        for number in range(220):
            peer.send(message, number)
        refused = [refused_by(peer) for _ in range(30)]
        assert any(refused)
        begun = time.monotonic()
        for _ in range(10):
            peer.receive()
        assert time.monotonic() - begun > 0.15, "each of five refusals pauses for 50 ms, in which one call is earned"


def test_many_connections_that_go_on_are_read_no_more_often_than_one(core, operator):
    """1000 calls may come at once. Of 3000 more about 4 in 5 are served, 1000 a second."""
    key = make(operator, "EVENTS_READ", limits=limits(calls=1000))
    message = encode(f"{EVENT_SERVICE}/ListInbox", b"", {"authorization": f"Bearer {key}"})
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connect(core.url)) for _ in range(32)]
        begun = time.monotonic()
        for number in range(125):
            for peer in peers:
                peer.send(message, number)
        for peer in peers:
            for _ in range(125):
                peer.receive()
        assert time.monotonic() - begun > 1.5


def test_who_is_beyond_is_told_when_to_try_again(holder):
    rpc = holder(calls=2)
    error = wait_until(lambda: caught(lambda: rpc.event("ListInbox")), "a refusal")
    assert (error.code, error.reason) == BEYOND and "2 calls a second" in str(error)
    assert 0 < retry_s(error) <= 0.51
    time.sleep(retry_s(error))
    rpc.event("ListInbox")


def caught(call):
    try:
        call()
    except RpcError as error:
        return error
    return None


def test_events_are_counted_one_by_one(holder):
    rpc = holder(events=5)
    create_many(rpc, 20)  # a batch may go beyond it
    error = fails("RESOURCE_EXHAUSTED", rpc.create)
    assert error.reason == "RATE_LIMITED" and "5 events a second" in str(error)
    assert 2.5 < retry_s(error) <= 3.01
    rpc.event("ListInbox")
    time.sleep(retry_s(error))
    assert rpc.create().event_id


def test_what_is_not_valid_is_not_counted(holder):
    rpc = holder(events=1)
    for _ in range(5):
        fails("INVALID_ARGUMENT", rpc.create, source="")
    assert rpc.create().event_id


def test_bytes_of_payloads(holder):
    rpc = holder(bytes=1000)
    create_many(rpc, 1, 30_000)
    assert "bytes of payloads" in refused(*BEYOND, rpc.create)


def test_those_of_a_tenant_are_for_all_its_keys(operator, holder, store_name):
    tenant = f"limited-{store_name}"
    operator.access("PutTenant", name=tenant, limits=limits(events=3))
    first, second, other = holder(tenant), holder(tenant), holder()
    create_many(first, 30)
    assert "the tenant may have 3 events" in refused(*BEYOND, second.create)
    assert other.create().event_id
    operator.access("PutTenant", name=tenant, description="as it is")
    refused(*BEYOND, second.create)
    operator.access("PutTenant", name=tenant, limits=limits())
    wait_until(lambda: caught(second.create) is None, "the limits being gone", FOLLOWS)


def test_a_key_gives_no_more_than_it_may(core, operator):
    key = make(operator, "KEYS_MANAGE", limits=limits(calls=100))
    with core.client(key=key) as manager:
        assert "limits" in refused("PERMISSION_DENIED", "KEY_EXCEEDED", make, manager, "KEYS_MANAGE")
        more = limits(calls=101)
        refused("PERMISSION_DENIED", "KEY_EXCEEDED", make, manager, "KEYS_MANAGE", limits=more)
        assert make(manager, "KEYS_MANAGE", limits=limits(calls=100, events=1))


def test_a_key_does_not_outlive_the_one_that_made_it(core, operator):
    soon, later = int(time.time()) + 3600, int(time.time()) + 7200
    key = make(operator, "KEYS_MANAGE", expires_at={"seconds": soon})
    exceeded = ("PERMISSION_DENIED", "KEY_EXCEEDED")
    with core.client(key=key) as manager:
        for more in ({}, {"expires_at": {"seconds": later}}):
            assert "expires_at" in refused(*exceeded, make, manager, "KEYS_MANAGE", **more)
        made = make(manager, "KEYS_MANAGE", expires_at={"seconds": soon})
        own = {"tenant": "default", "key_id": made[4:16]}
        refused(*exceeded, manager.access, "RotateKey", **own, expires_at={"seconds": later})
        assert manager.access("RotateKey", **own).details.expires_at.seconds == soon


def test_a_rotated_key_has_the_same(core, operator):
    key_id = make(operator, "EVENTS_WRITE", limits=limits(events=1))[4:16]
    successor = operator.access("RotateKey", tenant="default", key_id=key_id)
    assert successor.details.limits == limits(events=1)
    with core.client(key=successor.key) as rpc:
        create_many(rpc, 30)
        refused(*BEYOND, rpc.create)


def test_calls_without_a_key_have_those_of_default(start_core, new_store_url):
    core = start_core(DATABASE_URL=new_store_url(), **{**REQUIRED, "TRIGGERS_AUTH": "optional"})
    with core.client(key=OPERATOR) as operator, core.client() as rpc:
        wait_until(lambda: caught(lambda: operator.access("GetTenant", name="default")) is None, "keys")
        operator.access("PutTenant", name="default", limits=limits(events=1))
        create_many(rpc, 30)
        refused(*BEYOND, rpc.create)


def test_cores_share_what_is_allowed(start_core, postgres):
    """Each has its part once they know of each other."""
    url = postgres.create_database()
    cores = [start_core(DATABASE_URL=url, **REQUIRED) for _ in range(2)]
    with cores[0].client(key=OPERATOR) as operator:
        key = make(operator, "EVENTS_READ", limits=limits(calls=40))
        with cores[1].client(key=key) as rpc:
            wait_until(lambda: caught(lambda: rpc.event("ListInbox")) is None, "the key there", FOLLOWS)
            wait_until(lambda: served(lambda: rpc.event("ListInbox"), 2.0) < 50, "a half of it", 30)
