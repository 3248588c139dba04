"""What the services take: a store that fills, memory, time to start, a quarter of a processor, and
their settings. Each
function measures one row and returns lines of what was measured, the figure, the target and whether
it was met."""

import contextlib
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contenders import answers
from servers import BenchmarkFailed, resident_megabytes
from support.network import wait_until


def verdict(met):
    return "met" if met else "missed"


# ---- 13 ----


def memory(world):
    core, bridge = peak_sizes(world, 64)
    both = sum(peak_sizes(world, 1000))
    return [
        ("core, peak resident, 64 connections", f"{core:.0f} MB", "≤ 32 MB", verdict(core <= 32)),
        ("bridge, the same", f"{bridge:.0f} MB", "≤ 16 MB", verdict(bridge <= 16)),
        ("together, 1,000 connections", f"{both:.0f} MB", "≤ 64 MB", verdict(both <= 64)),
    ]


def peak_sizes(world, connections):
    """Of a new core and bridge, in megabytes: 64 clients of the core, so many of the bridge."""
    core = world.core(world.postgres.url(f"memory_{connections}"))
    bridge = world.bridge(core)
    core.load("create", in_flight=64, clients=64, seconds=world.seconds)
    bridge.wrk(connections, world.seconds, script="create")
    sizes = resident_megabytes(core), resident_megabytes(bridge)
    bridge.stop()
    core.stop()
    return sizes


# ---- 14 ----


def processor_seconds(program):
    """Of its threads; in nanoseconds, as a clock tick of stat would be a tenth of a percent of 10 s."""
    threads = Path(f"/proc/{program.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def start(world):
    folder = world.folder / "start"
    folder.mkdir(exist_ok=True)
    times = []
    for number in range(5):
        begin = time.monotonic()
        core = world.core_unawaited(f"sqlite:///{folder}/{number}.db")
        wait_until(lambda: answers_create(core), "the first create", interval=0.001)
        times.append(time.monotonic() - begin)
        if number < 4:
            core.stop()
    middle = sorted(times)[2] * 1000
    bridge = world.bridge(core)
    before = processor_seconds(core) + processor_seconds(bridge)
    time.sleep(world.seconds * 4)
    idle = (processor_seconds(core) + processor_seconds(bridge) - before) / (world.seconds * 4)
    bridge.stop()
    core.stop()
    return [
        ("start to first create, SQLite", f"{middle:.0f} ms", "≤ 150 ms", verdict(middle <= 150)),
        ("core and bridge idle", f"{idle:.2%} of a processor", "≤ 0.1 %", verdict(idle <= 0.001)),
    ]


def answers_create(core):
    with contextlib.suppress(BenchmarkFailed):
        return core.accepts() and core.load("create", in_flight=1, count=1, seconds=5)["calls"] == 1
    return False


# ---- 15 ----


@contextlib.contextmanager
def quarter_of_a_processor(*programs):
    """The programs in one cgroup (version 1 or 2) of 0.25 processors and 512 MB."""
    name = f"triggers-bench-{os.getpid()}"
    first = Path("/sys/fs/cgroup")
    if (first / "cgroup.controllers").exists():
        limits = {first / name: {"cpu.max": "25000 100000", "memory.max": 512 << 20}}
        (first / "cgroup.subtree_control").write_text("+cpu +memory")
    else:
        limits = {
            first / "cpu" / name: {"cpu.cfs_period_us": 100000, "cpu.cfs_quota_us": 25000},
            first / "memory" / name: {"memory.limit_in_bytes": 512 << 20},
        }
    for group, settings in limits.items():
        group.mkdir()
        for file, value in settings.items():
            (group / file).write_text(str(value))
        for program in programs:
            (group / "cgroup.procs").write_text(str(program.pid))
    try:
        yield
    finally:
        for program in programs:
            program.stop()
        for group in limits:
            group.rmdir()


def fargate(world):
    core = world.core(world.postgres.url("fargate"))
    bridge = world.bridge(core)
    try:
        with quarter_of_a_processor(core, bridge):
            core.load("create", in_flight=64, seconds=2)
            binary = core.load("create", in_flight=64, seconds=world.seconds * 2)["per_second"]
            rest, _ = bridge.wrk(64, world.seconds * 2, script="create")
            half = core.load(
                "create", in_flight=256, seconds=world.seconds * 2, rate=max(int(binary / 2), 1)
            )
    except OSError as error:
        return [("a quarter of a processor", "–", "report", f"no cgroup: {error}")]
    return [
        ("0.25 processors, 512 MB: binary creates", f"{binary:.0f} a second", "report", ""),
        ("the same over REST, 64 connections, no error", f"{rest:.0f} a second", "report", ""),
        ("binary p99 at half that rate", f"{half['p99_us'] / 1000:.0f} ms", "report", ""),
    ]


# ---- 11 ----


def churn(world):
    """Creates and acknowledges events in the full store for `minutes`, in slices: the pace of the last
    fifth over that of the first, and the size of the table of pending events and its index."""
    core = world.on_full
    seconds = max(world.minutes * 60 / 30, 1)
    paces, sizes = [], [pending_megabytes(world)]
    while len(paces) < 30:
        paces.append(core.load("churn", in_flight=64, seconds=seconds)["per_second"])
        sizes.append(pending_megabytes(world))
        print(f"  churn: {paces[-1]:.0f} calls a second, {sizes[-1]:.0f} MB", file=sys.stderr)
    pace = statistics.median(paces[-6:]) / statistics.median(paces[:6])
    growth = sizes[-1] / sizes[0]
    what = f"{world.minutes:g} minutes of churn"
    return [
        (f"{what}: the last fifth's pace over the first's", f"{pace:.2f}", "≥ 0.9", verdict(pace >= 0.9)),
        (f"{what}: size of the inbox over before", f"{growth:.2f}", "≤ 1.1", verdict(growth <= 1.1)),
    ]


def pending_megabytes(world):
    size = world.postgres.psql("select pg_total_relation_size('triggers.pending')", "full")
    return int(size) / 2**20


# ---- 16 ----

# What is varied: writers (a quarter of the core's sessions, at least one) and the bridge's threads.
SETTINGS = {
    "1 writer, 2 bridge threads (the defaults)": ({}, {}),
    "2 writers": ({"TRIGGERS_DB_CONNECTIONS": 8}, {}),
    "4 writers": ({"TRIGGERS_DB_CONNECTIONS": 16}, {}),
    "8 writers": ({"TRIGGERS_DB_CONNECTIONS": 32}, {}),
    "1 bridge thread": ({}, {"TRIGGERS_BRIDGE_THREADS": 1}),
    "3 bridge threads": ({}, {"TRIGGERS_BRIDGE_THREADS": 3}),
    "4 bridge threads": ({}, {"TRIGGERS_BRIDGE_THREADS": 4}),
}


def settings(world):
    """Creates a second, over those with the defaults, from two and from four load generators."""
    lines = []
    for generators in (2, 4):
        figures = {name: [] for name in SETTINGS}
        for round_number in range(world.rounds):
            for name in SETTINGS if round_number % 2 == 0 else reversed(SETTINGS):
                figures[name].append(creates_with(world, generators, *SETTINGS[name]))
        middles = {name: [statistics.median(f) for f in zip(*all)] for name, all in figures.items()}
        usual = next(iter(middles.values()))
        for name, (binary, rest) in middles.items():
            ratios = binary / usual[0], rest / usual[1]
            what = f"{name}, {generators} load generators: binary 512, REST 256"
            figure = f"{ratios[0]:.2f}, {ratios[1]:.2f}"
            lines.append((what, figure, "≤ 1.05", verdict(max(ratios) <= 1.05)))
    return lines


def creates_with(world, generators, core_settings, bridge_settings):
    """A second: binary with 512 calls in flight, REST with 256 connections."""
    core = world.core(world.postgres.url("bench"), **core_settings)
    bridge = world.bridge(core, **bridge_settings)
    try:
        world.empty_postgres()
        options = {"in_flight": 512 // generators, "seconds": world.seconds}
        with ThreadPoolExecutor(generators) as pool:
            loads = [pool.submit(core.load, "create", **options) for _ in range(generators)]
        binary = sum(load.result()["per_second"] for load in loads)
        world.empty_postgres()
        rest, _ = bridge.wrk(256, world.seconds, script="create", threads=generators)
    finally:
        bridge.stop()
        core.stop()
    return binary, rest


FOOTPRINTS = {"11": churn, "13": memory, "14": start, "15": fargate, "16": settings}
