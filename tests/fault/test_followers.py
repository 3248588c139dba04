"""Cores and the store are killed, stopped, replaced and started again while events come and followers read
along, over one core or over any of two: every follower prints every event once, in the order of the log."""

import contextlib
import json
import random
import re
import threading
import time

import httpx
import pytest

from support.ledger import microseconds, payload_of, read_page
from support.load import Load
from support.network import free_port, wait_until
from support.program import Program, program_path
from support.proxy import FaultProxy
from support.replica import Replica, two_host_url
from support.rpc import BareClient

WAYS = {
    "tail": ["tail", "--after", "0"],
    "filtered": ["tail", "--since", "1h", "--source", "c*", "--event-type", "lead"],
    "inbox": ["inbox", "--follow"],
}
COMMANDS = {"tail": ["tail"], "inbox": ["inbox", "--follow"]}
QUICK = ["--timeout", "2"]
TRY_LATER = 4  # the exit status


class Follower:
    """A `triggers` that follows, and continues where it said when it is started again. `printed`: the
    sequences that it has printed in all."""

    def __init__(self, start, words):
        self._start = start
        self._words = words
        self._before = []
        self.program = start(words)

    def lines(self):
        return len(self._before) + len(self.program.stdout)

    def printed(self):
        return self._before + [event["sequence"] for event in self.program.log]

    def restart(self):
        """Ends it with a signal, if it had not ended because nobody answered its first call."""
        self.program.terminate()
        assert self.program.wait() in (0, TRY_LATER), self.program.describe()
        self._before = self.printed()
        told = re.findall(r"--after (\d+)$", "\n".join(self.program.stderr[-1:]))
        if told:
            command = self._words[0]
            self._words = [*COMMANDS[command], "--after", *told]
        self.program = self._start(self._words)

    def wait_for_lines(self, count):
        def printed():
            if not self.program.running:
                self.restart()
            return self.lines() >= count

        try:
            wait_until(printed, f"{count} events", interval=0.1)
        except AssertionError as late:
            missing = sorted(set(range(1, count + 1)) - set(self.printed()))[:10]
            raise AssertionError(f"{late}; missing {missing}, {self.program.describe()}") from None


class Stream(threading.Thread):
    """The same for a client of a bridge's server-sent events, which comes back as the standard says."""

    def __init__(self, bridge):
        super().__init__(daemon=True)
        self.program = bridge
        self._events = []
        self._ended = threading.Event()
        self.start()

    def run(self):
        place = {"Last-Event-ID": "0"}
        with httpx.Client(base_url=self.program.url, trust_env=False, timeout=30.0) as http:
            while not self._ended.wait(0.05):
                with contextlib.suppress(httpx.TransportError), http.stream(
                    "GET", "/api/v1/events/stream", headers=place
                ) as answer:
                    for line in answer.iter_lines():
                        name, _, value = line.partition(": ")
                        if name == "id":
                            place["Last-Event-ID"] = value
                        if name == "data":
                            self._events.append(json.loads(value))
                        if self._ended.is_set():
                            break

    def printed(self):
        return [event["sequence"] for event in self._events]

    def wait_for_lines(self, count):
        wait_until(lambda: len(self._events) >= count, f"{count} events", interval=0.1)

    def end(self):
        self._ended.set()


@pytest.fixture
def follow(started, tmp_path):
    """follow(urls, words): a follower of the cores at `urls`."""

    def start_at(urls):
        def start(words):
            command = [program_path("triggers"), *words, *QUICK]
            program = Program(command, tmp_path, TRIGGERS_CORE=",".join(urls))
            started.append(program)
            return program

        return start

    return lambda urls, words: Follower(start_at(urls), words)


@pytest.fixture
def greeted(ledger):
    """greeted(core, followers): stores the first event, which each prints before others come, so that an
    inbox that is followed from now on misses none that somebody acknowledges."""

    def greet(core, followers):
        entry = ledger.sent("first", "crm", "lead", payload_of("first"))
        with core.client() as rpc:
            answer = rpc.create("crm", "lead", entry.payload)
        ledger.created(entry, answer.event_id, microseconds(answer.created_at))
        for follower in followers.values():
            follower.wait_for_lines(1)

    return greet


@pytest.fixture
def complete(told):
    """complete(core, followers): asserts that each has printed, or soon will have, the whole log."""

    def check(core, followers):
        with core.client() as rpc:
            assert read_page(rpc, "ListEvents", page_size=1).first_sequence == 1
            last = [
                read_page(rpc, status=status, page_size=1).events[0].sequence for status in (1, 2)
            ]
        count = max(last)
        for name, follower in followers.items():
            follower.wait_for_lines(count)
            printed = follower.printed()
            expected = list(range(1, count + 1))
            wrong = [pair for pair in zip(printed, expected) if pair[0] != pair[1]][:5]
            assert printed == expected, f"{name}: {wrong}, {follower.program.describe()}"
        told(f"{len(followers)} followers have printed {count} events once")

    return check


def test_followers_of_a_core_that_is_killed(
    start_core, new_store_url, fixed_address, crash, follow, greeted, ledger, kept, complete, pick
):
    cycles = pick(6, 60)
    chance = random.Random()
    settings = {**fixed_address, "DATABASE_URL": new_store_url(), "LOG_LEVEL": "warning"}
    core = start_core(**settings)
    followers = {name: follow([core.url], words) for name, words in WAYS.items()}
    followers["restarted"] = follow([core.url], WAYS["tail"])
    followers["restarted inbox"] = follow([core.url], WAYS["inbox"])
    greeted(core, followers)
    with Load(ledger, core.url, 6, client=BareClient) as load:
        for number in range(cycles):
            load.wait_for_creates(20)
            time.sleep(chance.random() * 0.3)  # the moment of the crash is any
            (core.stop if number % 3 == 2 else lambda: crash(core))()
            for name in ("restarted", "restarted inbox"):
                if number % 2:
                    followers[name].restart()
            core = start_core(**settings)
            for name in ("restarted", "restarted inbox"):
                if number % 2 == 0:
                    followers[name].restart()
        load.wait_for_creates(20)
    kept(core, f"{cycles} ends of triggersd under followers")
    complete(core, followers)


def test_followers_of_two_cores_and_a_store_that_ends(
    start_core, own_postgres, crash, follow, greeted, ledger, kept, complete, pick
):
    """Both write. Each round PostgreSQL is killed or stopped, or a core is."""
    rounds = pick(8, 60)
    url = own_postgres.create_database()
    places = [f"ws://127.0.0.1:{free_port()}/rpc" for _ in range(2)]

    def begin(number):
        return start_core(TRIGGERS_LISTEN=places[number], DATABASE_URL=url, LOG_LEVEL="warning")

    cores = [begin(number) for number in range(2)]
    followers = {f"{name} of any": follow(places, words) for name, words in WAYS.items()}
    followers |= {f"tail of {number}": follow([places[number]], WAYS["tail"]) for number in range(2)}
    followers["restarted"] = follow(places, WAYS["tail"])
    greeted(cores[0], followers)
    with Load(ledger, places, 6, client=BareClient) as load:
        for number in range(rounds):
            load.wait_for_creates(30)
            which = number // 2 % 2
            if number % 4 == 0:
                own_postgres.kill()
                own_postgres.start()
            elif number % 4 == 2:
                own_postgres.stop()
                own_postgres.start()
            else:
                (cores[which].stop if number % 8 == 5 else lambda: crash(cores[which]))()
                cores[which] = begin(which)
            followers["restarted"].restart()
        load.wait_for_creates(30)
    kept(cores[0], f"{rounds} ends of PostgreSQL and of two cores under followers")
    complete(cores[1], followers)


def test_followers_over_a_network_that_fails(
    start_core, follow, greeted, ledger, kept, complete, pick
):
    """Connections are torn, stand still, and at last die without a word while the followers wait."""
    rounds = pick(6, 60)
    core = start_core(LOG_LEVEL="warning")
    with FaultProxy(int(core.url.split(":")[2].split("/")[0])) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/rpc"
        followers = {name: follow([url], words) for name, words in WAYS.items()}
        greeted(core, followers)
        with Load(ledger, core.url, 4, client=BareClient) as load:
            for number in range(rounds):
                load.wait_for_creates(20)
                if number % 3 == 0:
                    proxy.reset()
                elif number % 3 == 1:
                    proxy.freeze()
                    load.wait_for_creates(20)
                    proxy.thaw()
                else:
                    proxy.lose()
            load.wait_for_creates(20)
        kept(core, f"{rounds} faults of the network of followers")
        complete(core, followers)


def test_followers_over_a_failover(
    own_postgres, start_core, start_bridge, follow, greeted, ledger, kept, complete, pick
):
    """The primary dies and its synchronous replica takes over, under two cores that both write."""
    times = pick(2, 10)
    with contextlib.ExitStack() as servers:
        primary = own_postgres
        replica = servers.enter_context(Replica(primary))
        replica.follow(synchronously=True)
        url = two_host_url(primary, replica)
        cores = [start_core(DATABASE_URL=url, LOG_LEVEL="warning") for _ in range(2)]
        places = [core.url for core in cores]
        bridge = start_bridge(None, TRIGGERS_CORE=",".join(places), LOG_LEVEL="warning")
        followers = {f"{name} of any": follow(places, words) for name, words in WAYS.items()}
        followers |= {f"tail of {i}": follow([places[i]], WAYS["tail"]) for i in range(2)}
        followers["stream"] = Stream(bridge)
        greeted(cores[0], followers)
        with Load(ledger, places, 6, client=BareClient) as load:
            for number in range(times):
                load.wait_for_creates(100)
                primary.kill()
                replica.promote()
                load.wait_for_creates(100)
                if number + 1 < times:
                    dead, primary = primary, replica
                    replica = servers.enter_context(Replica(primary, dead.port))
                    replica.follow(synchronously=True)
        kept(cores[0], f"{times} failovers under followers")
        complete(cores[1], followers)
        followers["stream"].end()
        for core in cores:
            core.stop()
