"""High load for a long time: memory and descriptors stay flat. The long form takes half an hour and
means most without sanitizers: TRIGGERS_BUILD=build/release."""

import itertools
import subprocess
import time

from support.memory import MIB, resident
from support.program import program_path

OPERATIONS = ["create", "get", "inbox", "health", "ack"]
SLACK = 24 * MIB


def work(core, op, seconds):
    command = [program_path("triggers"), "bench", "--core", core.url, "--op", op, "--output", "json"]
    command += ["--duration", str(seconds), "--concurrency", "16", "--prepare", "2000"]
    subprocess.run(command, capture_output=True, timeout=seconds + 120)


def test_memory_and_descriptors_stay_flat(start_core, new_store_url, pick, told):
    core = start_core(DATABASE_URL=new_store_url(), LOG_LEVEL="error")
    seconds, turn = pick((4, 0.5), (900, 5))
    start = time.monotonic()
    memory, descriptors = [], []
    for op in itertools.cycle(OPERATIONS):
        work(core, op, turn)
        if op == OPERATIONS[-1]:
            memory.append(resident(core))
            descriptors.append(core.descriptors())
            if time.monotonic() - start > seconds and len(memory) > 1:
                break
    early = max(memory[: max(1, len(memory) // 5)])
    told(f"soak of {time.monotonic() - start:.0f} s: memory {early / MIB:.1f} MiB early,"
         f" {memory[-1] / MIB:.1f} at the end; descriptors {descriptors[0]} and {descriptors[-1]}")
    assert descriptors[-1] <= descriptors[0] + 2
    assert memory[-1] <= early + pick(300 * MIB, SLACK)  # sanitizers keep what was freed for a while
