"""Idempotency keys of the binary protocol: one event for one key, whatever is sent twice and where."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.protocol import events
from support.rpc import check_item_error, fails
from support.typeid import new_event_id

NAMESPACE = uuid.UUID("a05e3d1e-64c4-4f4b-9a0c-3d8e1b5f7a21")  # as events.proto publishes it
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def key():
    return f"order-{uuid.uuid4()}"


def create(rpc, **fields):
    fields = {"source": "crm", "event_type": "lead.created", "payload": b"{}", **fields}
    return rpc.event("CreateEvent", **fields)


def derived_id(name, source="crm"):
    return id_of(f"{source}\0{name}")


def id_of(text):
    number = uuid.uuid5(NAMESPACE, text).int
    return "evt_" + "".join(ALPHABET[number >> 5 * place & 31] for place in range(25, -1, -1))


def test_same_key_and_content_answers_with_the_first_result(rpc):
    name = key()
    first = create(rpc, idempotency_key=name)
    assert create(rpc, idempotency_key=name) == first
    assert create(rpc, idempotency_key=name, source=" CRM ") == first  # the same once normalised
    assert create(rpc, idempotency_key=key()).event_id != first.event_id


def test_same_key_and_other_content_is_refused(rpc):
    name = key()
    first = create(rpc, idempotency_key=name)
    for other in ({"event_type": "x"}, {"payload": b'{"a":1}'}):
        error = fails("INVALID_ARGUMENT", create, rpc, idempotency_key=name, **other)
        assert error.reason == "IDEMPOTENCY_KEY_REUSED"
    assert rpc.event("GetEvent", event_id=first.event_id).event.payload == b"{}"


def test_a_key_belongs_to_its_source(rpc):
    name = key()
    first = create(rpc, idempotency_key=name)
    other = create(rpc, idempotency_key=name, source="erp", payload=b'{"a":1}')
    assert other.event_id == derived_id(name, "erp") != first.event_id


def test_what_the_version_before_stored_for_a_key_is_found(rpc):
    """It derived the id from the key alone, and named events of a REST batch KEY#NUMBER."""
    for name, former in ((key(), "{}"), ("batch\x1f7", "batch#7")):
        stored = create(rpc, event_id=id_of(former.replace("{}", name)), payload=b'{"n":1}')
        assert create(rpc, idempotency_key=name, payload=b'{"n":1}') == stored
        error = fails("INVALID_ARGUMENT", create, rpc, idempotency_key=name, payload=b'{"n":2}')
        assert error.reason == "IDEMPOTENCY_KEY_REUSED"
        elsewhere = create(rpc, idempotency_key=name, source="erp", payload=b'{"n":1}')
        assert elsewhere.event_id == derived_id(name, "erp")


def test_anyone_can_tell_the_id_from_the_key(rpc):
    for name in (key(), "Schlüssel", "x" * 255, "é" * 255):
        assert create(rpc, idempotency_key=name).event_id == derived_id(name)


@pytest.mark.parametrize("fields", [{"idempotency_key": "x" * 256}, {"event_id": new_event_id()}])
def test_a_key_too_long_or_beside_an_id_is_refused(rpc, fields):
    error = fails("INVALID_ARGUMENT", create, rpc, **{"idempotency_key": "k", **fields})
    assert error.reason == "IDEMPOTENCY_KEY_INVALID"
    assert error.fields == ["idempotency_key"]


@pytest.mark.parametrize("source", ["", " ", "x" * 256])
def test_a_key_of_no_source_stands_for_nothing(rpc, source):
    error = fails("INVALID_ARGUMENT", create, rpc, idempotency_key=key(), source=source)
    assert error.fields == ["source"]


def test_batches_know_keys(rpc):
    name = key()
    item = {"source": "crm", "event_type": "t", "payload": b"{}", "idempotency_key": name}
    items = [item, item, {**item, "payload": b'{"a":1}'}]
    answer = rpc.event(
        "BatchCreateEvents", events.BatchCreateEventsRequest(events=items)
    )
    assert answer.results[0].created == answer.results[1].created
    check_item_error(answer.results[2].error, "INVALID_ARGUMENT")
    assert answer.results[2].error.details.reason == "IDEMPOTENCY_KEY_REUSED"


def test_a_key_survives_restarts_and_is_shared_by_cores(start_core, new_store_url):
    url, name = new_store_url(), key()
    first_core = start_core(DATABASE_URL=url)
    with first_core.client() as rpc:
        first = create(rpc, idempotency_key=name)
    first_core.stop()
    with start_core(DATABASE_URL=url).client() as one, start_core(DATABASE_URL=url).client() as two:
        assert create(one, idempotency_key=name) == first
        names = [key() for _ in range(50)]
        with ThreadPoolExecutor(16) as pool:
            answers = [
                [pool.submit(create, rpc, idempotency_key=each) for each in names]
                for rpc in (one, two, one)
            ]
            for a, b, c in zip(*answers):
                assert a.result() == b.result() == c.result()
        pending = one.event("ListInbox", page_size=1000).events
        assert len(pending) == 51
