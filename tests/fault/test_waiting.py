"""Those who wait for events at one core, for what another one stores in PostgreSQL, while the sessions over
which cores tell each other of it are cut off, or cannot be had, or the server ends: nobody misses an event or
gets one twice, and afterwards it is quick again."""

import threading
import time

from support.network import wait_until
from support.pgbouncer import PgBouncer
from support.protocol import envelope
from support.rpc import RpcError
from support.waiting import SECOND, Waiting, delay_to_other, request, sequences, wait_for_waiting

NOTICES = (
    "from pg_stat_activity where application_name = 'triggersd'"
    " and (query ilike '%listen triggers_log%' or query ilike '%pg_notify%')"
)


class Follower(threading.Thread):
    """Reads the log along until it has read up to `last`; `found` are the sequences, with the time when each
    came."""

    def __init__(self, core):
        super().__init__(daemon=True)
        self.core = core
        self.found = []
        self.last = None

    def run(self):
        after = 0
        with self.core.client() as rpc:
            while self.last is None or after < self.last:
                try:
                    page = rpc.event("ListEvents", after_sequence=after, wait_ms=1000)
                except RpcError as error:
                    assert error.code == "UNAVAILABLE"
                    continue
                self.found += [(event.sequence, time.monotonic()) for event in page.events]
                after = page.next_after

    def finish(self, last):
        self.last = last
        self.join(60)
        assert not self.is_alive(), f"{len(self.found)} of {last}"
        assert [sequence for sequence, _ in self.found] == list(range(1, last + 1))


def test_the_sessions_of_notices_are_cut_off(own_postgres, start_core, pick):
    url = own_postgres.create_database()
    cores = [start_core(DATABASE_URL=url, LOG_LEVEL="info") for _ in range(2)]
    followers = [Follower(core) for core in cores]
    for follower in followers:
        follower.start()
    count = 0
    with cores[0].client() as one, cores[1].client() as other:
        for _ in range(pick(5, 100)):
            wait_until(lambda: own_postgres.psql(f"select count(*) {NOTICES}") == "2", "both listening")
            for rpc in (one, other, one):
                count = rpc.create().sequence
            own_postgres.psql(f"select pg_terminate_backend(pid) {NOTICES}")
            for rpc in (other, one):
                count = rpc.create().sequence
        wait_until(lambda: own_postgres.psql(f"select count(*) {NOTICES}") == "2", "both listening")
        delays = []
        for _ in range(11):
            count = one.create().sequence
            created = time.monotonic()
            wait_until(lambda: len(followers[1].found) >= count, "the event at the other core")
            delays.append(followers[1].found[-1][1] - created)
    for follower in followers:
        follower.finish(count)
    assert sorted(delays)[5] < 0.2, delays  # not by the look of every second


def test_cores_behind_a_pooler_wake_each_other(own_postgres, start_core):
    """Without notices, by the look of every second."""
    with PgBouncer(own_postgres) as pooler:
        url = pooler.url(own_postgres.create_database())
        cores = [start_core(DATABASE_URL=url) for _ in range(2)]
        with cores[0].client() as one, cores[1].client() as other:
            for number in range(3):
                assert delay_to_other(one, other, number) < 3 * SECOND
        for core in cores:
            core.wait_for_line("pooler")


def test_a_core_has_one_session_for_notices_and_one_for_subscriptions(own_postgres, start_core):
    url = own_postgres.create_database()
    core = start_core(DATABASE_URL=url)
    ours = f"from pg_stat_activity where datname = '{url.rsplit('/', 1)[1]}'"
    count = lambda: own_postgres.psql(f"select count(*) {ours}")  # noqa: E731
    wait_until(lambda: count() == "6", "four sessions of TRIGGERS_DB_CONNECTIONS and two")
    assert own_postgres.psql(f"select count(*) {NOTICES}") == "1"
    with core.client() as rpc:
        rpc.create()
    core.stop()
    wait_until(lambda: count() == "0", "none left")


def test_a_wait_survives_the_loss_of_the_store(own_postgres, start_core):
    core = start_core(DATABASE_URL=own_postgres.create_database())
    with core.client() as rpc, core.client() as other:
        call = Waiting(rpc, request())
        wait_for_waiting(other, 1)
        own_postgres.stop()
        own_postgres.start()
        core.wait_serving()
        wait_until(lambda: asks(rpc.create), "a create")
        [woken] = call.finish()  # perhaps before its session was there again
        page = wait_until(lambda: asks(rpc.event, "ListEvents", wait_ms=1000), "a page")
        assert page.events[0].sequence == 1
        assert woken.code == envelope.UNAVAILABLE or sequences(woken)[0] == 1


def asks(call, *arguments, **fields):
    """The answer; None when the store is not there."""
    try:
        return call(*arguments, **fields)
    except RpcError as error:
        assert error.code == "UNAVAILABLE"
        return None
