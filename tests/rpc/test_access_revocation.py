"""What becomes of a key that is good no more: on every core, in calls that wait, and while the store is
away."""

import threading
import time

import pytest

from support.keyring import FOLLOWS, OPERATOR, REQUIRED, make, refused, revoke
from support.network import wait_until
from support.protocol import envelope, events, subscriptions
from support.rpc import EVENT_SERVICE, SUBSCRIPTION_SERVICE, RpcError
from support.waiting import LONG, wait_for_waiting


@pytest.fixture
def cores(start_core, new_store_url):
    """Two cores over one store."""
    url = new_store_url()
    return [start_core(DATABASE_URL=url, **REQUIRED) for _ in range(2)]


@pytest.fixture
def clients(cores):
    """A client of each, the operator's."""
    with cores[0].client(key=OPERATOR) as one, cores[1].client(key=OPERATOR) as other:
        yield one, other


def works(client):
    try:
        client.event("ListInbox")
        return True
    except RpcError as error:
        assert error.reason == "KEY_INVALID", error
        return False


class Parked:
    """A call of a client's own that waits; `answer` and `ended` when it does no more."""

    def __init__(self, client, method, request):
        self.answer = self.ended = None
        self._thread = threading.Thread(target=self._call, args=(client, method, request))
        self._thread.start()

    def _call(self, client, method, request):
        self.answer = client.call(method, request, timeout=40)
        self.ended = time.monotonic()

    def finish(self):
        self._thread.join(40)
        return self.answer


def parked(client):
    """A list and a pull of it that wait."""
    name = "parked"
    return [
        Parked(client, f"{EVENT_SERVICE}/ListEvents", events.ListEventsRequest(wait_ms=LONG)),
        Parked(client, f"{SUBSCRIPTION_SERVICE}/Pull", subscriptions.PullRequest(name=name, wait_ms=LONG)),
    ]


def test_a_change_counts_on_every_core(cores, clients):
    one, other = clients
    with cores[1].client(key=make(one, "EVENTS_READ")) as client:
        wait_until(lambda: works(client), "the new key on the other core", FOLLOWS)
        revoke(one, client.key)
        wait_until(lambda: not works(client), "its end there", FOLLOWS)
    with cores[0].client(key=make(other, "EVENTS_READ")) as client:
        wait_until(lambda: works(client), "the new key on the first core", FOLLOWS)


def test_a_core_that_changes_knows_at_once(cores, clients):
    for _ in range(20):
        with cores[0].client(key=make(clients[0], "EVENTS_READ")) as client:
            assert works(client)
            revoke(clients[0], client.key)
            assert not works(client)


def test_calls_that_wait_end_with_their_key(cores, clients):
    one, other = clients
    one.subscription("PutSubscription", "parked", start="latest")
    with cores[1].client(key=make(one)) as client, cores[1].client(key=make(one)) as stays:
        wait_until(lambda: works(client) and works(stays), "both keys", FOLLOWS)
        calls = parked(client)
        others = parked(stays)
        wait_for_waiting(other, 4)
        revoked = time.monotonic()
        revoke(one, client.key)
        for call in calls:
            answer = call.finish()
            assert answer.code == envelope.UNAUTHENTICATED and answer.details.reason == "KEY_INVALID"
            assert call.ended - revoked < FOLLOWS
        wait_for_waiting(other, 2)
        assert not any(call.ended for call in others)
        one.create()
        assert all(call.finish().code == envelope.OK for call in others)
        # What the revoked call waited for was not taken for it.
        assert other.subscription("GetSubscription", "parked").outstanding == 1


def test_a_wait_ends_when_its_key_expires(cores, clients):
    one, other = clients
    one.subscription("PutSubscription", "parked", start="latest")
    until = int(time.time()) + 3
    with cores[0].client(key=make(one, expires_at={"seconds": until})) as client:
        calls = parked(client)
        for call in calls:
            answer = call.finish()
            assert answer.code == envelope.UNAUTHENTICATED and answer.details.reason == "KEY_INVALID"
        assert until <= time.time() < until + FOLLOWS


def test_calls_of_a_suspended_tenant_end_and_are_served_again(cores, clients):
    one, other = clients
    one.access("PutTenant", name="acme")
    with cores[1].client(key=make(one, "EVENTS_READ", "EVENTS_WRITE", tenant="acme")) as client:
        wait_until(lambda: works(client), "its key", FOLLOWS)
        call = Parked(client, f"{EVENT_SERVICE}/ListEvents", events.ListEventsRequest(wait_ms=LONG))
        wait_for_waiting(other, 1)
        suspended = time.monotonic()
        one.access("SuspendTenant", name="acme")
        assert call.finish().code in (envelope.UNAUTHENTICATED, envelope.PERMISSION_DENIED)
        assert call.ended - suspended < FOLLOWS
        refused("PERMISSION_DENIED", "TENANT_SUSPENDED", client.create)
        one.access("ResumeTenant", name="acme")

        def served():
            try:
                return client.create()
            except RpcError as error:
                assert error.reason == "TENANT_SUSPENDED", error
                return None

        wait_until(served, "the tenant served again", FOLLOWS)


def test_keys_are_known_while_the_store_is_away(start_core, own_postgres):
    core = start_core(DATABASE_URL=own_postgres.create_database(), **REQUIRED)
    with core.client(key=OPERATOR) as client:
        client.create()
        own_postgres.stop()
        answer = client.call(f"{EVENT_SERVICE}/ListInbox", events.ListInboxRequest(), timeout_ms=3000)
        assert answer.code in (envelope.UNAVAILABLE, envelope.DEADLINE_EXCEEDED)
        client.key = "wrong"
        refused("UNAUTHENTICATED", "KEY_INVALID", client.create)
        own_postgres.start()


def test_before_the_keys_are_known_calls_are_told_to_wait(start_core, own_postgres):
    url = own_postgres.create_database()
    own_postgres.stop()
    core = start_core(DATABASE_URL=url, wait=False, **REQUIRED)
    core.wait_answering()
    with core.client(key=OPERATOR) as client:
        refused("UNAVAILABLE", "KEYS_NOT_READ", client.create)
        client.key = None
        refused("UNAUTHENTICATED", "KEY_MISSING", client.create)
        own_postgres.start()
        client.key = OPERATOR
        core.wait_serving()
        client.create()
