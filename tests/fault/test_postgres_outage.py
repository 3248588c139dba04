"""PostgreSQL dies, stops, is cut off, or loses the answer to a COMMIT: callers are told so, the core
comes back by itself, and nothing is lost or doubled."""

import time

import pytest

from support.ledger import payload_of
from support.load import Load
from support.network import wait_until
from support.proxy import FaultProxy
from support.protocol import events
from support.rpc import RpcError
from support.typeid import new_event_id

# Seconds from PostgreSQL's return to the first write: what is left of an attempt, a pause, the next
# attempt, and as much again on a busy machine.
BACK_WITHIN = 4.0
SYNC = b"S\x00\x00\x00\x04"  # ends what the core sends of a transaction
READY = b"Z\x00\x00\x00\x05I"  # ends what PostgreSQL answers
APPEND = b"\x00triggers_append"  # in the messages that run the statements, not those that prepare


@pytest.fixture
def proxy(own_postgres):
    with FaultProxy(own_postgres.port) as proxy:
        yield proxy


@pytest.fixture
def proxied_url(own_postgres, proxy):
    """The DATABASE_URL of an empty database behind the proxy."""
    url = own_postgres.create_database()
    return url.replace(f":{own_postgres.port}/", f":{proxy.port}/")


def attempt(rpc, timeout_ms=2000):
    """A write that changes nothing: its code, retry delay and seconds."""
    start = time.monotonic()
    try:
        rpc.event("AckEvent", event_id=new_event_id(), timeout_ms=timeout_ms)
        raise AssertionError("acknowledged an event that is not there")
    except RpcError as error:
        return error.code, error.details.retry_delay_ms, time.monotonic() - start


def wait_for_refusal(rpc, deadline):
    """Until calls are refused at once, with advice when to come back."""

    def refused():
        code, delay, seconds = attempt(rpc)
        assert code in ("NOT_FOUND", "UNAVAILABLE", "DEADLINE_EXCEEDED"), code
        return code == "UNAVAILABLE" and delay > 0 and seconds < 1.0

    wait_until(refused, "UNAVAILABLE with a retry delay", deadline)


def seconds_until_back(rpc, load):
    """How long until the load's creates succeed and the core says that all of it serves."""
    start = time.monotonic()
    load.wait_for_creates(1)
    wait_until(rpc.serving, "serving again", interval=0.005)
    return time.monotonic() - start


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_postgres_ends_and_returns(own_postgres, start_core, start_bridge, ledger, kept, pick, end):
    core = start_core(DATABASE_URL=own_postgres.create_database(), LOG_LEVEL="warning")
    bridge = start_bridge(core, LOG_LEVEL="warning")
    took = []
    with core.client() as rpc, Load(ledger, core.url, 6, bridge.url, 3) as load:
        for _ in range(pick(2, 20)):
            load.wait_for_creates(50)
            getattr(own_postgres, end)()
            wait_for_refusal(rpc, 5.0)
            own_postgres.start()
            took.append(seconds_until_back(rpc, load))
    kept(core, f"PostgreSQL {end}, {len(took)} times, back after {max(took):.2f} s at most")
    assert max(took) < BACK_WITHIN


def test_postgres_cut_off(proxy, proxied_url, start_core, start_bridge, ledger, kept, pick):
    """The network between core and PostgreSQL swallows everything for a while, then works again."""
    seconds = pick(14, 30)
    core = start_core(DATABASE_URL=proxied_url, LOG_LEVEL="warning")
    bridge = start_bridge(core, LOG_LEVEL="warning")
    with core.client() as rpc, Load(ledger, core.url, 6, bridge.url, 3) as load:
        load.wait_for_creates(50)
        end = time.monotonic() + seconds
        proxy.freeze()
        code, _, waited = attempt(rpc, timeout_ms=2000)
        assert code == "DEADLINE_EXCEEDED" and 1.8 < waited < 2.2, f"{code} after {waited:.2f} s"
        wait_for_refusal(rpc, 13.0)  # a connection is given up after ten seconds of silence
        time.sleep(max(0.0, end - time.monotonic()))
        proxy.thaw()
        took = seconds_until_back(rpc, load)
    kept(core, f"PostgreSQL cut off for {seconds} s, back after {took:.2f} s")
    assert took < BACK_WITHIN


def test_postgres_that_does_not_answer_attempts(proxy, proxied_url, start_core, told, pick):
    """Packets are dropped, connections torn: each attempt to connect meets silence. The network's
    return is found soon whenever in an attempt it comes."""
    core = start_core(DATABASE_URL=proxied_url, LOG_LEVEL="warning")
    took = []
    with core.client() as rpc:
        for number in range(pick(2, 40)):
            assert rpc.serving() and rpc.create().event_id
            proxy.ignore()
            proxy.reset()
            wait_for_refusal(rpc, 5.0)
            time.sleep((3.3, 1.2, 4.1, 2.2)[number % 4])
            proxy.listen()
            start = time.monotonic()
            wait_until(rpc.serving, "serving again", interval=0.01)
            took.append(time.monotonic() - start)
    told(f"{len(took)} times no answer to attempts: back after {max(took):.2f} s at most")
    assert max(took) < BACK_WITHIN


def cut_commits(proxy, when, count):
    """Has the proxy cut the connection around the next `count` commits of creates. `when`: "before"
    PostgreSQL gets the end of the transaction, "after" it got that, "answered" after it answered.
    Returns a list with an entry for each cut."""
    cuts = []

    def hook(connection, direction, data):
        if direction == "up" and APPEND in data and len(cuts) < count:
            connection.notes["commit"] = True
        if "commit" not in connection.notes:
            return data
        ends = data.endswith(SYNC if direction == "up" else READY)
        if direction == "up" and ends and when != "answered":
            cuts.append(when)
            if when == "after":
                connection.server.sendall(data)
            connection.reset()
            return None
        if direction == "down":
            if ends:
                cuts.append(when)
                connection.reset()
            return None
        return data

    proxy.hook = hook
    return cuts


@pytest.mark.parametrize("when", ["before", "after", "answered"])
def test_commit_whose_answer_was_lost(proxy, proxied_url, start_core, ledger, kept, pick, when):
    count = pick(5, 200)
    core = start_core(DATABASE_URL=proxied_url, LOG_LEVEL="warning")
    with Load(ledger, core.url, 4) as load:
        load.wait_for_creates(20)
        cuts = cut_commits(proxy, when, count)
        wait_until(lambda: len(cuts) >= count, "cuts", deadline=pick(30, 600))
        load.wait_for_creates(20)
    kept(core, f"{count} commits cut {when}")
    assert set(ledger.answers) <= {"created", "acknowledged", "UNAVAILABLE"}, ledger.answers


def test_outcome_that_stays_unknown_is_told_as_such(proxy, proxied_url, start_core):
    """PostgreSQL committed, its answer was lost, and it stayed away past the deadline."""
    core = start_core(DATABASE_URL=proxied_url, LOG_LEVEL="warning")
    event_id = new_event_id()
    request = events.CreateEventRequest(
        event_id=event_id, source="crm", event_type="lead", payload=b"{}"
    )
    with core.client() as rpc:
        assert rpc.create().event_id
        cuts = cut_commits(proxy, "answered", 1)
        proxy.refuse()
        with pytest.raises(RpcError) as caught:
            rpc.event("CreateEvent", request, timeout_ms=1500)
        assert cuts, "nothing was cut"
        assert (caught.value.code, caught.value.reason) in (
            ("UNAVAILABLE", "OUTCOME_UNKNOWN"),
            ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
        )
        proxy.listen()
        wait_until(rpc.serving, "serving again")
        stored = rpc.event("GetEvent", event_id=event_id).event
        again = rpc.event("CreateEvent", request)
        assert again.created_at == stored.created_at
        assert len(rpc.event("ListInbox").events) == 2
