"""The clocks of hosts are set, by an hour, while workers share a subscription: PostgreSQL's, whose time
leases go by, and a core's, which does not matter to them. A lease ends in time by its holder's own clock,
or early when the clock was set forward; nothing is lost, and nothing settled twice."""

import time

import pytest

from support.deliveries import Deliveries
from support.fake_clock import FakeClock
from support.load import Load
from support.postgres import PostgresServer
from support.program import build_folder
from support.rpc import BareClient
from support.workers import Workers

ATTEMPTS = 3
IS_SANITIZED = build_folder().name in ("asan", "tsan")
HOUR = 3600


@pytest.fixture
def clock():
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def url(clock):
    """Of a database whose server goes by the clock."""
    with PostgresServer(clock.environment) as server:
        yield server.create_database()


class Play:
    """Workers and creators at two cores, and what holds afterwards."""

    def __init__(self, cores, ledger):
        self.cores = cores
        self.urls = [core.url for core in cores]
        self.ledger = ledger
        self.deliveries = Deliveries("work", ATTEMPTS, own_clock=True)
        with cores[0].client() as rpc:
            rpc.subscription(
                "PutSubscription", "work", max_delivery_attempts=ATTEMPTS,
                backoff={"minimum_seconds": 0, "maximum_seconds": 1},
            )

    def set(self, clock, steps):
        """Under load the clock is set to this and that. On the way out all is settled, within a minute."""
        was = 0
        with Workers(self.deliveries, self.urls, 4):
            with Load(self.ledger, self.urls, 2, client=BareClient) as load:
                load.wait_for_creates(30)
                for seconds in steps:
                    self._hold()
                    begin = time.time()
                    clock.set(seconds)
                    self._tell_cores()
                    load.wait_for_creates(30)
                    if seconds > was:
                        self.deliveries.set_forward(begin)
                    was = seconds

    def _tell_cores(self):
        """Each has heard what time it is, which comes with every answer of the store."""
        for url in self.urls:
            with BareClient(url) as rpc:
                rpc.subscription("GetSubscription", "work")

    def _hold(self):
        """A worker gets something, and is never heard of again."""
        with BareClient(self.urls[0]) as rpc:
            sent, answer = None, None
            while not (answer and answer.deliveries):
                sent = time.time()
                answer = rpc.subscription("Pull", "work", max_events=5, lease_seconds=5, wait_ms=1000)
            self.deliveries.pulled(sent, answer.deliveries, 5)

    def check(self):
        for core in self.cores:
            with core.client() as rpc:
                wrong = self.deliveries.check(rpc)
            assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:20])
        assert self.deliveries.leases, "nothing was given out"


def test_the_clock_of_postgresql_is_set(start_core, url, clock, ledger, kept, told, pick):
    rounds = pick(1, 34)
    cores = [start_core(DATABASE_URL=url, LOG_LEVEL="warning") for _ in range(2)]
    play = Play(cores, ledger)
    play.set(clock, [-HOUR, 0, HOUR, 0] * rounds)
    kept(cores[0], f"{rounds} times the clock of PostgreSQL was set back and forth by an hour, twice")
    told(play.deliveries.summary())
    play.check()
    for core in cores:
        core.wait_for_line("the store's clock was set back")


@pytest.mark.skipif(IS_SANITIZED, reason="two libraries that want to be the first")
def test_the_clock_of_a_core_is_set(start_core, own_postgres, clock, ledger, kept, told, pick):
    rounds = pick(1, 34)
    settings = {"DATABASE_URL": own_postgres.create_database(), "LOG_LEVEL": "warning"}
    cores = [start_core(**settings, **clock.environment), start_core(**settings)]
    play = Play(cores, ledger)
    play.set(clock, [-HOUR, HOUR, 0] * rounds)
    kept(cores[1], f"{rounds} times the clock of a core was set back and forth by an hour")
    told(play.deliveries.summary())
    play.deliveries.forwards.clear()  # which end nothing
    play.check()
