"""The core is killed again and again while clients create and acknowledge: what anybody was told is
there afterwards, once, unchanged."""

import random
import time

import pytest

from support.load import Load
from support.rpc import BareClient, RpcClient


@pytest.fixture
def restart(start_core, new_store_url, fixed_address):
    """restart(): a core at the test's address, on the test's store; the first time an empty one."""
    settings = {**fixed_address, "DATABASE_URL": new_store_url(), "LOG_LEVEL": "warning"}
    return lambda: start_core(**settings)


def test_killed_core_keeps_its_word(restart, crash, start_bridge, ledger, kept, pick):
    cycles = pick(10, 100)
    chance = random.Random()
    core = restart()
    bridge = start_bridge(core, LOG_LEVEL="warning")
    client = pick(RpcClient, BareClient)
    with Load(ledger, core.url, 6, bridge.url, 3, keys=True, client=client) as load:
        for _ in range(cycles):
            load.wait_for_creates(20)
            time.sleep(chance.random() * 0.3)  # the moment of the crash is any
            crash(core)
            core = restart()
        load.wait_for_creates(20)
    kept(core, f"{cycles} kills of triggersd")
