"""Processes that work on a subscription are killed at any moment: every event is handled, and again only
what a dead one had, each time with the next attempt."""

import random
import time
from collections import Counter

import pytest

from support.network import wait_until
from support.program import Program, program_path

WORKERS = 3
AT_ONCE = 4
CREATED = 40  # in a round


@pytest.fixture
def work_at(started, tmp_path):
    """work_at(url): a worker, which writes down each event it begins with, and its attempt."""
    handled = tmp_path / "handled"
    handled.touch()
    command = f'echo "$TRIGGERS_EVENT_SEQUENCE $TRIGGERS_DELIVERY_ATTEMPT" >> {handled}; sleep 0.05'

    def start(url):
        words = ["consume", "work", "--concurrency", str(AT_ONCE), "--exec", command]
        started.append(Program([program_path("triggers"), *words], tmp_path, TRIGGERS_CORE=url))
        return started[-1]

    start.handled = lambda: [tuple(map(int, line.split())) for line in handled.read_text().splitlines()]
    return start


def test_workers_that_are_killed(start_core, new_store_url, work_at, crash, told, pick):
    rounds = pick(5, 100)
    chance = random.Random()
    core = start_core(DATABASE_URL=new_store_url(), LOG_LEVEL="warning")
    with core.client() as rpc:
        rpc.subscription(
            "PutSubscription", "work", lease_seconds=1, max_delivery_attempts=0,
            backoff={"minimum_seconds": 0, "maximum_seconds": 1},
        )
        workers = [work_at(core.url) for _ in range(WORKERS)]
        for number in range(rounds):
            for _ in range(CREATED):
                rpc.create("crm", "lead", b"{}")
            enough = number * CREATED + CREATED // 2
            wait_until(lambda enough=enough: len(work_at.handled()) >= enough, f"{enough} handled")
            time.sleep(chance.random() * 0.1)  # the moment of the kill is any
            crash(workers[number % WORKERS])
            workers[number % WORKERS] = work_at(core.url)
        count = rounds * CREATED

        def settled():
            read = rpc.subscription("GetSubscription", "work")
            return not (read.backlog or read.outstanding or read.delayed)

        wait_until(settled, "all settled")
        for worker in workers:
            worker.terminate()
            assert worker.wait() == 0, worker.describe()
        handled = work_at.handled()
        told(f"{rounds} workers killed: {count} events, {len(handled)} attempts")
        assert {sequence for sequence, _ in handled} == set(range(1, count + 1))
        twice = [each for each, times in Counter(handled).items() if times > 1]
        assert not twice, f"one attempt, two handlers: {twice[:10]}"
        # Of a dead one: what ran, and what it had pulled ahead.
        assert len(handled) - count <= rounds * 2 * AT_ONCE
        assert not rpc.subscription("ListDeadLetters", "work").dead_letters
