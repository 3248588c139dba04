"""Keys that are restricted to sources, event types and subscriptions: what they may not see is not there
for them, and what they may not do is refused."""

import pytest

from support.keyring import OPERATOR, REQUIRED, make, refused
from support.keys import id_of
from support.network import wait_until
from support.protocol import envelope, events, subscriptions
from support.rpc import SUBSCRIPTION_SERVICE, check_item_error, decode, fails
from support.waiting import Waiting, request, sequences, wait_for_waiting

CORE_SETTINGS = REQUIRED
GONE = "evt_00000000000000000000000000"


@pytest.fixture(scope="module")
def operator(core):
    with core.client(key=OPERATOR) as client:
        yield client


@pytest.fixture
def caller(core):
    """A client whose key the test sets."""
    with core.client() as client:
        yield client


@pytest.fixture(scope="module")
def crm(core, operator):
    """A client that sees events of the source crm alone, and of it no type but those of leads."""
    with core.client(key=make(operator, sources=["crm"], event_types=["lead.*"])) as client:
        yield client


@pytest.fixture(scope="module")
def ids(operator):
    """Events, by source and type."""
    names = [("crm", "lead.created"), ("crm", "order"), ("erp", "lead.created"), ("crm.eu", "lead.created")]
    return {name: operator.create(*name, payload=b'{"secret": 1}').event_id for name in names}


SEEN = ("crm", "lead.created")


# ---- the record of what was refused ----


def refusals(operator, key):
    """Action and target of what was refused to a key, as the audit has it."""
    page = operator.access("ListAuditRecords", tenant="default", page_size=1000)
    own = [each for each in page.records if each.key_id == id_of(key)]
    assert all(each.result == "PERMISSION_DENIED" and each.request_id and each.address for each in own), own
    return sorted((each.action, each.target) for each in own)


def test_what_is_refused_is_on_record_and_once_a_minute(core, operator, ids):
    operator.subscription("PutSubscription", "theirs")
    key = make(operator, "SUBSCRIPTIONS_MANAGE", "EVENTS_ACK", "EVENTS_WRITE", sources=["crm"], subscriptions=["my.*"])
    with core.client(key=key) as client:
        for _ in range(20):
            fails("PERMISSION_DENIED", client.access, "DeleteTenant", name="default")
            refused("PERMISSION_DENIED", "KEY_RESTRICTED", client.subscription, "PutSubscription", "theirs")
            fails("NOT_FOUND", client.subscription, "DeleteSubscription", "theirs")
            fails("NOT_FOUND", client.event, "EraseEvent", event_id=ids["erp", "lead.created"])
            fails("NOT_FOUND", client.event, "EraseEvent", event_id=GONE)  # this one is not there
            fails("PERMISSION_DENIED", client.event, "ListInbox")  # changes nothing
            fails("NOT_FOUND", client.event, "AckEvent", event_id=ids["erp", "lead.created"])  # nor is its success recorded
    expected = [
        ("DeleteSubscription", "theirs"),
        ("DeleteTenant", ""),  # refused before its body was read
        ("EraseEvent", ids["erp", "lead.created"]),
        ("PutSubscription", "theirs"),
    ]
    wait_until(lambda: set(refusals(operator, key)) >= set(expected), "recorded")
    found = refusals(operator, key)
    assert set(found) == set(expected)
    assert all(found.count(each) <= 2 for each in expected), found  # a minute may have ended meanwhile


# ---- creates ----


@pytest.mark.parametrize("source, event_type", [
    ("erp", "lead.created"),
    ("crm", "order"),
    ("crm.eu", "lead.x"),
])  # fmt: skip
def test_other_events_are_not_created(crm, operator, source, event_type):
    before = operator.create("count", "them").sequence
    refused("PERMISSION_DENIED", "KEY_RESTRICTED", crm.create, source, event_type)
    assert operator.create("count", "them").sequence == before + 1


@pytest.mark.parametrize("source", ["crm", " CRM "])
def test_names_are_compared_as_they_are_stored(crm, source):
    assert crm.create(source, "Lead.Created").sequence > 0


def test_each_item_of_a_batch_is_by_itself(crm):
    items = [
        events.CreateEventRequest(source=source, event_type=kind, payload=payload)
        for source, kind, payload in (
            ("crm", "lead.created", b"{}"),
            ("erp", "lead.created", b"{}"),
            ("erp", "lead.created", b"nothing"),
            ("crm", "lead.lost", b"{}"),
        )
    ]
    results = crm.event("BatchCreateEvents", events=items).results
    assert results[0].created.event_id and results[3].created.event_id
    check_item_error(results[1].error, "PERMISSION_DENIED")
    assert results[1].error.details.reason == "KEY_RESTRICTED"
    check_item_error(results[2].error, "INVALID_ARGUMENT")


# ---- reads and changes by id ----


def test_what_may_not_be_seen_is_not_found(crm, operator, ids):
    assert crm.event("GetEvent", event_id=ids[SEEN]).event.payload
    for method in ("GetEvent", "AckEvent", "EraseEvent"):
        texts = {refused("NOT_FOUND", "EVENT_NOT_FOUND", crm.event, method, event_id=GONE)}
        for name, event_id in ids.items():
            if name != SEEN:
                texts.add(refused("NOT_FOUND", "EVENT_NOT_FOUND", crm.event, method, event_id=event_id))
        assert len(texts) == 1
    for name, event_id in ids.items():
        event = operator.event("GetEvent", event_id=event_id).event
        assert event.status == events.EVENT_STATUS_PENDING and event.payload, name


def test_what_may_be_seen_is_acknowledged_and_erased(crm, operator):
    event_id = operator.create("crm", "lead.closed").event_id
    assert crm.event("AckEvent", event_id=event_id).event_id == event_id
    assert crm.event("EraseEvent", event_id=event_id).event_id == event_id
    event = operator.event("GetEvent", event_id=event_id).event
    assert event.status == events.EVENT_STATUS_ACKNOWLEDGED and event.payload_erased


def test_a_batch_acknowledges_what_may_be_seen(crm, operator, ids):
    mine = [operator.create("crm", "lead.closed", payload=b'{"a": "%s"}' % (50_000 * b"x")).event_id
            for _ in range(20)]  # fmt: skip
    other = ids["erp", "lead.created"]
    wanted = [*mine[:9], other, "nonsense", *mine[9:], GONE]
    results = crm.event("BatchAckEvents", event_ids=wanted).results
    done = [one.acknowledged.event_id for one in results if one.WhichOneof("outcome") == "acknowledged"]
    assert done == mine
    check_item_error(results[9].error, "NOT_FOUND")
    check_item_error(results[10].error, "INVALID_ARGUMENT")
    check_item_error(results[-1].error, "NOT_FOUND")
    assert results[9].error == results[-1].error
    assert operator.event("GetEvent", event_id=other).event.status == events.EVENT_STATUS_PENDING


def test_a_batch_of_nothing_that_may_be_seen(crm, ids):
    wanted = [event_id for name, event_id in ids.items() if name != SEEN]
    for result in crm.event("BatchAckEvents", event_ids=wanted).results:
        check_item_error(result.error, "NOT_FOUND")


# ---- lists ----


def kinds_of(listed):
    return {(event.source, event.event_type) for event in listed}


def test_lists_leave_out_the_rest(crm, ids):
    for method in ("ListInbox", "ListEvents"):
        found = crm.event(method, page_size=1000).events
        assert ids[SEEN] in [event.event_id for event in found]
        for source, event_type in kinds_of(found):
            assert source == "crm" and event_type.startswith("lead.")


@pytest.mark.parametrize("sources, types, expected", [
    (["crm*"], [], {SEEN}),
    (["*"], ["lead.created", "order"], {SEEN}),
    (["erp"], [], set()),
    ([], ["order*"], set()),
    (["erp", "crm"], ["lead.cr*"], {SEEN}),
])  # fmt: skip
def test_a_filter_is_narrowed(crm, ids, sources, types, expected):
    wanted = events.EventFilter(sources=sources, event_types=types)
    for method in ("ListInbox", "ListEvents"):
        found = kinds_of(crm.event(method, filter=wanted, page_size=1000).events)
        assert {kind for kind in found if kind in ids} == expected
        assert found <= {kind for kind in found if kind[0] == "crm"}


def test_pages_go_on_with_the_same_key(crm, operator, ids):
    first = crm.event("ListInbox", page_size=1)
    assert first.next_page_token
    second = crm.event("ListInbox", page_size=1, page_token=first.next_page_token)
    assert second.events[0].sequence < first.events[0].sequence
    refused(
        "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", operator.event, "ListInbox",
        page_token=first.next_page_token,
    )  # fmt: skip


def test_the_log_goes_on_to_its_end(crm, operator):
    last = operator.create("erp", "last").sequence
    page = crm.event("ListEvents", after_sequence=last - 1)
    assert not page.events and page.next_after == last
    nothing = events.EventFilter(sources=["erp"])
    page = crm.event("ListEvents", after_sequence=last - 1, filter=nothing)
    assert not page.events and page.next_after == last


def test_kinds_leave_out_the_rest(crm, operator, ids):
    found, token = set(), ""
    while True:
        page = crm.event("ListKinds", page_size=2, page_token=token)
        found |= {(kind.source, kind.event_type) for kind in page.kinds}
        token = page.next_page_token
        if not token:
            break
    assert SEEN in found
    for source, event_type in found:
        assert source == "crm" and event_type.startswith("lead.")


def test_who_waits_is_woken_by_what_it_may_see(crm, operator):
    after = operator.create("erp", "before").sequence
    call = Waiting(crm, authorized(crm, request(after=after, wait_ms=10_000)))
    wait_for_waiting(operator, 1)
    operator.create("erp", "other")
    seen = operator.create("crm", "lead.created").sequence
    assert sequences(call.finish()[0]) == [seen]


def authorized(client, message):
    parsed = envelope.Request.FromString(message)
    parsed.metadata["authorization"] = f"Bearer {client.key}"
    return parsed.SerializeToString()


# ---- subscriptions ----


@pytest.fixture(scope="module")
def worker(core, operator):
    """A client that may use subscriptions whose names begin with mine."""
    operator.subscription("PutSubscription", "other", start="earliest")
    with core.client(key=make(operator, subscriptions=["mine*"])) as client:
        yield client


def calls_about_one():
    """Every call that is about one subscription, but PutSubscription, with valid fields."""
    yield "GetSubscription", {}
    yield "Pull", {}
    yield "Pull", {"wait_ms": 1000}
    yield "Ack", {"ack_ids": ["x"]}
    yield "Nack", {"ack_ids": ["x"]}
    yield "Extend", {"ack_ids": ["x"]}
    yield "Release", {"ack_ids": ["x"]}
    yield "Seek", {"to": "latest"}
    yield "ListDeadLetters", {}
    yield "RedriveDeadLetters", {"all": True}
    yield "DeleteDeadLetters", {"all": True}
    yield "DeleteSubscription", {}


def not_found(client, method, name, **fields):
    return refused("NOT_FOUND", "SUBSCRIPTION_NOT_FOUND", client.subscription, method, name, **fields)


@pytest.mark.parametrize("name", ["other", "inbox", "none"])
def test_another_subscription_is_not_found(worker, operator, name):
    for method, fields in calls_about_one():
        text = not_found(worker, method, name, **fields)
        missing = not_found(operator, "GetSubscription", "none")
        assert text == missing.replace("none", name), method
    assert operator.subscription("GetSubscription", "other").subscription.name == "other"


def test_another_subscription_is_not_put(worker, operator):
    for name in ("other", "none"):
        refused("PERMISSION_DENIED", "KEY_RESTRICTED", worker.subscription, "PutSubscription", name)
    assert operator.subscription("GetSubscription", "other").subscription.paused is False


@pytest.mark.parametrize(
    "sources, event_types",
    [([], []), (["crm"], []), ([], ["lead.*"]), (["crm", "erp"], ["lead.*"]), (["crm*"], ["lead.*"]), (["crm"], ["lead*"])],
)
def test_who_sees_some_events_puts_no_subscription_to_others(core, operator, sources, event_types):
    given = subscriptions.SubscriptionFilter(sources=sources, event_types=event_types)
    key = make(operator, "SUBSCRIPTIONS_MANAGE", sources=["crm"], event_types=["lead.*"])
    operator.subscription("PutSubscription", "all")
    with core.client(key=key) as client:
        for name in ("all", "unknown"):
            refused(
                "PERMISSION_DENIED", "KEY_RESTRICTED", client.subscription, "PutSubscription", name, filter=given
            )
    fails("NOT_FOUND", operator.subscription, "GetSubscription", "unknown")
    assert not operator.subscription("GetSubscription", "all").subscription.filter.sources


def test_who_sees_some_events_puts_a_subscription_to_these(core, operator):
    key = make(operator, "SUBSCRIPTIONS_MANAGE", sources=["crm"], event_types=["lead.*"])
    with core.client(key=key) as client:
        for event_type in ("lead.created", "lead.*", "lead.eu.*"):
            given = subscriptions.SubscriptionFilter(sources=["crm"], event_types=[event_type])
            answer = client.subscription("PutSubscription", "leads", filter=given)
            assert answer.subscription.filter.event_types == [event_type]


def test_who_may_not_acknowledge_in_the_inbox_has_no_other_do_it(worker):
    refused(
        "PERMISSION_DENIED", "KEY_RESTRICTED", worker.subscription, "PutSubscription", "mine-acks",
        acknowledge_in_inbox=True,
    )  # fmt: skip


def test_ones_own_subscriptions_are_used_and_listed(worker, caller, operator):
    worker.subscription("PutSubscription", "mine-too", start="latest")
    operator.create()
    deliveries = worker.subscription("Pull", "mine-too", wait_ms=5000).deliveries
    assert len(deliveries) == 1
    answer = worker.subscription("Ack", "mine-too", ack_ids=[deliveries[0].ack_id])
    assert not answer.results[0].HasField("error")
    caller.key = worker.key
    listed = subscriptions_of(caller)
    assert "mine-too" in listed and all(name.startswith("mine") for name in listed)
    assert {"mine-too", "other", "inbox"} <= set(subscriptions_of(operator))
    worker.subscription("DeleteSubscription", "mine-too")


def subscriptions_of(client):
    names, token = [], ""
    while True:
        asked = subscriptions.ListSubscriptionsRequest(page_size=2, page_token=token)
        answer = decode(
            client.call(f"{SUBSCRIPTION_SERVICE}/ListSubscriptions", asked),
            subscriptions.ListSubscriptionsResponse,
        )
        names += [one.name for one in answer.subscriptions]
        token = answer.next_page_token
        if not token:
            return names
