"""Updating from the version before the log: a core that starts moves the events that it finds into the log,
and serves when all are there."""

import contextlib
import hashlib
import re
import sqlite3
import time

import pytest

from support.network import wait_until
from support.pgbouncer import PgBouncer
from support.program import ROOT
from support.protocol import events
from support.rpc import BareClient, RpcError
from support.session import Session
from support.typeid import encode

MIGRATIONS = ROOT / "src" / "store" / "migrations"
PENDING = events.EVENT_STATUS_PENDING
ACKNOWLEDGED = events.EVENT_STATUS_ACKNOWLEDGED
OLDEST = events.SORT_ORDER_OLDEST_FIRST
START = 1_735_689_600_000_000  # microseconds since 1970
HOUR = 3_600_000_000
MOVE_LOCK = 8390884948581905012  # as move.sql names it


def old_row(number):
    """(id, created_at, source, type, payload, acknowledged_at or None): three have the same time, and ids are
    in no order, as those from idempotency keys are."""
    digest = hashlib.sha256(str(number).encode()).digest()
    created = START + number // 3 * 1_000_007
    acknowledged = created + HOUR + number if number % 3 else None
    source = "a source" if number % 7 else f"rare {number % 2}"
    return digest[:16], created, source, f"type.{number % 5}", digest * (number % 12), acknowledged


class OldFile:
    """An SQLite file as the version before made it."""

    def __init__(self, path):
        self.path = path
        self.url = f"sqlite:///{path}"
        folder = MIGRATIONS / "sqlite"
        with self.connect() as file:
            file.executescript("pragma journal_mode = wal; pragma synchronous = off")
            for name in ("0001_events.sql", "0002_pending_count.sql"):
                file.executescript((folder / name).read_text())
            file.executescript("pragma user_version = 2")

    @contextlib.contextmanager
    def connect(self):
        with contextlib.closing(sqlite3.connect(self.path)) as file, file:
            yield file

    def number(self, sql):
        try:
            with self.connect() as file:
                return file.execute(sql).fetchone()[0]
        except sqlite3.OperationalError as failure:
            if "no such" in str(failure) or "locked" in str(failure):
                return None
            raise

    def insert(self, rows):
        with self.connect() as file:
            file.executemany(
                "insert into events values (0, ?, ?, ?, ?, ?)", [row[:5] for row in rows]
            )
            file.executemany(
                "insert into pending values (0, ?, ?)",
                [(row[1], row[0]) for row in rows if row[5] is None],
            )
            file.executemany(
                "insert into acknowledged values (0, ?, ?, ?)",
                [(row[1], row[0], row[5]) for row in rows if row[5] is not None],
            )
            file.execute("insert into pending_count select 0, count(*) from pending")

    def insert_many(self, count):
        """Events that nobody looks at closely."""
        with self.connect() as file:
            file.executescript(f"""
                insert into events
                with recursive n (n) as (select 1 union all select n + 1 from n where n < {count})
                select 0, randomblob(16), {START} + n, 'source ' || n % 9, 'type', zeroblob(200) from n;
                insert into pending select 0, created_at, event_id from events where rowid % 2;
                insert into acknowledged select 0, created_at, event_id, {START}
                from events where rowid % 2 = 0;
                insert into pending_count select 0, count(*) from pending""")

    seconds_of_moving = 400_000  # so many events take several
    moved = "select max(position) from events"
    left = "select count(*) from sqlite_schema where name like 'old_%'"
    # Each block that is full has its rows: all but one of kind 0, and what waits in it, by kind.
    wrong_blocks = """
        with content as (
            select e.position >> 8 as block, e.kind, e.created_at, a.position is null as waits
            from events e left join acknowledged a using (position)),
        made as (
            select block, min(created_at) as oldest, max(created_at) as newest from content
            where block < (select max(position) + 1 from events) >> 8 group by block),
        waiting as (
            select distinct block, kind from content where waits union
            select block, 0 from content where waits)
        select (select count(*) from (
                select block, oldest, newest from made except
                select block, oldest, newest from blocks))
            + (select count(*) from blocks) - (select count(*) from made)
            + (select count(*) from (
                select block, kind from waiting where block in (select block from made)
                except select block, kind from pending))
            + (select count(*) from (
                select block, kind from pending except select block, kind from waiting))"""

    OLD_STATEMENTS = (
        "insert into events (tenant_id, event_id, created_at, source, event_type, payload)"
        " values (0, x'00', 0, 's', 't', x'00') on conflict (tenant_id, event_id) do nothing",
        "insert into pending (tenant_id, event_id, created_at) values (0, x'00', 0)",
        "delete from pending where tenant_id = 0 and event_id = x'00' returning created_at",
        "select e.source from events e where e.tenant_id = 0 and e.event_id = x'00'",
        "select event_id from pending where tenant_id = 0 order by created_at",
        "select acknowledged_at from acknowledged where tenant_id = 0 and event_id = x'00'",
        "select events from pending_count where tenant_id = 0",
    )

    @contextlib.contextmanager
    def old_session(self):
        """What a core of the version before has open. Yields a function that runs its statements and
        returns which of them failed."""
        with contextlib.closing(sqlite3.connect(self.path)) as session:

            def run():
                failed = []
                for statement in self.OLD_STATEMENTS:
                    try:
                        session.execute(statement).fetchall()
                        failed.append(False)
                    except sqlite3.OperationalError:
                        failed.append(True)
                    session.rollback()
                return failed

            yield run

    @contextlib.contextmanager
    def held(self):
        """Meanwhile another process writes; yields what the core says."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as file:
            file.execute("begin immediate")
            yield "another process has locked the file"


class OldDatabase:
    """A PostgreSQL database as the version before made it."""

    def __init__(self, server):
        self.server = server
        self.url = server.create_database()
        self.name = self.url.rsplit("/", 1)[1]
        migration = (MIGRATIONS / "postgres" / "0001_events.sql").read_text()
        self.sql(f"create schema triggers; {migration}; insert into triggers.schema_version values (1)")

    def sql(self, text):
        return self.server.psql(text, self.name)

    def number(self, sql):
        done = self.server.run_psql(sql, self.name)
        missing = "does not exist" in done.stderr
        assert done.returncode == 0 or missing, done.stderr
        return int(done.stdout.strip() or 0) if not missing else None

    def insert(self, rows):
        time = "timestamptz '1970-01-01 00:00:00+00' + interval '1 microsecond' *"
        with Session(self.server, self.url) as session:
            session.execute("""create temporary table new (id uuid, created bigint, source text,
                type text, payload bytea, acknowledged bigint)""")
            for first in range(0, len(rows), 500):
                values = ", ".join(
                    f"('{row[0].hex()}', {row[1]}, '{row[2]}', '{row[3]}', '\\x{row[4].hex()}',"
                    f" {row[5] or 'null'})"
                    for row in rows[first : first + 500]
                )
                session.execute(f"insert into new values {values}")
            session.execute(f"""
                insert into triggers.events select 0, id, {time} created, source, type, payload from new;
                insert into triggers.pending select 0, {time} created, id from new
                where acknowledged is null;
                insert into triggers.acknowledged select 0, {time} created, id, {time} acknowledged
                from new where acknowledged is not null""")

    def insert_many(self, count):
        self.sql(f"""
            insert into triggers.events
            select 0, gen_random_uuid(), timestamptz '2025-01-01' + n * interval '1 microsecond',
                'source ' || n % 9, 'type', decode(repeat('00', 200), 'hex')
            from generate_series(1, {count}) n;
            insert into triggers.pending select tenant_id, created_at, event_id
            from triggers.events where extract(microsecond from created_at)::bigint % 2 = 0;
            insert into triggers.acknowledged select tenant_id, created_at, event_id, created_at
            from triggers.events where extract(microsecond from created_at)::bigint % 2 = 1""")

    seconds_of_moving = 200_000
    moved = "select max(sequence) from triggers.events"
    left = """select count(*) from pg_class where relname like 'old\\_%'"""
    wrong_blocks = """
        with content as (
            select e.sequence / 256 as block, e.kind, e.created_at, e.sequence % 256 as place,
                a.sequence is null as waits, a.kind as acknowledged_kind
            from triggers.events e left join triggers.acknowledged a using (tenant_id, sequence)),
        made as (
            select block, coalesce(kind, 0) as kind, min(created_at) as oldest,
                max(created_at) as newest,
                case when kind is not null then array_agg(place::smallint order by place) end as places
            from content where block < (select max(sequence) + 1 from triggers.events) / 256
            group by grouping sets ((block), (block, kind))),
        waiting as (
            select distinct block, kind from content where waits union
            select block, 0 from content where waits)
        select (select count(*) from (
                select block, kind, oldest, newest, places from made except
                select block, kind, oldest, newest,
                    (select array_agg(place order by place) from unnest(places) place)
                from triggers.blocks) x)
            + (select count(*) from triggers.blocks) - (select count(*) from made)
            + (select count(*) from content where acknowledged_kind <> kind)
            + (select count(*) from (
                select block, kind from waiting where block in (select block from made)
                except select block, kind from triggers.pending) x)
            + (select count(*) from (
                select block, kind from triggers.pending except select block, kind from waiting) x)"""

    OLD_STATEMENTS = (
        "insert into triggers.events (tenant_id, event_id, created_at, source, event_type, payload)"
        " values (0, gen_random_uuid(), now(), 's', 't', '') on conflict do nothing",
        "insert into triggers.pending (tenant_id, created_at, event_id)"
        " values (0, now(), gen_random_uuid())",
        "insert into triggers.acknowledged (tenant_id, created_at, event_id, acknowledged_at)"
        " values (0, now(), gen_random_uuid(), now())",
        "select i.id, e.source from unnest(array[gen_random_uuid()]) i (id)"
        " cross join lateral (select source from triggers.events"
        " where tenant_id = 0 and event_id = i.id offset 0) e",
        "select event_id from triggers.pending where tenant_id = 0 order by created_at",
        "select event_id from triggers.acknowledged where tenant_id = 0 order by created_at",
    )

    @contextlib.contextmanager
    def old_session(self):
        """What a core of the version before has open. Yields a function that runs its statements and
        returns which of them failed."""
        with Session(self.server, self.url) as session:
            for number, statement in enumerate(self.OLD_STATEMENTS):
                session.execute(f"prepare s{number} as {statement}")

            def run():
                failed = []
                for number in range(len(self.OLD_STATEMENTS)):
                    session.start(f"begin; execute s{number}; rollback")
                    failed.append("ERROR" in session.finish())
                return failed

            yield run

    @contextlib.contextmanager
    def held(self):
        """Meanwhile another process moves; yields what the core says."""
        with Session(self.server, self.url) as session:
            session.execute(f"select pg_advisory_lock({MOVE_LOCK})")
            yield "another process is moving the events into the log"


@pytest.fixture
def old(store_name, request, tmp_path):
    """A store of the version before, empty."""
    if store_name == "sqlite":
        return OldFile(tmp_path / "old.db")
    return OldDatabase(request.getfixturevalue("postgres"))


def in_order(rows):
    return sorted(rows, key=lambda row: (row[1], row[0]))


def microseconds(time):
    return time.seconds * 1_000_000 + time.nanos // 1000


def as_row(event):
    acknowledged = microseconds(event.acknowledged_at) if event.status == ACKNOWLEDGED else None
    return (
        event.event_id,
        microseconds(event.created_at),
        event.source,
        event.event_type,
        event.payload,
        acknowledged,
    )


def with_text_id(row):
    return ("evt_" + encode(int.from_bytes(row[0], "big")), *row[1:])


def read_log(rpc, **fields):
    """All events of the log, page by page."""
    found = []
    after = 0
    while True:
        page = rpc.event("ListEvents", after_sequence=after, page_size=1000, **fields)
        found += page.events
        if page.next_after == after:
            return found
        after = page.next_after


def read_inbox(rpc, **fields):
    found = []
    token = ""
    while True:
        page = rpc.event("ListInbox", page_size=1000, page_token=token, order=OLDEST, **fields)
        found += page.events
        token = page.next_page_token
        if not token:
            return found


def check_everything(old, core, rows):
    """The log is the old events in the order of their times and ids, and every list agrees."""
    expected = [with_text_id(row) for row in in_order(rows)]
    with core.client() as rpc:
        log = read_log(rpc)
        assert [event.sequence for event in log] == list(range(1, len(rows) + 1))
        assert [as_row(event) for event in log] == expected
        pending = [row for row in expected if row[5] is None]
        acknowledged = [row for row in expected if row[5] is not None]
        assert [as_row(event) for event in read_inbox(rpc, status=PENDING)] == pending
        assert [as_row(event) for event in read_inbox(rpc, status=ACKNOWLEDGED)] == acknowledged
        rare = {"sources": ["rare 1"], "event_types": ["type.2"]}
        assert [as_row(event) for event in read_inbox(rpc, filter=events.EventFilter(**rare))] == [
            row for row in pending if row[2:4] == ("rare 1", "type.2")
        ]
        kinds = rpc.event("ListKinds", page_size=1000).kinds
        named = [(kind.source, kind.event_type) for kind in kinds]
        assert named == list(dict.fromkeys((row[2], row[3]) for row in expected))
        for row in (expected[0], expected[-1]):
            assert as_row(rpc.event("GetEvent", event_id=row[0]).event) == row
        check_blocks(old)

        first = rpc.create()
        assert first.sequence == len(rows) + 1
        rpc.event("AckEvent", event_id=pending[0][0])
        assert as_row(rpc.event("GetEvent", event_id=pending[0][0]).event)[5] is not None


def check_blocks(old):
    assert old.number(old.left) == 0
    assert old.number(old.wrong_blocks) == 0


@pytest.mark.parametrize("count", [1, 254, 255, 256, 3000])
def test_every_event_has_its_place_in_the_log(old, start_core, count):
    rows = [old_row(number) for number in range(count)]
    old.insert(rows)
    check_everything(old, start_core(DATABASE_URL=old.url), rows)


def test_an_empty_store_is_updated(old, start_core):
    core = start_core(DATABASE_URL=old.url)
    with core.client() as rpc:
        assert rpc.create().sequence == 1
    assert old.number(old.left) == 0
    assert not [line for line in core.log if "into the log" in line["message"]]


def test_what_is_killed_goes_on(old, start_core):
    """However often a core is killed while it moves."""
    rows = [old_row(number) for number in range(20_000)]
    old.insert(rows)
    kills = 0
    for share in (0.0, 0.2, 0.5, 0.8):
        core = start_core(DATABASE_URL=old.url, wait=False)
        wait_until(
            lambda: (old.number(old.moved) or 0) > share * len(rows), f"{share} moved", interval=0.001
        )
        core.kill()
        kills += old.number(old.moved) < len(rows)
    assert kills > 0
    check_everything(old, start_core(DATABASE_URL=old.url), rows)


def test_cores_that_start_at_once_move_each_event_once(old, start_core):
    rows = [old_row(number) for number in range(6000)]
    old.insert(rows)
    cores = [start_core(DATABASE_URL=old.url, wait=False) for _ in range(3)]
    for core in cores:
        core.wait_serving()
    check_everything(old, cores[1], rows)
    with cores[2].client() as rpc:
        assert rpc.create().sequence == len(rows) + 2


def refusal(rpc):
    """What somebody is told who is to come again."""
    with pytest.raises(RpcError) as refused:
        rpc.event("ListInbox")
    assert refused.value.code == "UNAVAILABLE" and refused.value.reason == "STORE_UNAVAILABLE"
    return str(refused.value)


def test_it_says_how_far_it_is_and_stops_when_told(old, start_core):
    """Callers get an error that they may retry, health says NOT_SERVING, SIGTERM does not wait for the
    end."""
    count = old.seconds_of_moving
    old.insert_many(count)
    core = start_core(DATABASE_URL=old.url, wait=False).wait_answering()
    share = rf"moving the events into the log: \d+ % of {count:,}, about \d+ (second|minute)"
    with BareClient(core.url) as rpc:
        wait_until(lambda: re.search(share, refusal(rpc)), "a refusal that says how far it is", interval=0.01)
        with core.paused():
            assert 0 < old.number(old.moved) < count
        assert not rpc.serving()
    core.wait_for_line("moving the events into the log; nothing is served until that is done")
    told = next(line for line in core.log if line["message"].startswith("moving the events"))
    assert told["events"] == count and told["seconds_left"] >= 1
    started = time.monotonic()
    core.stop()
    assert time.monotonic() - started < 10
    assert 0 < old.number(old.moved) < count

    core = start_core(DATABASE_URL=old.url, wait=False).wait_serving(120)
    core.wait_for_line("moved the events into the log")
    assert old.number(old.moved) == count
    check_blocks(old)


def test_a_pooler_may_be_in_between(postgres, start_core):
    """Each slice may run in another of its sessions, and several cores share these."""
    old = OldDatabase(postgres)
    rows = [old_row(number) for number in range(3000)]
    old.insert(rows)
    with PgBouncer(postgres, sessions=2) as pooler:
        cores = [start_core(DATABASE_URL=pooler.url(old.url), wait=False) for _ in range(2)]
        for core in cores:
            core.wait_serving()
        check_everything(old, cores[0], rows)
        for core in cores:
            core.stop()


def test_large_payloads_move(old, start_core):
    """A slice of them takes long."""
    rows = [(*old_row(number)[:4], bytes([number]) * 1_000_000, None) for number in range(100)]
    old.insert(rows)
    core = start_core(DATABASE_URL=old.url)
    with core.client() as rpc:
        found = []
        while page := rpc.event("ListEvents", after_sequence=len(found), page_size=1000).events:
            found += [as_row(event) for event in page]
        assert found == [with_text_id(row) for row in in_order(rows)]


def test_another_process_is_waited_for(old, start_core):
    old.insert([old_row(number) for number in range(300)])
    with old.held() as said:
        core = start_core(DATABASE_URL=old.url, wait=False).wait_answering()
        assert said in core.wait_for_line(said)
        with BareClient(core.url) as rpc:
            assert not rpc.serving()
    core.wait_serving()
    assert old.number(old.moved) == 300


def test_a_core_of_the_version_before_gets_errors(old, start_core):
    """None of its statements, in a session that was open, finds or changes anything."""
    rows = [old_row(number) for number in range(300)]
    old.insert(rows)
    with old.old_session() as run:
        assert not any(run())
        core = start_core(DATABASE_URL=old.url)
        assert all(run())
    check_everything(old, core, rows)
