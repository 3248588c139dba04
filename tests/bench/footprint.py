"""What the services take: memory, time to start, a quarter of a processor, and their settings. Each
function measures one row and returns lines of what was measured, the figure, the target and whether
it was met."""

import contextlib
import os
import time
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
    fields = Path(f"/proc/{program.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


# ---- 16 ----


def settings(world):
    """Creates a second for other settings than the defaults, over those of the defaults."""
    lines = []
    usual = binary_and_rest(world)
    for connections in (8, 16, 32):
        binary, rest = binary_and_rest(world, {"TRIGGERS_DB_CONNECTIONS": connections})
        what = f"{connections // 4} writers instead of 1: binary 512, REST 256"
        lines.append((what, f"{binary / usual[0]:.2f}, {rest / usual[1]:.2f}", "≤ 1.05", ""))
    for threads in (1, 4):
        _, rest = binary_and_rest(world, {}, {"TRIGGERS_BRIDGE_THREADS": threads})
        what = f"{threads} bridge threads instead of 2: REST 256"
        lines.append((what, f"{rest / usual[1]:.2f}", "≤ 1.05", ""))
    return lines


def binary_and_rest(world, core_settings=None, bridge_settings=None):
    core = world.core(world.postgres.url("bench"), **(core_settings or {}))
    bridge = world.bridge(core, **(bridge_settings or {}))
    world.empty_postgres()
    binary = core.load("create", in_flight=512, seconds=world.seconds)["per_second"]
    world.empty_postgres()
    rest, _ = bridge.wrk(256, world.seconds, script="create")
    bridge.stop()
    core.stop()
    return binary, rest


FOOTPRINTS = {"13": memory, "14": start, "15": fargate, "16": settings}
