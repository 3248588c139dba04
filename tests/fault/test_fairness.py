"""One caller keeps a long queue of large calls; others, who want one thing at a time, do not wait behind
it: they wait a fraction of what it waits for its own."""

import http.client
import json
import statistics
import threading
import time

import pytest

from support.network import wait_until
from support.protocol import envelope, events
from support.rpc import EVENT_SERVICE, RpcError, encode
from support.typeid import new_event_id

# Of the neighbour's own wait. First come, first served is about 1.
FRACTION = 0.7
CALLS_ALONE = 20
EVENT = {"source": "crm", "event_type": "lead", "payload": {"text": "x" * 100}}


def create_batch(size):
    event = events.CreateEventRequest(
        source="crm", event_type="lead", payload=json.dumps(EVENT["payload"]).encode()
    )
    request = events.BatchCreateEventsRequest(events=[event] * size)
    return encode(f"{EVENT_SERVICE}/BatchCreateEvents", request)


def ack_batch(size):
    request = events.BatchAckEventsRequest(event_ids=[new_event_id() for _ in range(size)])
    return encode(f"{EVENT_SERVICE}/BatchAckEvents", request)


def full_page(_):
    return encode(f"{EVENT_SERVICE}/ListInbox", events.ListInboxRequest(page_size=1000))


class Neighbour:
    """Runs `ask` in threads for as long as it is entered; it returns what each answer took, or None for
    one that was refused."""

    def __init__(self, ask, threads):
        self.waits, self.refused = [], 0
        self._ask = ask
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def _run(self):
        while not self._stopping.is_set():
            for took in self._ask():
                if took is None:
                    self.refused += 1
                else:
                    self.waits.append(took)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.waits, "an answer to the neighbour")
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def wait(self):
        return statistics.median(self.waits)


def ask_at_once(rpc, message, count):
    """A function that sends `count` messages at once on one connection."""

    def ask():
        start = time.monotonic()
        for reply in rpc.start([message] * count):
            if reply.code == envelope.RESOURCE_EXHAUSTED:
                yield None
            else:
                assert reply.code == envelope.OK, str(reply)
                yield time.monotonic() - start

    return ask


def take_times(call, count):
    times = []
    for _ in range(count):
        start = time.monotonic()
        call()
        times.append(time.monotonic() - start)
    return sorted(times)


def describe(times):
    at = lambda share: times[min(len(times) - 1, int(len(times) * share))] * 1000  # noqa: E731
    return f"p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms"


def check_beside(neighbour, call, count, told, what):
    """What else the machine does spoils a measurement: the best of three counts."""
    alone = take_times(call, CALLS_ALONE)
    with neighbour:
        for _ in range(3):
            beside = take_times(call, count)
            if statistics.median(beside) < FRACTION * neighbour.wait:
                break
    told(f"{what}: alone {describe(alone)}; beside a neighbour who waits {neighbour.wait * 1000:.0f} ms"
         f" for each of {len(neighbour.waits)} ({neighbour.refused} refused) {describe(beside)}")
    assert statistics.median(beside) < FRACTION * neighbour.wait


def create(rpc, _):
    rpc.create()


def acknowledge(rpc, event_id):
    rpc.event("AckEvent", event_id=event_id)


def list_one(rpc, _=None):
    assert len(rpc.event("ListInbox", page_size=1).events) == 1


@pytest.mark.parametrize(
    "message, count, call",
    [(create_batch, 100, create), (ack_batch, 100, acknowledge), (full_page, 60, list_one)],
    ids=["create", "ack", "list"],
)
def test_one_connection_does_not_wait_for_another(
    start_core, new_store_url, store_name, pick, told, message, count, call
):
    core = start_core(DATABASE_URL=new_store_url(), LOG_LEVEL="error")
    with core.client() as rpc, core.client() as busy:
        busy.event("BatchCreateEvents", events=[
            events.CreateEventRequest(source="crm", event_type="lead", payload=b"{}")
        ] * 1000)
        size = pick(300, 1000)
        event_id = rpc.create().event_id
        neighbour = Neighbour(ask_at_once(busy, message(size), count), threads=2)
        check_beside(neighbour, lambda: call(rpc, event_id), pick(20, 500), told,
                     f"{call.__name__}, {store_name}")


def post(connection, path, body):
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    return response.status


def test_one_client_of_the_bridge_does_not_wait_for_another(
    start_core, start_bridge, new_store_url, store_name, pick, told
):
    core = start_core(DATABASE_URL=new_store_url(), LOG_LEVEL="error")
    bridge = start_bridge(core, LOG_LEVEL="error", TRIGGERS_CALL_TIMEOUT=25000)
    address = bridge.url.removeprefix("http://")
    batch = json.dumps([EVENT] * pick(300, 1000)).encode()
    local = threading.local()

    def ask():
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(address, timeout=60)
        start = time.monotonic()
        status = post(local.connection, "/api/v1/events/batch", batch)
        assert status in (200, 429, 503), status
        yield time.monotonic() - start if status == 200 else None

    connection = http.client.HTTPConnection(address, timeout=60)

    def create_one():
        assert post(connection, "/api/v1/events", json.dumps(EVENT).encode()) == 201

    check_beside(Neighbour(ask, threads=60), create_one, pick(20, 500), told, f"REST, {store_name}")


def serves_all(rpc, event_id):
    try:
        list_one(rpc)
        rpc.create()
        return rpc.event("GetEvent", event_id=event_id)
    except RpcError:
        return False


LIMITED = "create role limited login password 'limited' connection limit {}"


@pytest.mark.parametrize("sessions", [4, 5])
def test_a_role_with_few_sessions(own_postgres, start_core, told, sessions):
    """Of nine sessions, of which six list, the role may have a few: every kind of call is served, and
    nobody waits for a worker that has none."""
    url = own_postgres.create_database()
    own_postgres.psql(LIMITED.format(sessions))
    own_postgres.psql("grant all on database " + url.rsplit("/", 1)[1] + " to limited")
    url = own_postgres.url(url.rsplit("/", 1)[1], "limited", "limited")
    core = start_core(DATABASE_URL=url, TRIGGERS_DB_CONNECTIONS=8)
    with core.client() as rpc:
        event_id = rpc.create().event_id
        wait_until(lambda: "too many connections" in "\n".join(core.output), "a refusal")
        start = time.monotonic()
        for _ in range(40):
            list_one(rpc)
            rpc.create()
            assert rpc.event("GetEvent", event_id=event_id).event.event_id == event_id
        took = time.monotonic() - start
        own_postgres.stop()
        own_postgres.start()
        wait_until(lambda: serves_all(rpc, event_id), "all calls after a restart")
    told(f"a role with {sessions} sessions of 9: {took / 120 * 1000:.0f} ms a call")
    # A wake-up that goes to a worker without a session costs a second on average.
    assert took < 20
