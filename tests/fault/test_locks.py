"""Another session of the database holds a lock: what needs it is told so, soon and as what may be sent
again; what does not need it goes on."""

import contextlib
import threading
from uuid import UUID

import httpx
import pytest

from support.network import wait_until
from support.protocol import events
from support.rpc import RpcError, fails
from support.session import Session
from support.typeid import encode, uuid7

SOON_MS = 5000  # of a call that must not wait for the lock, which is held for as long as it takes


@pytest.fixture
def url(postgres):
    return postgres.create_database()


@pytest.fixture
def core(start_core, url):
    return start_core(DATABASE_URL=url, LOG_LEVEL="warning")


@contextlib.contextmanager
def others(core, method, **fields):
    """Sends what needs the lock again and again, from two clients; yields a function that tells the
    codes of the answers so far."""
    codes = []
    stop = threading.Event()

    def ask():
        with core.client() as rpc:
            while not stop.is_set():
                try:
                    rpc.event(method, timeout_ms=SOON_MS, **fields)
                    codes.append("OK")
                except RpcError as error:
                    codes.append(f"{error.code} {error.reason} {error.details.retry_delay_ms > 0}")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield codes
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def create_in_time(rpc, times=20):
    for _ in range(times):
        request = {"source": "crm", "event_type": "lead", "payload": b"{}"}
        assert rpc.event("CreateEvent", timeout_ms=SOON_MS, **request).event_id


LOCKED = "UNAVAILABLE STORE_LOCKED True"

# Somebody acknowledges all events that there are, and does not commit.
ACK_ALL = (
    "begin; insert into triggers.acknowledged (tenant_id, sequence, kind, acknowledged_at)"
    " select tenant_id, sequence, kind, now() from triggers.events"
)


def test_a_row(postgres, url, core):
    with core.client() as rpc, Session(postgres, url) as session:
        event_id = rpc.create().event_id
        session.execute(ACK_ALL)
        with others(core, "AckEvent", event_id=event_id) as codes:
            wait_until(lambda: codes, "the acknowledgement being answered")
            create_in_time(rpc)
            free = rpc.create().event_id
            assert rpc.event("AckEvent", event_id=free, timeout_ms=SOON_MS)
        assert set(codes) == {LOCKED}, codes
        session.execute("rollback")
        assert rpc.event("AckEvent", event_id=event_id)


def test_all_rows_of_a_batch(postgres, url, core):
    """None of a thousand locked acknowledgements is waited for by itself."""
    with core.client() as rpc, Session(postgres, url) as session:
        request = [events.CreateEventRequest(source="a", event_type="b", payload=b"{}")] * 1000
        created = rpc.event("BatchCreateEvents", events=request)
        ids = [result.created.event_id for result in created.results]
        session.execute(ACK_ALL)
        answer = rpc.event("BatchAckEvents", event_ids=ids, timeout_ms=SOON_MS)
        assert {result.error.details.reason for result in answer.results} == {"STORE_LOCKED"}
        create_in_time(rpc)
        session.execute("rollback")
        answer = rpc.event("BatchAckEvents", event_ids=ids, timeout_ms=SOON_MS)
        assert {result.WhichOneof("outcome") for result in answer.results} == {"acknowledged"}


def test_an_id_that_is_being_stored(postgres, url, core):
    """Somebody has stored the same id and has not committed."""
    number = uuid7()
    event_id = f"evt_{encode(number)}"
    with core.client() as rpc, Session(postgres, url) as session:
        session.execute(
            "begin; insert into triggers.events (tenant_id, sequence, event_id, created_at, kind,"
            f" payload) values (0, 1000000, '{UUID(int=number)}', now(), 1, '{{}}')"
        )
        request = {"event_id": event_id, "source": "crm", "event_type": "lead", "payload": b"{}"}
        with others(core, "CreateEvent", **request) as codes:
            wait_until(lambda: codes, "the create being answered")
            create_in_time(rpc)
        assert set(codes) == {LOCKED}, codes
        session.execute("rollback")
        assert rpc.event("CreateEvent", **request).event_id == event_id


IN_TIME_MS = 20000  # of a call that may wait for a lock which keeps all out, but not to its deadline


def test_the_table_of_events(postgres, url, core):
    """Beside a lock of a table that all need everyone waits for some seconds, and is told then."""
    with core.client() as rpc, Session(postgres, url) as session:
        event_id = rpc.create().event_id
        session.execute("begin; alter table triggers.events add column extra text")
        create = {"source": "crm", "event_type": "lead", "payload": b"{}"}
        waits = {"timeout_ms": IN_TIME_MS, "timeout": 30.0}
        fails("UNAVAILABLE", rpc.event, "CreateEvent", **create, **waits)
        fails("UNAVAILABLE", rpc.event, "ListInbox", **waits)
        session.execute("rollback")
        assert rpc.event("AckEvent", event_id=event_id)


@pytest.mark.parametrize("table", ["acknowledged", "blocks", "pending"])
def test_another_table(postgres, url, core, table):
    """Creates need none of these until a block of the log is full."""
    with core.client() as rpc, Session(postgres, url) as session:
        event_id = rpc.create().event_id
        session.execute(f"begin; alter table triggers.{table} add column extra text")
        with others(core, "AckEvent", event_id=event_id) as codes:
            wait_until(lambda: codes, "the acknowledgement being answered")
            create_in_time(rpc)
        assert set(codes) == {LOCKED if table == "acknowledged" else "OK"}, codes
        fails("UNAVAILABLE", rpc.event, "ListInbox", timeout_ms=IN_TIME_MS, timeout=30.0)
        session.execute("rollback")
        assert rpc.event("AckEvent", event_id=event_id)


@pytest.mark.parametrize("table", ["acknowledged", "blocks", "pending"])
def test_another_table_while_cores_take_turns(postgres, url, core, start_core, table):
    """Nor do those of several cores, each of which finds that another has written."""
    other = start_core(DATABASE_URL=url, LOG_LEVEL="warning")
    with core.client() as one, other.client() as two, Session(postgres, url) as session:
        for rpc in (one, two):
            create_in_time(rpc, 1)  # both know the kind now
        session.execute(f"begin; alter table triggers.{table} add column extra text")
        for rpc in (one, two, one, two, one):
            create_in_time(rpc, 1)
        session.execute("rollback")


def test_over_rest_it_is_503_with_retry_after(postgres, url, core, start_bridge):
    bridge = start_bridge(core, TRIGGERS_CALL_TIMEOUT=2000)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        event = {"source": "crm", "event_type": "lead", "payload": {}}
        event_id = http.post("/api/v1/events", json=event).json()["event_id"]
        with Session(postgres, url) as session:
            session.execute(ACK_ALL)
            answer = http.delete(f"/api/v1/events/{event_id}")
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0, answer.text
            assert http.post("/api/v1/events", json=event).status_code == 201
            session.execute("rollback")
        assert http.delete(f"/api/v1/events/{event_id}").status_code == 200
