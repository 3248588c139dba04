"""Subscriptions beside queues: workers that pull events and settle them, from a backlog of `queued`
events, and what waiting costs."""

import contextlib
import json
import os
import re
import socket
import sqlite3
import statistics
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contenders import BASE, FIRST_TIME, MEASURES, World, once
from footprint import FOOTPRINTS, processor_seconds, verdict
from servers import (
    EVENT_TYPE,
    HERE,
    PAYLOAD,
    SOURCE,
    TOOLS,
    JetStream,
    Postgres,
    compile_when_older,
    install,
    run,
)
from support.network import wait_until
from support.session import Session

# The schema of pgmq as plain SQL, which its project publishes (pgmq-extension/sql/pgmq.sql); without it
# its table and the statements that its functions run are taken.
PGMQ = os.environ.get("BENCH_PGMQ")

PGMQ_LIKE = """
create schema pgmq;
create table pgmq.q_bench (
    msg_id bigint primary key generated always as identity, read_ct int not null default 0,
    enqueued_at timestamptz not null default now(), vt timestamptz not null, message jsonb, headers jsonb);
create index on pgmq.q_bench (vt);
"""
PGMQ_FILL = f"""
insert into pgmq.q_bench (vt, message) select now(), '{PAYLOAD}' from generate_series(1, :count)
"""
JOBS = f"""
create table jobs (
    id bigint primary key generated always as identity, source text not null, event_type text not null,
    payload bytea not null, attempts int not null default 0, due_at timestamptz not null default now());
create index on jobs (due_at, id);
insert into jobs (source, event_type, payload)
    select '{SOURCE}', '{EVENT_TYPE}', convert_to('{PAYLOAD}', 'UTF8') from generate_series(1, :count)
"""

# What a queue claims, and how it removes what was claimed.
QUEUES = {
    "pgmq": (
        "select * from pgmq.read('bench', 30, $1)"
        if PGMQ
        else "with cte as (select msg_id from pgmq.q_bench where vt <= clock_timestamp() order by msg_id"
        " limit $1 for update skip locked) update pgmq.q_bench m set vt = clock_timestamp() +"
        " interval '30 s', read_ct = read_ct + 1 from cte where m.msg_id = cte.msg_id"
        " returning m.msg_id, m.read_ct, m.enqueued_at, m.vt, m.message, m.headers",
        "select pgmq.delete('bench', $1::bigint[])"
        if PGMQ
        else "delete from pgmq.q_bench where msg_id = any ($1::bigint[]) returning msg_id",
    ),
    "skip locked": (
        "update jobs j set due_at = now() + interval '30 s', attempts = attempts + 1 from ("
        " select id from jobs where due_at <= now() order by due_at, id limit $1::int"
        " for update skip locked) c where j.id = c.id"
        " returning j.id, j.source, j.event_type, j.payload, j.attempts",
        "delete from jobs where id = any ($1::bigint[])",
    ),
}


class ConsumingWorld(World):
    """A world whose stores and queues hold `queued` events that nobody has taken."""

    def __init__(self, *arguments, queued=2_000_000, **options):
        super().__init__(*arguments, **options)
        self.queued = queued

    @once
    def queued_on_postgres(self):
        core = self.core(self.postgres.url("queued"))
        self.store_events(1, self.queued, "pending", "queued")
        self.settle("queued")
        return core

    @once
    def queued_on_sqlite(self):
        file = self.folder / "queued.db"
        core = self.core(f"sqlite:///{file}")
        fill_sqlite(file, self.queued)
        return core

    @once
    def queues(self):
        """The contenders' tables, in the same server."""
        install("libpq-dev", "libhiredis-dev")
        flags = run("pkg-config", "--cflags", "--libs", "libpq", "hiredis").split()
        compile_when_older(
            TOOLS / "claim", [HERE / "claim.c"],
            *("cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", *flags, "-pthread"),
        )
        self.postgres.psql("create database queues")
        made = [Path(PGMQ).read_text(), "select pgmq.create('bench')"] if PGMQ else [PGMQ_LIKE]
        for sql in (*made, PGMQ_FILL, JOBS):
            self.postgres.psql(sql.replace(":count", str(self.queued)), "queues")
        self.settle("queues")
        return Queues(self.postgres.url("queues"))

    @once
    def queued_in_redis(self):
        self.queues
        run("redis-cli", "-p", self.redis.port, "del", "events")
        script = (
            "for i = 1, tonumber(ARGV[1]) do redis.call('XADD', 'events', '*', 'source', ARGV[2],"
            " 'event_type', ARGV[3], 'payload', ARGV[4]) end"
        )
        for _ in range(max(self.queued // 10_000, 1)):
            run("redis-cli", "-p", self.redis.port, "eval", script, 0, 10_000, SOURCE, EVENT_TYPE, PAYLOAD)
        run("redis-cli", "-p", self.redis.port, "xgroup", "create", "events", "bench", "0")
        return self.redis

    @once
    def queued_in_jetstream(self):
        jetstream = JetStream(self.folder / "jetstream")
        jetstream.fill(self.queued)
        return jetstream


class Queues:
    def __init__(self, url):
        self.url = url

    def claim(self, queue, batch, workers, seconds):
        return claim(self.url, *QUEUES[queue], batch, workers, seconds)

    def stop(self):
        pass


def claim(*words):
    return json.loads(run(TOOLS / "claim", *words))["per_second"]


def fill_sqlite(file, count):
    """As the core would have stored them, of one kind."""
    full = range((count + 1) >> 8)
    payload = PAYLOAD.encode()
    with sqlite3.connect(file) as database:
        database.execute("insert into kinds values (0, 1, ?, ?)", (SOURCE, EVENT_TYPE))
        database.executemany(
            "insert into events (position, tenant_id, event_id, created_at, kind, payload)"
            " values (?, 0, ?, ?, 1, ?)",
            (
                (n, ((BASE + n) << 64 | n).to_bytes(16, "big"), FIRST_TIME + n, payload)
                for n in range(1, count + 1)
            ),
        )
        database.executemany(
            "insert into blocks (tenant_id, block, oldest, newest) values (0, ?, ?, ?)",
            ((b, FIRST_TIME + max(b << 8, 1), FIRST_TIME + (b << 8) + 255) for b in full),
        )
        database.executemany("insert into pending values (0, ?, ?)", ((k, b) for k in (0, 1) for b in full))
        database.executemany(
            "insert into kind_blocks values (0, 1, ?, ?, -1, -1, -1)", ((b, -1 if b else -2) for b in full)
        )


# ---- once a round: events a second that were taken and settled ----


def consume(core, batch, workers, seconds, **options):
    """From a new subscription, so that all of them are waiting."""
    options = {"subscription": f"bench-{time.monotonic_ns()}", "start": "earliest", **options}
    return core.load("consume", batch=batch, in_flight=workers, seconds=seconds, **options)["per_second"]


def create_beside(world):
    """Creates a second while as many are consumed."""
    core = world.on_postgres
    world.empty_postgres()
    with ThreadPoolExecutor(2) as pool:
        taken = pool.submit(
            core.load, "consume", batch=100, in_flight=64, seconds=world.seconds,
            subscription=f"beside-{time.monotonic_ns()}",  # the log was emptied
        )
        time.sleep(0.1)
        made = pool.submit(core.load, "create", in_flight=64, seconds=world.seconds)
    return min(made.result()["per_second"], taken.result()["per_second"])


SHAPES = {"1, 64 workers": (1, 64), "100, 16 workers": (100, 16)}
for shape, (batch, workers) in SHAPES.items():
    words = batch, workers
    MEASURES[f"pull and ack {shape}, PostgreSQL"] = lambda world, words=words: consume(
        world.queued_on_postgres, *words, world.seconds
    )
    for queue in QUEUES:
        MEASURES[f"{queue} {shape}"] = lambda world, words=words, queue=queue: world.queues.claim(
            queue, *words, world.seconds
        )
MEASURES["pull and ack 1, 64 workers, SQLite"] = lambda world: consume(
    world.queued_on_sqlite, 1, 64, world.seconds
)
MEASURES["pull and ack 100, 4 workers, SQLite"] = lambda world: consume(
    world.queued_on_sqlite, 100, 4, world.seconds
)
for words in ((), ("confirmed",)):
    MEASURES[", ".join(("JetStream fetch and ack 100, 4 workers", *words))] = lambda world, words=words: (
        world.queued_in_jetstream.work(100, 4, world.seconds, *words)
    )
MEASURES["redis XREADGROUP and XACK 1, 64 workers"] = lambda world: claim(
    world.queued_in_redis.port, "redis", "", 1, 64, world.seconds
)
MEASURES["create beside as many pulls and acks, PostgreSQL, 64"] = create_beside


# ---- 28 ----


def handed(world):
    """From the beginning of a create, of one caller alone, until a worker that waits has the event."""
    sqlite = world.core(f"sqlite:///{world.folder / 'handed.db'}")
    url = world.postgres.url("handed")
    one, other = world.core(url), world.core(url)
    lines = []
    for what, core, reader, most in (
        ("SQLite", sqlite, sqlite, 1.5),
        ("PostgreSQL", one, one, 3),
        ("PostgreSQL, at another core", one, other, 15),
    ):
        options = {"in_flight": 1, "rate": 50, "seconds": world.seconds, "reader": reader.url}
        p50 = statistics.median(core.load("handed", **options)["p50_us"] for _ in range(world.rounds)) / 1000
        lines.append((f"create until handed, {what}, p50", f"{p50:.2f} ms", f"≤ {most} ms", verdict(p50 <= most)))
    for core in (sqlite, one, other):
        core.stop()
    return lines


# ---- 29 ----


@contextlib.contextmanager
def pulls(core, **options):
    """So many that wait, each again when it is answered."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(core.load, "consume", **options)
        time.sleep(2)
        yield
        done.result()


def waiting(world):
    """Processor time of the core for 2,000 events a second: 1,000 subscriptions that wait, of which each
    wants one in a thousand, over one that wants all."""
    spent = {}
    for kinds in (1, 1000):
        core = world.core(world.postgres.url(f"waiting_{kinds}"))
        load = {"in_flight": 64, "rate": 2000, "kinds": 1000, "seconds": world.seconds}
        options = {"in_flight": kinds, "kinds": kinds, "batch": 100}
        core.load("consume", seconds=0.1, wait=1, **options)  # makes them
        with pulls(core, seconds=world.seconds + 6, wait=20000, **options):
            before = processor_seconds(core)
            core.load("create", **load)
            spent[kinds] = processor_seconds(core) - before
        core.stop()
    ratio = spent[1000] / spent[1]
    what = "1,000 subscriptions that each want 1 in 1,000 of 2,000 events a second, over one that wants all"
    return [(what, f"{ratio:.2f}", "≤ 2", verdict(ratio <= 2))]


# ---- 30 ----


def resident_kibibytes(program):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{program.pid}/status").read_text())[1])


def parked(world):
    """Memory of 10,000 pulls that wait, over 100: in the core on one connection, in the bridge on one each."""
    core = world.core(
        f"sqlite:///{world.folder / 'parked.db'}", TRIGGERS_MAX_MEMORY=str(256 << 20)
    )
    sizes = {}
    for count in (100, 10000):
        with pulls(core, in_flight=count, batch=10, seconds=4, wait=8000):
            time.sleep(2)
            sizes["core", count] = resident_kibibytes(core)
    bridge = world.bridge(
        core, TRIGGERS_BRIDGE_CONNECTIONS="14000", TRIGGERS_BRIDGE_MEMORY=str(512 << 20)
    )
    for count in (100, 10000):
        with pulls_over_http(bridge, count):
            wait_until(lambda count=count: waiting_calls(bridge) >= count, f"{count} pulls that wait")
            sizes["bridge", count] = resident_kibibytes(bridge)
    bridge.stop()
    core.stop()
    rows = []
    for program, at_most in (("core", 2), ("bridge", 8)):
        each = (sizes[program, 10000] - sizes[program, 100]) / 9900
        rows.append((f"a parked pull, in the {program}", f"{each:.1f} KiB", f"≤ {at_most} KiB",
                     verdict(each <= at_most)))
    return rows


def waiting_calls(bridge):
    with urllib.request.urlopen(f"http://127.0.0.1:{bridge.port}/metrics") as answer:
        return float(re.search(r"\ntriggers_core_requests_waiting\S* ([\d.e+]+)", answer.read().decode())[1])


@contextlib.contextmanager
def pulls_over_http(bridge, count):
    """So many connections, each with a pull that waits."""
    body = json.dumps({"wait_ms": 20000}).encode()
    request = (
        b"POST /api/v1/subscriptions/bench/pull HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", bridge.port)))
            connection.sendall(request)
        yield


# ---- 31 ----


def deep(world):
    """Pulls of 100 from the beginning of the backlog, over those with 1,000 events ahead."""
    core = world.queued_on_postgres
    rates = {"earliest": [], str(world.queued - 1000): []}
    for number in range(world.rounds):
        for start, found in rates.items():
            # So few that 1,000 are not at an end before the others.
            found.append(
                core.load("consume", batch=100, in_flight=4, count=16, seconds=20, start=start,
                          subscription=f"deep-{start}-{number}")["p50_us"]
            )
    shallow, whole = (statistics.median(found) for found in reversed(rates.values()))
    ratio = whole / shallow
    what = f"pull and ack 100 with {world.queued:,} ahead, p50, over 1,000 ahead"
    return [(what, f"{ratio:.2f}", "≤ 1.1", verdict(ratio <= 1.1))]


# ---- 32 ----


def held(world):
    """2,000 events a second through a subscription, before and beside a transaction that is held open for a
    third of `minutes`. The time is that of a pull, which waits for events, and their acknowledgement."""
    core = world.core(world.postgres.url("worked"))
    slices = max(int(world.minutes * 60 / 3 / 10), 1)
    worked(core)  # makes the subscription
    before = [worked(core) for _ in range(2)]
    with Session(world.postgres, world.postgres.url("worked")) as holder:
        holder.execute("begin isolation level repeatable read; select count(*) from triggers.events")
        beside = [worked(core) for _ in range(slices)]
    core.stop()
    usual, last = (
        {key: statistics.median(run[key] for run in runs) for key in ("per_second", "p99_us")}
        for runs in (before, beside[-3:])
    )
    rate, p99 = (last[key] / usual[key] for key in usual)
    what = f"through a subscription beside a transaction held for {slices * 10 / 60:.1f} minutes over before"
    return [
        (f"{what}: throughput", f"{rate:.2f}", "≥ 0.95", verdict(rate >= 0.95)),
        (f"{what}: p99 of pull and ack", f"{p99:.2f}", "≤ 2", verdict(p99 <= 2)),
    ]


def worked(core):
    """Ten seconds."""
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(core.load, "create", in_flight=256, seconds=10, rate=2000)
        report = core.load("consume", in_flight=16, batch=10, seconds=10, wait=1000)
    made.result()
    return report


FOOTPRINTS.update({"28": handed, "29": waiting, "30": parked, "31": deep, "32": held})
