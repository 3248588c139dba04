"""What the services take: a store that fills, memory, time to start, a quarter of a processor, and
their settings; what the log takes beside kinds, a held transaction and other cores. Each function
measures one row and returns lines of what was measured, the figure, the target and whether
it was met."""

import contextlib
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contenders import answers
from servers import PAYLOAD, BenchmarkFailed, resident_megabytes
from support.network import wait_until
from support.session import Session


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

# What is varied: the bridge's threads.
SETTINGS = {
    "2 bridge threads (the default)": {},
    "1 bridge thread": {"TRIGGERS_BRIDGE_THREADS": 1},
    "3 bridge threads": {"TRIGGERS_BRIDGE_THREADS": 3},
    "4 bridge threads": {"TRIGGERS_BRIDGE_THREADS": 4},
}


def settings(world):
    """Creates a second, over those with the defaults, from two and from four load generators."""
    lines = []
    for generators in (2, 4):
        figures = {name: [] for name in SETTINGS}
        for round_number in range(world.rounds):
            for name in SETTINGS if round_number % 2 == 0 else reversed(SETTINGS):
                figures[name].append(creates_with(world, generators, SETTINGS[name]))
        middles = {name: statistics.median(rates) for name, rates in figures.items()}
        usual = next(iter(middles.values()))
        for name, rate in middles.items():
            what = f"{name}, {generators} load generators: REST 256"
            lines.append((what, f"{rate / usual:.2f}", "≤ 1.05", verdict(rate / usual <= 1.05)))
    return lines


def creates_with(world, generators, settings):
    """A second, over REST with 256 connections."""
    core = world.core(world.postgres.url("bench"))
    bridge = world.bridge(core, **settings)
    try:
        world.empty_postgres()
        return bridge.wrk(256, world.seconds, script="create", threads=generators)[0]
    finally:
        bridge.stop()
        core.stop()


# ---- 18 ----

# Sources, by what share of the events have them: one in so many.
RARE, COMMON = 100_000, 2
SEED_KINDS = f"""
insert into triggers.kinds
    select 0, k, 'source-' || k, 'bench.event' from generate_series(1, 3) k on conflict do nothing;
insert into triggers.events (tenant_id, sequence, event_id, created_at, kind, payload)
    select 0, n, gen_random_uuid(), now() + n * interval '1 microsecond',
        case when n % {RARE} = 1 then 1 when n % {COMMON} = 0 then 2 else 3 end,
        convert_to('{PAYLOAD}', 'UTF8')
    from generate_series(1::bigint, :count) n;
insert into triggers.blocks
    select 0, coalesce(kind, 0), sequence >> 8, min(created_at), max(created_at),
        case when kind is not null then array_agg((sequence & 255)::smallint) end
    from triggers.events where (sequence >> 8) < (select (max(sequence) + 1) >> 8 from triggers.events)
    group by grouping sets ((sequence >> 8, kind), (sequence >> 8));
insert into triggers.pending select tenant_id, kind, block from triggers.blocks
"""


def filters(world):
    """The time of a page of 50 of the full store, one caller alone: of a kind over that of all."""
    core = world.core(world.postgres.url("kinds"))
    world.postgres.psql(SEED_KINDS.replace(":count", str(world.pending)), "kinds")
    world.settle("kinds")
    lines = []
    try:
        for op in ("list", "oldest"):
            times = {source: [] for source in (None, "source-1", "source-2")}
            for _ in range(world.rounds):
                for source, found in times.items():
                    options = {"source": source} if source else {}
                    found.append(core.load(op, in_flight=1, seconds=world.seconds, **options)["p50_us"])
            all_of_them = statistics.median(times.pop(None))
            for (source, found), share in zip(times.items(), (RARE, COMMON)):
                ratio = statistics.median(found) / all_of_them
                what = f"page of {world.pending:,} pending, {'oldest' if op == 'oldest' else 'newest'}: 1 in {share:,}"
                lines.append((what, f"{ratio:.2f}", "≤ 2", verdict(ratio <= 2)))
    finally:
        core.stop()
    return lines


# ---- 19 ----


def held(world):
    """Creates and acknowledgements, 2,000 a second in all, and lists of the oldest, 200 a second, before
    and beside a transaction that is held open for a third of `minutes`."""
    core = world.core(world.postgres.url("held"))
    slices = max(int(world.minutes * 60 / 3 / 10), 1)
    before = [mixed_load(core) for _ in range(2)]
    with Session(world.postgres, world.postgres.url("held")) as holder:
        holder.execute("begin isolation level repeatable read; select count(*) from triggers.events")
        beside = [mixed_load(core) for _ in range(slices)]
    core.stop()
    lines = []
    for op in ("churn", "oldest"):
        usual = {key: statistics.median(run[op][key] for run in before) for key in before[0][op]}
        last = {key: statistics.median(run[op][key] for run in beside[-3:]) for key in usual}
        rate, p99 = last["per_second"] / usual["per_second"], last["p99_us"] / usual["p99_us"]
        what = f"{op} beside a transaction held for {slices * 10 / 60:.1f} minutes over before"
        lines.append((f"{what}: throughput", f"{rate:.2f}", "≥ 0.95", verdict(rate >= 0.95)))
        lines.append((f"{what}: p99", f"{p99:.2f}", "≤ 2", verdict(p99 <= 2)))
    return lines


def mixed_load(core):
    """Ten seconds; by operation."""
    rates = {"churn": 2000, "oldest": 200}
    with ThreadPoolExecutor(2) as pool:
        loads = {
            op: pool.submit(core.load, op, in_flight=256, seconds=10, rate=rate)
            for op, rate in rates.items()
        }
    reports = {op: load.result() for op, load in loads.items()}
    return {op: {key: found[key] for key in ("per_second", "p99_us")} for op, found in reports.items()}


# ---- 20 ----


def several_cores(world):
    """Creates a second of two and of four cores together over those of one."""
    figures = {count: [] for count in (1, 2, 4)}
    for _ in range(world.rounds):
        for count, rates in figures.items():
            rates.append(creates_of_cores(world, count))
    usual = statistics.median(figures.pop(1))
    ratios = {count: statistics.median(rates) / usual for count, rates in figures.items()}
    return [
        (f"{count} cores on one PostgreSQL over one: binary create, 512", f"{ratio:.2f}", "≥ 1", verdict(ratio >= 1))
        for count, ratio in ratios.items()
    ]


def creates_of_cores(world, count):
    url = world.postgres.url("bench")
    world.empty_postgres()
    cores = [world.core(url) for _ in range(count)]
    options = {"in_flight": 512 // count, "seconds": world.seconds}
    with ThreadPoolExecutor(count) as pool:
        loads = [pool.submit(core.load, "create", **options) for core in cores]
    for core in cores:
        core.stop()
    return sum(load.result()["per_second"] for load in loads)


# ---- 21 ----


def follow(world):
    """How much later than the answer to a create, of one caller alone, one who waits for it has the event."""
    sqlite = world.core(f"sqlite:///{world.folder / 'followed.db'}")
    url = world.postgres.url("followed")
    one, other = world.core(url), world.core(url)
    lines = []
    for what, core, reader, most in (
        ("SQLite", sqlite, sqlite, 1),
        ("PostgreSQL", one, one, 2),
        ("PostgreSQL, at another core", one, other, 15),
    ):
        options = {"in_flight": 1, "rate": 50, "seconds": world.seconds}
        later = statistics.median(
            core.load("follow", reader=reader.url, **options)["p50_us"]
            - core.load("create", **options)["p50_us"]
            for _ in range(world.rounds)
        )
        lines.append(
            (f"follow, {what}: after the create, p50", f"{later / 1000:.2f} ms", f"≤ {most} ms", verdict(later <= most * 1000))
        )
    for core in (sqlite, one, other):
        core.stop()
    return lines


# ---- 22 ----


def kept(world):
    """Creates and acknowledgements, as many as go, beside the removal of old events over the same without;
    then 4,000 a second for a third of `minutes`, and how large the store becomes meanwhile."""
    file = world.folder / "kept.db"
    return [
        *kept_in(world, "PostgreSQL", world.postgres.url("kept"), lambda: tables_megabytes(world, "kept")),
        *kept_in(world, "SQLite", f"sqlite:///{file}", lambda: file.stat().st_size / 2**20),
    ]


def kept_in(world, name, url, megabytes):
    paces = {"forever": [], "1s": []}
    for _ in range(world.rounds):
        for keep, found in paces.items():
            core = world.core(url, TRIGGERS_KEEP_ACKNOWLEDGED=keep)
            found.append(core.load("churn", in_flight=64, seconds=world.seconds)["per_second"])
            core.stop()
    pace = statistics.median(paces["1s"]) / statistics.median(paces["forever"])
    core = world.core(url, TRIGGERS_KEEP_ACKNOWLEDGED="10s")
    sizes = []
    while len(sizes) < 10:
        core.load("churn", in_flight=64, rate=4000, seconds=max(int(world.minutes * 60 / 3 / 10), 1))
        sizes.append(megabytes())
    core.stop()
    growth = sizes[-1] / sizes[3]
    what = f"{name}, creates and acks"
    return [
        (f"{what} beside removal over without", f"{pace:.2f}", "≥ 0.9", verdict(pace >= 0.9)),
        (f"{what} and removal: size at the end over before", f"{growth:.2f}", "≤ 1.1", verdict(growth <= 1.1)),
    ]


def tables_megabytes(world, database):
    tables = "select sum(pg_total_relation_size(relid)) from pg_stat_user_tables"
    return int(world.postgres.psql(tables, database)) / 2**20


FOOTPRINTS = {
    "11": churn,
    "13": memory,
    "14": start,
    "15": fargate,
    "16": settings,
    "18": filters,
    "19": held,
    "20": several_cores,
    "21": follow,
    "22": kept,
}
