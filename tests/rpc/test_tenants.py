"""Two tenants in one core. Each call of one of them is tried with every id, cursor, key and name of the
other: it is answered as one that nobody has ever had, and nothing changes for the other. A tenant that
is deleted under load; and what runs by itself does so for each tenant."""

import contextlib
import itertools
import sqlite3
import threading
import time

import pynng
import pytest

from support.keys import make_key
from support.network import wait_until
from support.protocol import events, subscriptions
from support.rpc import (
    EVENT_SERVICE,
    SUBSCRIPTION_SERVICE,
    RpcError,
    encode,
    fails,
)
from support.typeid import new_event_id
from support.waiting import LONG, Waiting, wait_for_waiting

OPERATOR = make_key()
CORE_SETTINGS = {"TRIGGERS_AUTH": "required", "TRIGGERS_OPERATOR_KEY": OPERATOR}
BLOCK = 256
SCOPES = range(2, 8)  # all but those of the tenant default
NAMES = itertools.count()
WORK = "work"  # the subscription that both have
GONE = 120  # seconds until a small deleted tenant is gone: a minute in which calls may still write


@pytest.fixture(scope="module")
def operator(core):
    with core.client(key=OPERATOR) as client:
        yield client


def make_tenant(operator, name=None, **fields):
    name = name or f"tenant-{next(NAMES)}"
    assert operator.access("PutTenant", name=name, **fields).created
    return name


def make_tenants_key(operator, tenant):
    return operator.access("CreateKey", tenant=tenant, name="test", scopes=SCOPES).key


def fill(rpc, count, source="crm", payload=b"{}"):
    """Creates events; returns their ids."""
    ids = []
    while len(ids) < count:
        item = events.CreateEventRequest(source=source, event_type="lead", payload=payload)
        results = rpc.event(
            "BatchCreateEvents", events=[item] * min(count - len(ids), 1000)
        ).results
        ids += [result.created.event_id for result in results]
    return ids


# ---- each call, with what is the other's ----


class Tenant:
    """A tenant with something of each kind; what it has is kept in attributes."""

    def __init__(self, core, operator, stack, own):
        self.own = own  # a word in all that is its own
        self.name = make_tenant(operator)
        self.key = make_tenants_key(operator, self.name)
        self.rpc = stack.enter_context(core.client(key=self.key))
        self.subscription = f"{own}.own"
        self.pull_id = new_event_id().replace("evt", "pull")
        rpc = self.rpc
        payload = f'{{"of":"{own}"}}'.encode()
        for name in (WORK, self.subscription, f"{own}.more"):
            rpc.subscription("PutSubscription", name, start="earliest", lease_seconds=3600)
        self.ids = [
            rpc.create(f"{own}-source", f"{own}.type.{i}", payload).event_id for i in range(12)
        ]
        rpc.event(
            "CreateEvent",
            source="shared",
            event_type="keyed",
            payload=payload,
            idempotency_key="k",
        )
        rpc.event("AckEvent", event_id=self.ids[0])
        self.erased = self.ids[1]
        rpc.event("EraseEvent", event_id=self.erased)
        self.ack_ids = [
            delivery.ack_id
            for delivery in rpc.subscription(
                "Pull", WORK, max_events=4, pull_id=self.pull_id
            ).deliveries
        ]
        own_ids = [
            delivery.ack_id
            for delivery in rpc.subscription("Pull", self.subscription, max_events=4).deliveries
        ]
        rpc.subscription(
            "Nack", self.subscription, ack_ids=own_ids[:3], dead_letter=True, reason=own
        )
        self.ack_ids += own_ids[3:]
        self.dead = self.ids[:3]
        self.inbox_token = rpc.event("ListInbox", page_size=2).next_page_token
        self.kinds_token = rpc.event("ListKinds", page_size=2).next_page_token
        self.list_token = self.list(page_size=2).next_page_token
        letters = rpc.subscription("ListDeadLetters", self.subscription, page_size=1)
        self.letters_token = letters.next_page_token
        assert len(self.ack_ids) == 5 and self.inbox_token and self.kinds_token
        assert self.list_token and self.letters_token

    def call(self, method, **fields):
        """The answer of a method of any service, or its RpcError."""
        is_event = hasattr(events, method + "Request")
        module = events if is_event else subscriptions
        asked = getattr(module, method + "Request")(**fields)
        service = EVENT_SERVICE if is_event else SUBSCRIPTION_SERVICE
        response = self.rpc.call(f"{service}/{method}", asked)
        if response.code != 0:
            return RpcError(response)
        return getattr(module, method + "Response").FromString(response.body)

    def list(self, **fields):
        return self.call("ListSubscriptions", **fields)

    def picture(self):
        """All that it can see, as text."""
        log, after = [], 0
        while True:
            page = self.call("ListEvents", after_sequence=after)
            log += page.events
            if page.next_after == after:
                break
            after = page.next_after
        seen = [
            log,
            self.call("ListInbox"),
            self.call("ListInbox", status=2),
            self.call("ListKinds"),
        ]
        for subscription in self.list().subscriptions:
            seen += [subscription, self.call("GetSubscription", name=subscription.name)]
            seen += [self.call("ListDeadLetters", name=subscription.name)]
        return str(seen)


@pytest.fixture
def pair(core, operator):
    """Two tenants with the same and with other names: who tries, and whose things are tried."""
    with contextlib.ExitStack() as stack:
        yield Tenant(core, operator, stack, "ant"), Tenant(core, operator, stack, "bee")


def text_of(answer, *things):
    """An answer without what the call itself named, and what differs by chance."""
    if isinstance(answer, RpcError):
        text = f"{answer.code} {answer.reason} {answer.response.message} {answer.fields}"
    else:
        text = str(answer)
    for thing in things:
        text = text.replace(thing, "THING")
    return text


class Attack:
    """Calls of `ant` with what is bee's. Each has to be answered as with what nobody has."""

    def __init__(self, ant, bee):
        self.ant, self.bee = ant, bee
        self.tried = set()

    def same(self, method, expected, theirs, nobodys, **fields):
        """`theirs` and `nobodys` are the fields that differ, text or list. `expected`: in the answer."""
        self.tried.add(method)
        answers = []
        for different in (theirs, nobodys):
            things = [
                thing
                for value in different.values()
                for thing in (value if isinstance(value, list) else [value])
            ]
            answers.append(text_of(self.ant.call(method, **fields, **different), *things))
        assert answers[0] == answers[1], f"{method} tells what is another's"
        assert expected in answers[0], answers[0]
        assert self.bee.own not in answers[0]

    def own_only(self, method, **fields):
        """A call that a cursor of bee's leads to somewhere in the caller's own."""
        self.tried.add(method)
        text = text_of(self.ant.call(method, **fields))
        assert self.bee.own not in text, f"{method} shows what is another's"


def foreign_ack_id(ack_id):
    """One that is as good as the other's, but nobody's: with another authenticator."""
    last = "0" if ack_id[-1] != "0" else "1"
    return ack_id[:-1] + last


NOBODY = "evt_01h00000000000000000000000"
NOBODYS = [f"evt_01h0000000000000000000000{i}" for i in range(10)]


def attack_events(attack, ant, bee):
    for event_id in (bee.ids[0], bee.ids[5], bee.erased):
        theirs, nobodys = {"event_id": event_id}, {"event_id": NOBODY}
        for method in ("GetEvent", "AckEvent", "EraseEvent"):
            attack.same(method, "NOT_FOUND", theirs, nobodys)
    attack.same(
        "BatchAckEvents",
        "NOT_FOUND",
        {"event_ids": bee.ids[:4]},
        {"event_ids": NOBODYS[:4]},
    )
    attack.own_only("ListInbox", page_token=bee.inbox_token)
    attack.own_only("ListInbox", filter={"sources": [f"{bee.own}-source"]})
    attack.own_only("ListInbox", status=2)
    attack.own_only("ListKinds", page_token=bee.kinds_token)
    for after in range(0, 14, 3):
        attack.own_only("ListEvents", after_sequence=after)
    assert not ant.call("ListEvents", filter={"sources": [f"{bee.own}-*"]}).events
    # What the other has is free here: an id, and a key of the same source.
    made = ant.call(
        "CreateEvent", event_id=bee.ids[5], source="mine", event_type="t", payload=b"{}"
    )
    assert made.event_id == bee.ids[5]
    assert ant.call("GetEvent", event_id=bee.ids[5]).event.source == "mine"
    items = [
        {
            "source": "shared",
            "event_type": "keyed",
            "payload": b'{"of":"ant"}',
            "idempotency_key": "k",
        }
    ]
    first = ant.call("BatchCreateEvents", events=items).results[0].created
    assert first.sequence == 13, "it is the first one's of this tenant"
    attack.tried |= {"CreateEvent", "BatchCreateEvents"}


def attack_subscriptions(attack, ant, bee):
    theirs, nobodys = {"name": bee.subscription}, {"name": "nobodys.own"}
    for method, fields in {
        "GetSubscription": {},
        "DeleteSubscription": {},
        "Pull": {"max_events": 5},
        "Ack": {"ack_ids": bee.ack_ids},
        "Nack": {"ack_ids": bee.ack_ids},
        "Extend": {"ack_ids": bee.ack_ids, "lease_seconds": 60},
        "Release": {"pull_id": bee.pull_id},
        "Seek": {"to": "latest"},
        "ListDeadLetters": {},
        "RedriveDeadLetters": {"all": True},
        "DeleteDeadLetters": {"all": True},
    }.items():
        attack.same(method, "NOT_FOUND", theirs, nobodys, **fields)
    # The same name is another subscription here.
    for ack_id in bee.ack_ids:
        altered = foreign_ack_id(ack_id)
        for method, fields in {
            "Ack": {},
            "Nack": {"dead_letter": True},
            "Extend": {"lease_seconds": 60},
        }.items():
            attack.same(
                method,
                "ACK_ID",
                {"ack_ids": [ack_id]},
                {"ack_ids": [altered]},
                name=WORK,
                **fields,
            )
        attack.same("Release", "", {"ack_ids": [ack_id]}, {"ack_ids": [altered]}, name=WORK)
    attack.same("Release", "", {"pull_id": bee.pull_id}, {"pull_id": "pull_0"}, name=WORK)
    again = ant.call("Pull", name=WORK, max_events=4, pull_id=bee.pull_id)
    assert all(bee.own not in str(delivery) for delivery in again.deliveries)
    dead, none = {"event_ids": bee.dead}, {"event_ids": NOBODYS[:3]}
    for method in ("RedriveDeadLetters", "DeleteDeadLetters"):
        attack.same(method, "", dead, none, name=ant.subscription)
    attack.own_only("ListDeadLetters", name=ant.subscription, page_token=bee.letters_token)
    attack.own_only("ListSubscriptions", page_token=bee.list_token)
    attack.own_only("ListSubscriptions")
    put = ant.call("PutSubscription", name=bee.subscription, start="earliest")
    assert put.created
    pulled = ant.call("Pull", name=bee.subscription, max_events=100).deliveries
    assert pulled and all(bee.own not in delivery.event.source for delivery in pulled)
    attack.tried |= {"PutSubscription"}


def test_nothing_is_learned_of_another_nor_changed(pair):
    ant, bee = pair
    before = bee.picture()
    attack = Attack(ant, bee)
    attack_events(attack, ant, bee)
    attack_subscriptions(attack, ant, bee)
    assert bee.picture() == before
    everything = {
        method.name
        for module in (events, subscriptions)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert attack.tried == everything
    # What bee holds is still its own to settle.
    results = bee.call("Ack", name=WORK, ack_ids=bee.ack_ids[:4]).results
    assert len(results) == 4 and not any(result.HasField("error") for result in results)


def test_a_key_manages_only_its_own_tenant(pair):
    ant, bee = pair
    key_id = bee.rpc.access("ListKeys", tenant=bee.name).keys[0].key_id
    answers = {}
    for tenant in (bee.name, "nobodys"):
        answers[tenant] = [
            text_of(
                fails("NOT_FOUND", ant.rpc.access, method, tenant=tenant, **fields),
                tenant,
            )
            for method, fields in {
                "CreateKey": {"name": "mine", "scopes": [1]},
                "GetKey": {"key_id": key_id},
                "ListKeys": {},
                "RotateKey": {"key_id": key_id},
                "RevokeKey": {"key_id": key_id},
            }.items()
        ]
    assert answers[bee.name] == answers["nobodys"]
    for method in ("GetKey", "RotateKey", "RevokeKey"):
        fails("NOT_FOUND", ant.rpc.access, method, tenant=ant.name, key_id=key_id)
    for method in (
        "PutTenant",
        "GetTenant",
        "SuspendTenant",
        "ResumeTenant",
        "DeleteTenant",
    ):
        fails("PERMISSION_DENIED", ant.rpc.access, method, name=bee.name)
    assert bee.call("ListInbox").events


def test_one_that_waits_is_not_woken_by_another(pair, operator):
    ant, bee = pair
    end = ant.call("ListEvents", page_size=1000).next_after
    message = encode(
        f"{EVENT_SERVICE}/ListEvents",
        events.ListEventsRequest(after_sequence=end, wait_ms=LONG),
        {"authorization": f"Bearer {ant.key}"},
    )
    call = Waiting(ant.rpc, message)
    wait_for_waiting(operator, 1)
    bee.rpc.create("bee-source")
    ant.rpc.create("ant-source")
    answer = events.ListEventsResponse.FromString(call.finish()[0].body)
    assert [event.source for event in answer.events] == ["ant-source"]


# ---- deletion ----


class Load:
    """Threads that create, read and pull as a tenant until they are refused."""

    def __init__(self, core, key, stack):
        self.refusals = []
        self.created = 0
        self.stopping = False
        self._threads = [
            threading.Thread(
                target=self._run, args=(stack.enter_context(core.client(key=key)), step)
            )
            for step in (self._create, self._create, self._pull, self._wait)
        ]
        for thread in self._threads:
            thread.start()

    def _create(self, rpc):
        fill(rpc, 20)
        self.created += 20

    def _pull(self, rpc):
        pulled = rpc.subscription("Pull", WORK, max_events=5, wait_ms=LONG).deliveries
        rpc.subscription("Ack", WORK, ack_ids=[delivery.ack_id for delivery in pulled[:2]])

    def _wait(self, rpc):
        end = rpc.event("ListEvents", after_sequence=0, page_size=1000)
        rpc.event(
            "ListEvents",
            after_sequence=end.next_after,
            wait_ms=LONG,
            filter={"sources": ["never"]},
        )

    def _run(self, rpc, step):
        while not self.stopping:
            try:
                step(rpc)
            except (RpcError, pynng.NNGException) as error:
                self.refusals.append((time.monotonic(), error))
                return

    def finish(self):
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a call is still waiting"
        return self.refusals


class Tables:
    """The store's tables, looked into beside the core."""

    def __init__(self, url, postgres):
        self.postgres = postgres
        self.place = (
            url.rsplit("/", 1)[1].split("?")[0] if postgres else url.removeprefix("sqlite:///")
        )

    def ask(self, sql):
        if self.postgres:
            return self.postgres.psql(sql, self.place).split()
        with contextlib.closing(sqlite3.connect(self.place)) as store:
            return [str(row[0]) for row in store.execute(sql)]

    def names(self):
        """Those with rows of tenants; access_rows has those that are gone for a day."""
        if self.postgres:
            sql = (
                "select table_name from information_schema.columns where column_name = 'tenant_id'"
            )
            return [f"triggers.{name}" for name in self.ask(sql + " and table_schema = 'triggers'")]
        names = self.ask("select name from sqlite_schema where type = 'table'")
        return [
            name
            for name in names
            if "tenant_id" in self.ask(f"select name from pragma_table_info('{name}')")
        ]

    def number_of(self, source):
        """Of the tenant that has a kind with this source."""
        kinds = "triggers.kinds" if self.postgres else "kinds"
        return self.ask(f"select tenant_id from {kinds} where source = '{source}' limit 1")[0]

    def with_rows_of(self, number):
        condition = f"where tenant_id = {number}"
        found = {
            name for name in self.names() if self.ask(f"select 1 from {name} {condition} limit 1")
        }
        if not self.postgres and self.ask(
            f"select 1 from acknowledged where position >> 40 = {number} limit 1"
        ):
            found.add("acknowledged")
        return {name.removeprefix("triggers.") for name in found} - {"access_rows"}


@pytest.fixture
def tables(store_name, store_url, request):
    return Tables(
        store_url,
        request.getfixturevalue("postgres") if store_name == "postgresql" else None,
    )


def get_tenant(operator, name):
    """None when it is gone."""
    try:
        return operator.access("GetTenant", name=name).tenant
    except RpcError as error:
        assert error.code == "NOT_FOUND"
        return None


def test_a_tenant_is_deleted_under_load(core, operator, tables):
    name, other = make_tenant(operator), make_tenant(operator)
    key, others_key = (
        make_tenants_key(operator, name),
        make_tenants_key(operator, other),
    )
    with contextlib.ExitStack() as stack:
        rpc, kept = (stack.enter_context(core.client(key=which)) for which in (key, others_key))
        rpc.subscription("PutSubscription", WORK, start="earliest", lease_seconds=3600)
        kept.subscription("PutSubscription", WORK, start="earliest", lease_seconds=3600)
        fill(rpc, 3000, source=name)
        number = tables.number_of(name)
        assert {
            "events",
            "kinds",
            "subscriptions",
            "audit_records",
        } < tables.with_rows_of(number)
        held = kept_events(kept)
        load = Load(core, key, stack)
        wait_until(lambda: load.created > 500, "the load is there")
        deleted = time.monotonic()
        assert operator.access("DeleteTenant", name=name).tenant.state == 3
        refusals = load.finish()
        assert len(refusals) == 4
        for at, error in refusals:
            assert at - deleted < 10, "a call was not ended within 5 seconds and some"
            assert getattr(error, "code", "") in ("UNAUTHENTICATED", "NOT_FOUND"), error
        assert fails("UNAUTHENTICATED", rpc.create).reason == "KEY_INVALID"
        # It counts what was removed, and takes its name until then.
        wait_until(lambda: get_tenant(operator, name).removed_events > 0, "it is removed", 30)
        assert get_tenant(operator, name).state == 3
        wait_until(lambda: get_tenant(operator, name) is None, "it is gone", GONE)
        assert tables.with_rows_of(number) == set()
        assert kept_events(kept) == held
        kept.create()
    records = operator.access("ListAuditRecords", tenant="default", page_size=1000).records
    mine = [record for record in records if name in record.target]
    assert [record.action for record in mine] == [
        "RemoveTenant",
        "DeleteTenant",
        "PutTenant",
    ]
    removed = int(mine[0].target.removeprefix(f"{name}: ").removesuffix(" events"))
    assert removed >= 3000 + load.created
    assert make_tenant(operator, name)
    with core.client(key=make_tenants_key(operator, name)) as again:
        assert not again.event("ListEvents").events
        assert again.create().sequence == 1
        fails("NOT_FOUND", again.subscription, "GetSubscription", WORK)


def kept_events(rpc):
    """What the log has and what a subscription has out of it; some are there and out at first."""
    if not rpc.event("ListEvents").events:
        fill(rpc, 10)
        rpc.subscription("Pull", WORK, max_events=4)
    log = rpc.event("ListEvents")
    return str(log) + str(rpc.subscription("GetSubscription", WORK).outstanding)


# ---- what runs by itself ----


def first_sequence(rpc):
    return rpc.event("ListEvents").first_sequence


def test_each_tenant_keeps_events_for_its_own_time(core, operator):
    brief = make_tenant(operator, keep_acknowledged_seconds=1)
    both = make_tenant(operator, keep_acknowledged_seconds=1, keep_pending_seconds=1)
    whole = make_tenant(operator)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(core.client(key=make_tenants_key(operator, name)))
            for name in (brief, both, whole)
        ]
        for rpc in clients:
            ids = fill(rpc, 4 * BLOCK)
            for first in range(1, len(ids), 1000):
                rpc.event("BatchAckEvents", event_ids=ids[first : first + 1000])
        wait_until(lambda: first_sequence(clients[0]) == 3 * BLOCK, "the one's are removed")
        wait_until(lambda: first_sequence(clients[1]) == 3 * BLOCK, "and the other's")
        assert first_sequence(clients[2]) == 1
        assert len(clients[0].event("ListInbox").events) == 1, "what is pending stays"
        wait_until(lambda: not clients[1].event("ListInbox").events, "unless it is told to go")
        assert len(clients[2].event("ListInbox").events) == 1
        # A change counts soon.
        operator.access("PutTenant", name=whole, keep_acknowledged_seconds=1)
        wait_until(lambda: first_sequence(clients[2]) == 3 * BLOCK, "its are removed now")


def test_leases_end_in_each_tenant(core, operator):
    """So its subscriptions are looked after without anybody's call."""
    with core.client(key=make_tenants_key(operator, make_tenant(operator))) as rpc:
        rpc.subscription(
            "PutSubscription",
            WORK,
            start="earliest",
            max_delivery_attempts=1,
            lease_seconds=1,
        )
        fill(rpc, 3)
        assert len(rpc.subscription("Pull", WORK, max_events=3).deliveries) == 3
        wait_until(
            lambda: rpc.subscription("GetSubscription", WORK).dead_letters == 3,
            "they are dead letters",
        )
