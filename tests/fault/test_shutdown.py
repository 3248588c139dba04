"""SIGTERM under full load: every call that was taken is answered, the end comes in time, a second
signal does not wait, and a rolling restart of two cores behind one bridge is not noticed."""

import contextlib
import socket
import threading
import time

import pynng
import pytest

from support.ledger import payload_of
from support.load import Load, new_marker
from support.network import free_port, free_url, wait_until
from support.protocol import envelope, events
from support.proxy import FaultProxy
from support.rpc import EVENT_SERVICE, RpcError, encode
from support.session import Session
from support.waiting import ANSWERED, metrics_of

GRACE = 30.0  # seconds, as ECS gives


def flood(rpc, ledger, count):
    """Sends so many creates at once; the entries and, as they come, the answers."""
    entries = []
    for _ in range(count):
        marker = new_marker()
        entries.append(ledger.sent(marker, "crm", "lead", payload_of(marker, 1000)))
    requests = [
        events.CreateEventRequest(source="crm", event_type="lead", payload=entry.payload)
        for entry in entries
    ]
    messages = [encode(f"{EVENT_SERVICE}/CreateEvent", request) for request in requests]
    return entries, rpc.start(messages)


def take(ledger, entries, replies):
    """Reads every answer; returns how many there were of each code."""
    codes = {}
    for reply, entry in zip(replies, entries):
        code = envelope.Code.Name(reply.code)
        codes[code] = codes.get(code, 0) + 1
        if reply.code == envelope.OK:
            created = events.CreateEventResponse.FromString(reply.body)
            at = created.created_at.seconds * 1_000_000 + created.created_at.nanos // 1000
            ledger.created(entry, created.event_id, at)
    return codes


def test_terminated_under_load(start_core, new_store_url, ledger, kept, pick):
    url = new_store_url()
    times = pick(5, 50)
    seen = {}
    for _ in range(times):
        core = start_core(DATABASE_URL=url, LOG_LEVEL="warning")
        with core.client() as rpc, core.client() as other:
            assert rpc.serving() and other.serving()
            entries, replies = flood(rpc, ledger, 1000)
            first = next(replies)
            start = time.monotonic()
            core.terminate()
            codes = take(ledger, entries[:1], [first])
            for code, count in take(ledger, entries[1:], replies).items():
                codes[code] = codes.get(code, 0) + count
            assert sum(codes.values()) == len(entries), "a call was not answered"
            assert set(codes) <= {"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}, codes
            for code, count in codes.items():
                seen[code] = seen.get(code, 0) + count
        core.stop()
        assert time.monotonic() - start < GRACE
    kept(start_core(DATABASE_URL=url), f"{times} SIGTERMs with 1000 calls in hand, answers {seen}")


# Every create stays at the store, without waiting for a lock, until `gate` has a row.
HOLD = """
create table gate ();
create function hold() returns trigger language plpgsql as $$ begin
    while not exists (select from gate) loop perform pg_sleep(0.01); end loop;
    return null;
end $$;
create trigger hold before insert on triggers.events execute function hold()"""
HELD = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"


@pytest.fixture
def stalled(own_postgres, start_core):
    """stalled(): a core whose store holds a create, with a client of it, a function that lets the
    create go, and a list that gets its answer or error."""
    with contextlib.ExitStack() as stack:

        def start():
            url = own_postgres.create_database()
            core = start_core(DATABASE_URL=url, LOG_LEVEL="info")
            rpc = stack.enter_context(core.client())
            session = stack.enter_context(Session(own_postgres, url))
            assert rpc.serving()
            session.execute(HOLD)
            answers = []
            thread = threading.Thread(target=call_in_background, args=(core, answers), daemon=True)
            thread.start()
            wait_until(lambda: own_postgres.psql(HELD) == "1", "a create that waits")
            return core, rpc, lambda: session.execute("insert into gate default values"), answers

        yield start


def call_in_background(core, answers):
    with core.client() as rpc:
        try:
            answers.append(rpc.create())
        except (RpcError, pynng.NNGException) as error:
            answers.append(error)


def test_new_calls_are_refused_while_stopping(stalled):
    core, rpc, let_go, answers = stalled()
    core.terminate()
    error = None
    while error is None:
        try:
            rpc.health()
        except RpcError as refusal:
            error = refusal
    assert (error.code, error.reason) == ("UNAVAILABLE", "STOPPING")
    assert error.details.retry_delay_ms > 0
    let_go()
    core.stop()
    wait_until(lambda: answers, "an answer to the call in hand")
    assert answers[0].event_id


def test_second_signal_ends_at_once(stalled):
    core, rpc, _, _ = stalled()
    core.terminate()
    core.wait_for_line("stopping")
    start = time.monotonic()
    assert core.insist() == 1
    assert time.monotonic() - start < 5.0  # the statement of the create may take 8 s


def test_store_that_never_answers_does_not_keep_it(own_postgres, start_core):
    """SIGTERM while PostgreSQL is a black hole and calls are in hand."""
    with FaultProxy(own_postgres.port) as proxy:
        url = own_postgres.create_database().replace(f":{own_postgres.port}/", f":{proxy.port}/")
        core = start_core(DATABASE_URL=url, LOG_LEVEL="warning")
        with core.client() as rpc:
            assert rpc.serving()
            proxy.freeze()
            request = events.CreateEventRequest(source="a", event_type="b", payload=b"{}")
            replies = rpc.start([encode(f"{EVENT_SERVICE}/CreateEvent", request)] * 100)
            core.terminate()
            start = time.monotonic()
            codes = {envelope.Code.Name(reply.code) for reply in replies}
            assert codes <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}, codes
            core.stop(GRACE)
            assert time.monotonic() - start < GRACE


class Requests:
    """Threads that send requests to a port on many connections, and open more, until the end."""

    def __init__(self, port):
        self._address = ("127.0.0.1", port)
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_):
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self):
        while not self._done.is_set():
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                self._ask(stack)

    def _ask(self, stack):
        """Until one of the connections is refused or closed."""
        sockets = [
            stack.enter_context(socket.create_connection(self._address, 10)) for _ in range(16)
        ]
        while not self._done.is_set():
            for each in sockets:
                each.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            if not all(each.recv(65536) for each in sockets):
                return


def test_bridge_terminated_under_load(start_bridge, pick, told):
    """The end comes at any moment of its threads' work with their sockets."""
    port = free_port()
    times = pick(30, 1500)
    with Requests(port):
        for _ in range(times):
            bridge = start_bridge(
                None,
                TRIGGERS_CORE=free_url("ws"),
                API_PORT=port,
                TRIGGERS_BRIDGE_THREADS=4,
                LOG_LEVEL="warning",
            )
            bridge.stop()
    told(f"{times} SIGTERMs of triggers-bridge under load, exit status 0 each time")


def wait_for_creates_by(core):
    with core.client() as rpc:
        wait_until(lambda: metrics_of(rpc).value(ANSWERED, method="CreateEvent") > 0, "creates by a restarted core")


def test_rolling_restart_is_not_noticed(own_postgres, start_core, start_bridge, ledger, kept, pick):
    """Two cores on one database behind one bridge, restarted in turn, each when the bridge uses the other again:
    no HTTP request fails. For a second a call waits for a core; a busy machine may need longer to connect."""
    url = own_postgres.create_database()
    addresses = [f"ws://127.0.0.1:{free_port()}/rpc" for _ in range(2)]

    def start(address):
        return start_core(DATABASE_URL=url, TRIGGERS_LISTEN=address, LOG_LEVEL="warning")

    cores = [start(address) for address in addresses]
    bridge = start_bridge(None, TRIGGERS_CORE=",".join(addresses), LOG_LEVEL="warning")
    bridge.wait_answering("/ready")
    times = pick(2, 20)
    with Load(ledger, bridge_url=bridge.url, rest=8) as load:
        for _ in range(times):
            for number in range(2):
                load.wait_for_creates(50)
                cores[number].stop()
                cores[number] = start(addresses[number])
                wait_for_creates_by(cores[number])
    assert set(ledger.answers) == {"created", "acknowledged"}, ledger.answers
    kept(cores[0], f"{2 * times} restarts of two cores behind a bridge")
