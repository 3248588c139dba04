"""Workers share subscriptions and do with what they get whatever workers do, and they, the cores, the
store and the network between them end at any moment: every event is given out until it is settled, to one
at a time, never after that, and becomes a dead letter after its last attempt and not before; those of an
ordering key one after the other, and those that have a time not before it."""

import contextlib
import random
import time

import pytest

from support.deliveries import Deliveries
from support.load import Load
from support.network import free_port
from support.proxy import FaultProxy
from support.replica import Replica, two_host_url
from support.rpc import BareClient
from support.workers import Workers

ATTEMPTS = 3
WORKERS = 4  # of each subscription
CREATORS = 2


class Scene:
    """Two subscriptions of the core, whose events come from creators and go to workers; the second one
    acknowledges in the inbox, and orders by key. Some events are delayed."""

    def __init__(self, core, ledger):
        self.ledger = ledger
        self.deliveries = [
            Deliveries("plain", ATTEMPTS),
            Deliveries("inboxed", ATTEMPTS, acknowledges=True, by_key=True),
        ]
        with core.client() as rpc:
            for one in self.deliveries:
                rpc.subscription(
                    "PutSubscription", one.name, max_delivery_attempts=ATTEMPTS,
                    backoff={"minimum_seconds": 0, "maximum_seconds": 1},
                    acknowledge_in_inbox=one.acknowledges,
                    ordering="ORDERING_BY_KEY" if one.by_key else "ORDERING_NONE",
                )

    @contextlib.contextmanager
    def playing(self, urls):
        """The load. At the end no more is created, and then all is settled."""
        plain, inboxed = self.deliveries
        with Workers(plain, urls, WORKERS), Workers(inboxed, urls, WORKERS, self.ledger):
            with Load(self.ledger, urls, CREATORS, client=BareClient, later=True) as load:
                yield load

    def postgres_crashed(self, begin):
        for one in self.deliveries:
            one.crashed(begin)


@pytest.fixture
def play(ledger):
    """play(core): a scene at the core."""
    return lambda core: Scene(core, ledger)


@pytest.fixture
def right(kept, told):
    """right(scene, cores, what): asserts that what was told can be, and that each of the cores says the
    same."""

    def check(scene, cores, what):
        kept(cores[0], what)
        for one in scene.deliveries:
            told(one.summary())
            for core in cores:
                with core.client() as rpc:
                    wrong = one.check(rpc)
                assert not wrong, f"{one.name}: {len(wrong)} wrong:\n" + "\n".join(wrong[:20])
            assert one.leases, "nothing was given out"

    return check


def test_a_core_that_is_killed(
    start_core, new_store_url, fixed_address, crash, play, right, pick
):
    cycles = pick(3, 100)
    chance = random.Random()
    settings = {**fixed_address, "DATABASE_URL": new_store_url(), "LOG_LEVEL": "warning"}
    core = start_core(**settings)
    scene = play(core)
    with scene.playing(core.url) as load:
        for number in range(cycles):
            load.wait_for_creates(20)
            time.sleep(chance.random() * 0.5)  # the moment of the crash is any
            (core.stop if number % 3 == 2 else lambda: crash(core))()
            core = start_core(**settings)
        load.wait_for_creates(20)
    right(scene, [core], f"{cycles} ends of triggersd under workers")
    core.stop()
    right(scene, [start_core(**settings)], "started again")


def test_two_cores_and_a_store_that_ends(start_core, own_postgres, crash, play, right, pick):
    """Each round PostgreSQL is killed or stopped, or a core is."""
    rounds = pick(8, 100)
    url = own_postgres.create_database()
    places = [f"ws://127.0.0.1:{free_port()}/rpc" for _ in range(2)]

    def begin(number):
        return start_core(TRIGGERS_LISTEN=places[number], DATABASE_URL=url, LOG_LEVEL="warning")

    cores = [begin(number) for number in range(2)]
    scene = play(cores[0])
    with scene.playing(places) as load:
        for number in range(rounds):
            load.wait_for_creates(30)
            which = number // 2 % 2
            if number % 2 == 0:
                started = time.time()
                (own_postgres.stop if number % 4 == 2 else own_postgres.kill)()
                own_postgres.start()
                scene.postgres_crashed(started)
            else:
                (cores[which].stop if number % 8 == 5 else lambda: crash(cores[which]))()
                cores[which] = begin(which)
        load.wait_for_creates(30)
    right(scene, cores, f"{rounds} ends of PostgreSQL and of two cores under workers")


def test_a_network_that_fails(start_core, new_store_url, play, right, pick):
    """Connections are torn, stand still, and die without a word, those of workers and of creators."""
    rounds = pick(3, 100)
    core = start_core(DATABASE_URL=new_store_url(), LOG_LEVEL="warning")
    scene = play(core)
    with FaultProxy(int(core.url.split(":")[2].split("/")[0])) as proxy:
        with scene.playing(f"ws://127.0.0.1:{proxy.port}/rpc") as load:
            for number in range(rounds):
                load.wait_for_creates(20)
                if number % 3 == 0:
                    proxy.reset()
                elif number % 3 == 1:
                    proxy.freeze()
                    time.sleep(1.5)  # leases end meanwhile
                    proxy.thaw()
                else:
                    proxy.lose()
            load.wait_for_creates(20)
        right(scene, [core], f"{rounds} faults of the network of workers")


def test_a_network_before_the_store_that_fails(start_core, own_postgres, play, right, pick):
    """The same between two cores and PostgreSQL."""
    rounds = pick(4, 100)
    url = own_postgres.create_database()
    with FaultProxy(own_postgres.port) as proxy:
        url = url.replace(f":{own_postgres.port}/", f":{proxy.port}/")
        cores = [start_core(DATABASE_URL=url, LOG_LEVEL="warning") for _ in range(2)]
        scene = play(cores[0])
        with scene.playing([core.url for core in cores]) as load:
            for number in range(rounds):
                load.wait_for_creates(20)
                if number % 2 == 0:
                    proxy.reset()
                else:
                    proxy.freeze()
                    time.sleep(1.5)
                    proxy.thaw()
            load.wait_for_creates(20)
        right(scene, cores, f"{rounds} faults of the network before PostgreSQL")
        for core in cores:
            core.stop()


def test_a_failover(own_postgres, start_core, play, right, pick):
    """The primary dies and its synchronous replica takes over, under two cores."""
    times = pick(1, 100)
    with contextlib.ExitStack() as servers:
        primary = own_postgres
        replica = servers.enter_context(Replica(primary))
        replica.follow(synchronously=True)
        url = two_host_url(primary, replica)
        cores = [start_core(DATABASE_URL=url, LOG_LEVEL="warning") for _ in range(2)]
        scene = play(cores[0])
        with scene.playing([core.url for core in cores]) as load:
            for number in range(times):
                load.wait_for_creates(100)
                started = time.time()
                primary.kill()
                replica.promote()
                scene.postgres_crashed(started)
                load.wait_for_creates(100)
                if number + 1 < times:
                    dead, primary = primary, replica
                    replica = servers.enter_context(Replica(primary, dead.port))
                    replica.follow(synchronously=True)
        right(scene, cores, f"{times} failovers under workers")
        for core in cores:
            core.stop()
