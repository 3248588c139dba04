"""The bridge is killed again and again: it keeps nothing, so what it answered is in the core, and what
callers send again with the same Idempotency-Key is there once."""

import random
import time

from support.load import Load
from support.network import free_port


def test_killed_bridge_loses_and_doubles_nothing(core, start_bridge, crash, ledger, kept, pick):
    cycles = pick(10, 100)
    chance = random.Random()
    port = free_port()

    def restart():
        return start_bridge(core, LOG_LEVEL="warning", API_PORT=port)

    bridge = restart()
    with Load(ledger, bridge_url=bridge.url, rest=8, keys=True) as load:
        for _ in range(cycles):
            load.wait_for_creates(20)
            time.sleep(chance.random() * 0.3)  # the moment of the crash is any
            crash(bridge)
            bridge = restart()
        load.wait_for_creates(20)
    kept(core, f"{cycles} kills of triggers-bridge")
