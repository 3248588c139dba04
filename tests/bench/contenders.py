"""What is measured: each contender does the same work for some seconds and gives one figure."""

import contextlib
import functools
import os
import shutil
import sqlite3
import statistics
import tempfile
import urllib.request
from pathlib import Path

from servers import (
    EVENT_TYPE,
    HERE,
    PAYLOAD,
    SOURCE,
    BenchmarkFailed,
    Bridge,
    Core,
    Echo,
    Postgres,
    Redis,
    pgbench_rate,
)
from support.keys import make_key
from support.network import wait_until
from support.typeid import encode

# Seeded events have the ids base + row, row: known to every contender, and ordered.
BASE = 0x0190_0000_0000_0000
FIRST_TIME = 1_767_225_600_000_000  # 2026-01-01, in microseconds
CLIENTS = 64
KEY = make_key()
WITH_KEYS = {"TRIGGERS_AUTH": "required", "TRIGGERS_OPERATOR_KEY": KEY}


# What the transactions that fill blocks write, for all that are full: of kind 1 alone.
FILL_BLOCKS = """
insert into triggers.blocks
    select 0, k.kind, sequence >> 8, min(created_at), max(created_at),
        case k.kind when 1 then array_agg((sequence & 255)::smallint order by sequence) end
    from triggers.events e cross join (values (0), (1)) k (kind)
    group by k.kind, sequence >> 8
    having (sequence >> 8) < (select (max(sequence) + 1) >> 8 from triggers.events)
    on conflict do nothing;
insert into triggers.pending
    select b.tenant_id, b.kind, b.block from triggers.blocks b
    where not exists (
        select from triggers.acknowledged where tenant_id = 0 and sequence = (b.block << 8) + 255)
    on conflict do nothing"""


class Nothing:
    """A server that there is not."""

    def stop(self):
        pass


def once(method):
    """A server that is started when first asked for; `close` stops it."""

    @functools.wraps(method)
    def start(world):
        if method.__name__ not in world.started:
            world.started[method.__name__] = method(world)
        return world.started[method.__name__]

    return property(start)


class World:
    """The servers of one run, and what is in their stores."""

    def __init__(self, seconds, rows, pending, minutes=0, rounds=1):
        self.seconds = seconds
        self.rounds = rounds  # of what is varied
        self.minutes = minutes  # of churn
        self.rows = rows  # seeded for reads
        self.pending = pending  # in the full store, and as many acknowledged
        self.acknowledged = 0  # of the full store's pending events, by the benchmark
        self.folder = Path(tempfile.mkdtemp(prefix="triggers-bench-"))
        os.chmod(self.folder, 0o711)  # PostgreSQL of another user lives below it
        tempfile.tempdir = str(self.folder)
        self.started = {}
        self.seeded = {}  # events in PostgreSQL that have known ids, by schema

    def close(self):
        for server in reversed(self.started.values()):
            if isinstance(server, Postgres):
                server.close()
            else:
                server.stop()
        tempfile.tempdir = None
        shutil.rmtree(self.folder, ignore_errors=True)

    @once
    def postgres(self):
        return Postgres().start()

    @once
    def redis(self):
        return Redis(self.folder)

    @once
    def echo(self):
        return Echo()

    def core_unawaited(self, database):
        return Core(self.folder, database)

    def core(self, database, **settings):
        core = Core(self.folder, database, **settings)
        wait_until(lambda: answers(core), "triggersd answering")
        return core

    def bridge(self, core, **settings):
        bridge = Bridge(self.folder, core, **settings)
        wait_until(lambda: answers_http(bridge), "triggers-bridge answering")
        return bridge

    @once
    def on_postgres(self):
        return self.core(self.postgres.url("bench"))

    @once
    def on_sqlite(self):
        return self.core(f"sqlite:///{self.sqlite_file}")

    @once
    def with_keys_on_postgres(self):
        return self.core(self.postgres.url("bench"), **WITH_KEYS)

    @once
    def with_keys_on_sqlite(self):
        return self.core(f"sqlite:///{self.folder / 'with_keys.db'}", **WITH_KEYS)

    @property
    def sqlite_file(self):
        return self.folder / "events.db"

    @once
    def rest_on_postgres(self):
        return self.bridge(self.on_postgres)

    @once
    def rest_on_sqlite(self):
        return self.bridge(self.on_sqlite)

    @once
    def on_full(self):
        """A core whose database holds many pending and as many acknowledged events."""
        core = self.core(self.postgres.url("full"))
        self.fill("full", "triggers")
        return core

    @once
    def plain_full(self):
        """The same for pgbench, in tables of its own."""
        self.on_full
        self.make_plain("full")
        self.fill("full", "plain")
        return Nothing()

    @once
    def rest_on_full(self):
        return self.bridge(self.on_full)

    # ---- what is stored ----

    def sql(self, text):
        self.on_postgres  # makes the tables
        self.make_plain("bench")
        return self.postgres.psql(text, "bench")

    def make_plain(self, database):
        self.postgres.psql((HERE / "pgbench" / "tables.sql").read_text(), database)

    def fill(self, database, schema):
        self.store_events(1, self.pending, "pending", database, schema)
        self.store_events(self.pending + 1, self.pending, "acknowledged", database, schema)
        self.settle(database)

    def has_log(self, database):
        """Whether the commit that is measured keeps a log."""
        return self.postgres.psql("select to_regclass('triggers.blocks') is not null", database) == "t"

    def store_events(self, first, count, table, database, schema="triggers"):
        """Stores events `first` and following straight into the tables."""
        key = f"encode(int8send({BASE} + n) || int8send(n), 'hex')::uuid"
        time = f"to_timestamp({FIRST_TIME // 1_000_000}) + n * interval '1 microsecond'"
        acknowledged = table == "acknowledged"
        payload = f"convert_to('{PAYLOAD}', 'UTF8')"
        numbers = f"generate_series({first}::bigint, {first + count - 1}) n"
        if schema == "triggers" and self.has_log(database):
            statements = [
                f"insert into triggers.kinds values (0, 1, '{SOURCE}', '{EVENT_TYPE}') on conflict do nothing",
                "insert into triggers.events (tenant_id, sequence, event_id, created_at, kind, payload)"
                f" select 0, n, {key}, {time}, 1, {payload} from {numbers}",
                f"insert into triggers.acknowledged select 0, n, 1, now() from {numbers} where {acknowledged}",
                FILL_BLOCKS,
            ]
        else:
            more = ", now()" if acknowledged else ""
            statements = [
                f"insert into {schema}.events select 0, {key}, {time}, '{SOURCE}', '{EVENT_TYPE}',"
                f" {payload} from {numbers}",
                f"insert into {schema}.{table} select 0, {time}, {key}{more} from {numbers}",
            ]
        self.postgres.psql("; ".join(statements), database)

    def settle(self, database):
        """As autovacuum and a checkpoint leave the tables."""
        self.postgres.psql("vacuum analyze", database)
        self.postgres.psql("checkpoint", database)

    def empty_postgres(self):
        tables = ["events", "pending", "acknowledged"]
        tables = [f"{schema}.{table}" for schema in ("triggers", "plain") for table in tables]
        self.sql("select 1")
        tables += ["triggers.blocks"] if self.has_log("bench") else []
        self.sql(f"truncate {', '.join(tables)}")
        self.sql("checkpoint")
        self.seeded = {}

    def seed_postgres(self, count, schema="triggers"):
        """Puts `count` pending events into otherwise empty tables."""
        if self.seeded == {schema: count}:
            return
        self.empty_postgres()
        self.store_events(1, count, "pending", "bench", schema)
        self.settle("bench")
        self.seeded = {schema: count}

    def seed_sqlite(self, count):
        """Before any other event is in the store."""
        self.on_sqlite  # makes the tables
        with sqlite3.connect(self.sqlite_file) as database:
            found = database.execute("select count(*) from events where created_at < ?",
                                     (FIRST_TIME + 10**12,)).fetchone()[0]
            if found > 0:
                return
            last = database.execute("select count(*) from events").fetchone()[0]
            log = database.execute("select 1 from sqlite_schema where name = 'blocks'").fetchone()
            for n in range(1, count + 1):
                event_id = ((BASE + n) << 64 | n).to_bytes(16, "big")
                row = (event_id, FIRST_TIME + n, SOURCE, EVENT_TYPE, PAYLOAD.encode())
                if log:
                    database.execute("insert into kinds values (0, 1, ?, ?) on conflict do nothing", row[2:4])
                    database.execute(
                        "insert into events (position, tenant_id, event_id, created_at, kind, payload)"
                        " values (?, 0, ?, ?, 1, ?)", (last + n, *row[:2], row[4]))
                else:
                    database.execute("insert into events values (0, ?, ?, ?, ?, ?)", row)
                    database.execute("insert into pending values (0, ?, ?)", (row[1], row[0]))

    def ids(self, first, count, most=200_000):
        """A file of ids of seeded events, `first` and following: at most so many, spread evenly."""
        path = self.folder / f"ids-{first}-{count}"
        if not path.exists():
            rows = range(first, first + count, max(count // most, 1))
            path.write_text("".join(f"evt_{encode((BASE + n) << 64 | n)}\n" for n in rows))
        return path

    # ---- pgbench ----

    def pgbench(self, script, clients=CLIENTS, database="bench", **variables):
        output = self.postgres.pgbench(script, clients, self.seconds, database, **variables)
        return pgbench_rate(output)


def answers(core):
    if not core.running:
        raise BenchmarkFailed(core.describe())
    try:
        return core.load("health", seconds=5, in_flight=1, count=1)["calls"] == 1
    except BenchmarkFailed:
        return False


def answers_http(bridge):
    if not bridge.running:
        raise BenchmarkFailed(bridge.describe())
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"http://127.0.0.1:{bridge.port}/ready").status == 200
    return False


# ---- creates ----


def pgbench_create(world, clients=CLIENTS):
    world.empty_postgres()
    return world.pgbench("create", clients, **event_variables())


def event_variables():
    return {"source": SOURCE, "event_type": EVENT_TYPE, "payload": PAYLOAD}


def binary_create(world, in_flight):
    world.empty_postgres()
    report = world.on_postgres.load("create", in_flight=in_flight, seconds=world.seconds)
    return report["per_second"]


def rest_create(world, connections):
    world.rest_on_postgres
    world.empty_postgres()
    return world.rest_on_postgres.wrk(connections, world.seconds, script="create")[0]


def sqlite_create(world):
    return world.on_sqlite.load("create", in_flight=CLIENTS, seconds=world.seconds)["per_second"]


def postgres_create_with_key(world):
    world.empty_postgres()
    core = world.with_keys_on_postgres
    return core.load("create", in_flight=CLIENTS, seconds=world.seconds, key=KEY)["per_second"]


def sqlite_create_with_key(world):
    core = world.with_keys_on_sqlite
    return core.load("create", in_flight=CLIENTS, seconds=world.seconds, key=KEY)["per_second"]


def redis_add(world):
    """redis-benchmark counts commands, not seconds: a short run says how many make `seconds`."""
    world.redis.empty()
    rate = world.redis.benchmark(CLIENTS, 2000)
    return world.redis.benchmark(CLIENTS, max(int(rate * world.seconds), 2000))


def binary_batch(world):
    world.empty_postgres()
    report = world.on_postgres.load("batch", batch=500, in_flight=8, seconds=world.seconds)
    return report["per_second"]


def copy_rows(world, tables):
    """Rows a second of COPY from files on the server, one transaction for all tables."""
    count = 60_000 * world.seconds
    files = {
        "events": "event_id, created_at, source, event_type, payload",
        "pending": "created_at, event_id",
    }
    world.seed_postgres(count, "plain")
    folder = world.postgres.folder
    for table in tables:
        path = folder / f"{table}.{count}"
        if not path.exists():
            world.sql(f"copy plain.{table} (tenant_id, {files[table]}) to '{path}'")
    world.empty_postgres()
    copies = "; ".join(f"copy plain.{t} from '{folder}/{t}.{count}'" for t in tables)
    start = now = "extract(epoch from clock_timestamp())"
    first, last = world.sql(f"select {start}; begin; {copies}; commit; select {now}").split()
    world.seeded = {}
    return count / (float(last) - float(first))


# ---- reads ----


def pgbench_get(world):
    world.seed_postgres(world.rows, "plain")
    return world.pgbench("get", base=BASE, rows=world.rows)


def postgres_get(world):
    world.seed_postgres(world.rows)
    return binary_get(world, world.on_postgres)


def sqlite_get(world):
    world.seed_sqlite(world.rows)
    return binary_get(world, world.on_sqlite)


def binary_get(world, core):
    ids = world.ids(1, world.rows)
    return core.load("get", in_flight=CLIENTS, seconds=world.seconds, ids=ids)["per_second"]


def rest_postgres_get(world):
    world.seed_postgres(world.rows)
    return rest_get(world, world.rest_on_postgres)


def rest_sqlite_get(world):
    world.seed_sqlite(world.rows)
    return rest_get(world, world.rest_on_sqlite)


def rest_get(world, bridge):
    return bridge.wrk(CLIENTS, world.seconds, script="get", ids=world.ids(1, world.rows))[0]


def pgbench_inbox(world):
    world.plain_full
    return world.pgbench("inbox", database="full")


def inbox(world, bridge):
    return bridge.wrk(CLIENTS, world.seconds, "/api/v1/inbox?limit=50")[0]


def small_inbox(world):
    world.seed_postgres(world.rows)
    return inbox(world, world.rest_on_postgres)


# ---- acknowledgements ----


def seed_to_acknowledge(world, schema="triggers"):
    world.empty_postgres()
    count = 60_000 * world.seconds
    world.seed_postgres(count, schema)
    world.seeded = {}
    return count


def pgbench_ack(world):
    seed_to_acknowledge(world, "plain")
    return world.pgbench("ack", base=BASE, callers=CLIENTS, n=0)


def binary_ack(world):
    return acknowledge(world, world.on_postgres, world.ids(1, seed_to_acknowledge(world), 10**9))


def acknowledge(world, core, ids):
    """Every id once."""
    count = sum(1 for _ in ids.open())
    report = core.load("ack", in_flight=CLIENTS, seconds=world.seconds, count=count, ids=ids)
    return report["per_second"]


# ---- a full store ----


def full_create(world):
    return world.on_full.load("create", in_flight=CLIENTS, seconds=world.seconds)["per_second"]


def pgbench_full_get(world):
    world.plain_full
    return world.pgbench("get", database="full", base=BASE, rows=2 * world.pending)


def full_get(world):
    """Of any events, spread over the whole store."""
    return get_from_full(world, world.ids(1, 2 * world.pending))


def full_get_newest(world):
    """Of as many of the newest pending events as the small store has."""
    count = min(world.rows, world.pending)
    return get_from_full(world, world.ids(world.pending - count + 1, count))


def get_from_full(world, ids):
    return world.on_full.load("get", in_flight=CLIENTS, seconds=world.seconds, ids=ids)["per_second"]


def full_ack(world):
    world.on_full
    first = world.acknowledged + 1
    count = min(60_000 * world.seconds, world.pending // 10)
    world.acknowledged += count
    return acknowledge(world, world.on_full, world.ids(first, count, 10**9))


# ---- one caller alone: microseconds at the median ----


def pgbench_alone(world):
    world.empty_postgres()
    log = world.folder / "pgbench_log"
    for old in world.folder.glob("pgbench_log.*"):
        old.unlink()
    options = ("-l", f"--log-prefix={log}")
    world.postgres.pgbench("create", 1, world.seconds, "bench", *options, **event_variables())
    lines = [line for path in world.folder.glob("pgbench_log.*") for line in path.open()]
    return statistics.median(int(line.split()[2]) for line in lines)


def binary_alone(world):
    world.empty_postgres()
    return world.on_postgres.load("create", in_flight=1, seconds=world.seconds)["p50_us"]


def rest_alone(world):
    world.rest_on_postgres
    world.empty_postgres()
    return world.rest_on_postgres.wrk(1, world.seconds, script="create")[1][50]


# ---- latency at half the peak ----


def half_peak(world):
    """p99 and p50 of creates that come on a schedule, at half the rate 64 callers reach."""
    peak = binary_create(world, CLIENTS)
    world.empty_postgres()
    return world.on_postgres.load(
        "create", in_flight=1024, seconds=world.seconds, rate=int(peak / 2)
    )


def half_peak_ratio(world):
    report = half_peak(world)
    return report["p99_us"] / report["p50_us"]


# ---- the RPC layer alone ----


def health(world, url):
    core = world.on_sqlite
    return core.load("health", url, in_flight=CLIENTS, seconds=world.seconds)["per_second"]


def echo(world):
    return world.echo.load(CLIENTS, world.seconds)


# Each once a round.
MEASURES = {
    "pgbench create, 64": pgbench_create,
    "binary create, PostgreSQL, 64": lambda world: binary_create(world, 64),
    "binary create, PostgreSQL, 512": lambda world: binary_create(world, 512),
    "REST create, PostgreSQL, 64": lambda world: rest_create(world, 64),
    "REST create, PostgreSQL, 256": lambda world: rest_create(world, 256),
    "binary create, SQLite, 64": sqlite_create,
    "binary create with a key, SQLite, 64": sqlite_create_with_key,
    "binary create with a key, PostgreSQL, 64": postgres_create_with_key,
    "redis XADD, 64": redis_add,
    "gRPC echo, 64": echo,
    "health over ws, 64": lambda world: health(world, world.on_sqlite.ws_url),
    "health over tcp, 64": lambda world: health(world, world.on_sqlite.tcp_url),
    "pgbench ack, 64": pgbench_ack,
    "binary ack, PostgreSQL, 64": binary_ack,
    "batch create, PostgreSQL": binary_batch,
    "COPY events and pending": lambda world: copy_rows(world, ["events", "pending"]),
    "COPY events": lambda world: copy_rows(world, ["events"]),
    "pgbench get, 64": pgbench_get,
    "binary get, PostgreSQL, 64": postgres_get,
    "REST get, PostgreSQL, 64": rest_postgres_get,
    "binary get, SQLite, 64": sqlite_get,
    "REST get, SQLite, 64": rest_sqlite_get,
    "pgbench create alone, p50": pgbench_alone,
    "binary create alone, p50": binary_alone,
    "REST create alone, p50": rest_alone,
    "p99 / p50 at half the peak": half_peak_ratio,
    "REST inbox, 64": small_inbox,
    "pgbench inbox, full store, 64": pgbench_inbox,
    "REST inbox, full store, 64": lambda world: inbox(world, world.rest_on_full),
    "binary create, full store, 64": full_create,
    "pgbench get, full store, 64": pgbench_full_get,
    "binary get, full store, 64": full_get,
    "binary get of the newest, full store, 64": full_get_newest,
    "binary ack, full store, 64": full_ack,
}
