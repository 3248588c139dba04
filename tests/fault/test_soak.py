"""High load for a long time: memory and descriptors stay flat. The long form takes half an hour for
each store and means most without sanitizers: TRIGGERS_BUILD=build/release."""

import contextlib
import itertools
import subprocess
import threading
import time

import httpx

from support.memory import MIB, resident
from support.program import program_path

OPERATIONS = ["create", "get", "inbox", "health", "ack"]
SLACK = 24 * MIB


def work(core, op, seconds):
    command = [program_path("triggers"), "bench", "--core", core.url, "--op", op, "--output", "json"]
    command += ["--duration", str(seconds), "--concurrency", "16", "--prepare", "2000"]
    subprocess.run(command, capture_output=True, timeout=seconds + 120)


@contextlib.contextmanager
def rest_callers(bridge, count):
    """So many clients of the bridge that create, list and acknowledge all the time."""
    stop = threading.Event()
    wrong = []

    def call():
        with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
            body = {"source": "soak", "event_type": "soak", "payload": {"text": "x" * 1000}}
            while not stop.is_set():
                created = http.post("/api/v1/events", json=body)
                listed = http.get("/api/v1/inbox?limit=10")
                acked = http.delete(f"/api/v1/events/{created.json()['event_id']}")
                if (created.status_code, listed.status_code, acked.status_code) != (201, 200, 200):
                    wrong.append((created, listed, acked))

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]


def test_memory_and_descriptors_stay_flat(start_core, start_bridge, new_store_url, pick, told):
    core = start_core(DATABASE_URL=new_store_url(), LOG_LEVEL="error")
    bridge = start_bridge(core, LOG_LEVEL="error")
    seconds, turn = pick((4, 0.5), (1800, 5))
    start = time.monotonic()
    seen = {core: [], bridge: []}  # memory and descriptors after each round
    with rest_callers(bridge, 2):
        for op in itertools.cycle(OPERATIONS):
            work(core, op, turn)
            if op == OPERATIONS[-1]:
                for program, values in seen.items():
                    values.append((resident(program), program.descriptors()))
                if time.monotonic() - start > seconds and len(seen[core]) > 1:
                    break
    took = time.monotonic() - start
    for program, values in seen.items():
        early = max(memory for memory, _ in values[: max(1, len(values) // 5)])
        memory, descriptors = values[-1]
        told(f"soak of {took:.0f} s: {program.name} {early / MIB:.1f} MiB in the first fifth,"
             f" {memory / MIB:.1f} at the end; descriptors {values[0][1]} and {descriptors}")
        assert descriptors <= values[0][1] + 8  # a few connections more or less
        # Sanitizers keep for a while what was freed.
        assert memory <= early + pick(300 * MIB, SLACK), f"{program.name} grows"
