"""Moving from the service that this one replaces: its table is imported by `triggers-import`, and
its events are answered by their old ids."""

import contextlib
import json
import os
import pty
import sqlite3
import subprocess
from datetime import datetime, timedelta, timezone

import httpx
import pytest

from support.program import clean_environment, program_path, run
from support.protocol import events

# As SQLAlchemy made it in PostgreSQL, the types of later versions, and those of its default, an SQLite file.
TABLE = """
create table events (
    id varchar not null primary key,
    source varchar not null,
    event_type varchar not null,
    payload jsonb not null,
    status varchar not null,
    created_at timestamptz not null,
    acknowledged_at timestamptz
)"""
LOOSE_TABLE = """
create type eventstatus as enum ('PENDING', 'ACKNOWLEDGED');
create table events (
    id varchar,
    source text,
    event_type text,
    payload json,
    status eventstatus,
    created_at timestamp
)"""
SQLITE_TABLE = """
create table events (
    id varchar not null,
    source varchar,
    event_type varchar,
    payload json,
    status varchar(12),
    created_at datetime,
    acknowledged_at datetime,
    primary key (id)
)"""
UTC = timezone.utc
CREATED = datetime(2025, 11, 10, 9, 30, 15, 123456, UTC)
ACKNOWLEDGED = datetime(2025, 11, 11, 1, 2, 3, 400000, UTC)


class OldDatabase:
    """A PostgreSQL database with the old service's table."""

    def __init__(self, server, table=TABLE):
        self.server = server
        self.url = server.create_database()
        self.name = self.url.rsplit("/", 1)[1]
        self.sql(table)

    def sql(self, text):
        return self.server.psql(text, self.name)

    def insert(self, count, first=0):
        """`count` events with the ids of old_id(); every third is acknowledged."""
        self.sql(f"""
            insert into events (id, source, event_type, payload, status, created_at, acknowledged_at)
            select 'evt_' || lpad(to_hex(n), 12, '0'), 'crm', 'lead.created',
                jsonb_build_object('n', n), case n % 3 when 0 then 'acknowledged' else 'pending' end,
                timestamptz '{CREATED}' + n * interval '1 second',
                case n % 3 when 0 then timestamptz '{ACKNOWLEDGED}' end
            from generate_series({first}, {first + count - 1}) n""")


class OldFile:
    """An SQLite file with the old service's table."""

    def __init__(self, path):
        self.path = path
        self.url = f"sqlite:///{path}"
        self.sql(SQLITE_TABLE)

    def sql(self, text, *rows):
        with contextlib.closing(sqlite3.connect(self.path)) as file, file:
            if rows:
                file.executemany(text, rows)
            else:
                file.executescript(text)

    def insert(self, count, first=0):
        """As OldDatabase does."""
        def text(time):
            return time.strftime("%Y-%m-%d %H:%M:%S.%f")

        self.sql("insert into events values (?, 'crm', 'lead.created', ?, ?, ?, ?)", *[
            (
                old_id(n),
                json.dumps({"n": n}),
                "pending" if n % 3 else "acknowledged",
                text(CREATED + timedelta(seconds=n)),
                None if n % 3 else text(ACKNOWLEDGED),
            )
            for n in range(first, first + count)
        ])


def old_id(number):
    return f"evt_{number:012x}"


def import_from(old, url, folder, **settings):
    """Runs the import; returns what `run` does, the figures that it logged last, and its log."""
    done = run(
        *("triggers-import", "--import-from", getattr(old, "url", old)),
        folder=folder,
        DATABASE_URL=url,
        LOG_FORMAT="json",
        **settings,
    )
    log = [json.loads(line) for line in done.stdout.splitlines()]
    ended = [line for line in log if line["message"] == "import ended"]
    figures = {k: ended[-1][k] for k in ("read", "stored", "already_there", "refused")} if ended else None
    return done, figures, log


@pytest.fixture(params=["postgresql", "sqlite"])
def old(request, tmp_path):
    """The old service's events, in each kind of database that it had."""
    if request.param == "sqlite":
        return OldFile(tmp_path / "old.db")
    return OldDatabase(request.getfixturevalue("postgres"))


def test_events_keep_their_ids_times_and_acknowledgements(
    old, new_store_url, start_core, start_bridge, tmp_path
):
    old.insert(1200)
    url = new_store_url()
    done, figures, _ = import_from(old, url, tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert figures == {"read": 1200, "stored": 1200, "already_there": 0, "refused": 0}

    core = start_core(DATABASE_URL=url)
    with core.client() as rpc:
        event = rpc.event("GetEvent", event_id=old_id(3)).event
        assert event.event_id == old_id(3) and event.source == "crm"
        assert json.loads(event.payload) == {"n": 3}
        assert event.status == events.EVENT_STATUS_ACKNOWLEDGED
        assert event.created_at.ToDatetime(UTC) == CREATED.replace(second=18)
        assert event.acknowledged_at.ToDatetime(UTC) == ACKNOWLEDGED
        again = rpc.event("AckEvent", event_id=old_id(3))
        assert again.acknowledged_at.ToDatetime(UTC) == ACKNOWLEDGED
        page = rpc.event("ListInbox", page_size=2, order=events.SORT_ORDER_OLDEST_FIRST)
        assert [event.event_id for event in page.events] == [old_id(1), old_id(2)]

    bridge = start_bridge(core)
    with httpx.Client(base_url=f"{bridge.url}/api/v1", trust_env=False, timeout=20) as http:
        inbox = http.get("/inbox", params={"limit": 1000}).json()
        assert inbox["total"] == 800 and inbox["events"][0]["event_id"] == old_id(1199)
        event = http.get(f"/events/{old_id(1)}").json()
        assert event == {
            "event_id": old_id(1),
            "source": "crm",
            "event_type": "lead.created",
            "payload": {"n": 1},
            "status": "pending",
            "sequence": 2,
            "created_at": "2025-11-10T09:30:16.123456Z",
            "acknowledged_at": None,
            "ordering_key": None,
            "deliver_at": None,
        }
        acked = http.delete(f"/events/{old_id(1)}").json()
        assert acked["event_id"] == old_id(1) and acked["status"] == "acknowledged"
        assert http.get("/inbox", params={"limit": 1000}).json()["total"] == 799

    listed = run("triggers", "inbox", "--limit", "1", folder=tmp_path, TRIGGERS_CORE=core.url)
    assert json.loads(listed.stdout)["event_id"] == old_id(1199)


def test_the_log_has_them_in_the_order_in_which_they_came(old, new_store_url, start_core, tmp_path):
    """By time and then by id, however the old table has them."""
    old.insert(600, first=600)
    old.insert(600)
    old.sql(f"update events set created_at = (select created_at from events where id = '{old_id(700)}')"
            f" where id in ('{old_id(2)}', '{old_id(699)}', '{old_id(1100)}')")
    url = new_store_url()
    assert import_from(old, url, tmp_path)[0].returncode == 0
    numbers = [n for n in range(1200) if n not in (2, 699, 1100)]
    place = numbers.index(700)
    numbers[place : place + 1] = [2, 699, 700, 1100]
    with start_core(DATABASE_URL=url).client() as rpc:
        pages = [rpc.event("ListEvents", after_sequence=after, page_size=1000) for after in (0, 1000)]
        log = [event for page in pages for event in page.events]
        assert [event.event_id for event in log] == [old_id(n) for n in numbers]
        assert [event.sequence for event in log] == list(range(1, 1201))


def test_a_second_run_brings_only_what_is_new(old, new_store_url, start_core, tmp_path):
    """While the old service still serves, and once more when it has been stopped."""
    old.insert(10)
    url = new_store_url()
    import_from(old, url, tmp_path)
    core = start_core(DATABASE_URL=url)  # serves while the second run goes on
    with core.client() as rpc:
        ours = rpc.event("AckEvent", event_id=old_id(1)).acknowledged_at
        old.insert(5, first=10)
        old.sql(f"update events set status = 'acknowledged', acknowledged_at = '{ACKNOWLEDGED}'"
                f" where id = '{old_id(2)}'")
        done, figures, _ = import_from(old, url, tmp_path)
        assert done.returncode == 0
        assert figures == {"read": 15, "stored": 5, "already_there": 10, "refused": 0}
        assert rpc.event("GetEvent", event_id=old_id(1)).event.acknowledged_at == ours
        later = rpc.event("GetEvent", event_id=old_id(2)).event
        assert later.acknowledged_at.ToDatetime(UTC) == ACKNOWLEDGED
        assert rpc.event("GetEvent", event_id=old_id(14)).event.event_id == old_id(14)


def test_times_without_zone_and_an_enum_as_status(postgres, new_store_url, start_core, tmp_path):
    old = OldDatabase(postgres, LOOSE_TABLE)
    old.sql(f"""
        set timezone = 'Asia/Tokyo';
        alter database {old.name} set timezone = 'Asia/Tokyo';
        insert into events (id, source, event_type, payload, status, created_at) values
        ('{old_id(1)}', 'CRM ', 'Lead', '{{"big": 12345678901234567890, "a":1, "a":2}}', 'ACKNOWLEDGED',
         '2025-11-10 09:30:15.123456'),
        ('{old_id(2)}', 'crm', 'lead', '{{}}', 'ACKNOWLEDGED', '1969-12-31 23:59:59.999999')""")
    url = new_store_url()
    done, _, _ = import_from(old, url.replace("postgresql://", "postgresql+asyncpg://"), tmp_path)
    assert done.returncode == 0, done.stderr
    with start_core(DATABASE_URL=url).client() as rpc:
        event = rpc.event("GetEvent", event_id=old_id(1)).event
        assert (event.source, event.event_type) == ("crm", "lead")
        assert event.payload == b'{"big": 12345678901234567890, "a":1, "a":2}'
        assert event.created_at.ToDatetime(UTC) == event.acknowledged_at.ToDatetime(UTC) == CREATED
        early = rpc.event("GetEvent", event_id=old_id(2)).event
        assert early.created_at.ToMicroseconds() == early.acknowledged_at.ToMicroseconds() == -1


# Values of (id, source, event_type, payload, status, created_at) and what is said of them.
BAD_ROWS = [
    ("'evt_0123456789AB', 'crm', 'lead', '{}', 'PENDING', now()", "id is not"),
    ("null, 'crm', 'lead', '{}', 'PENDING', now()", "id is not"),
    ("'evt_00000000000a', ' ', 'lead', '{}', 'PENDING', now()", "source must have at least 1"),
    ("'evt_00000000000b', 'crm', repeat('x', 256), '{}', 'PENDING', now()", "event_type must have at most"),
    ("'evt_00000000000c', null, 'lead', '{}', 'PENDING', now()", "source is null"),
    ("'evt_00000000000d', 'crm', 'lead', '[]', 'PENDING', now()", "payload must be a JSON object"),
    ("'evt_00000000000e', 'crm', 'lead', null, 'PENDING', now()", "payload is null"),
    ("'evt_00000000000f', 'crm', 'lead', ('{\"a\":\"' || repeat('x', 300000) || '\"}')::json, 'PENDING', now()",
     "payload must be at most 262144 bytes"),
    ("'evt_000000000010', 'crm', 'lead', '{}', null, now()", "status is neither"),
    ("'evt_000000000011', 'crm', 'lead', '{}', 'PENDING', 'infinity'", "created_at is not"),
    ("'evt_000000000012', 'crm', 'lead', '{}', 'PENDING', null", "created_at is not"),
]


def test_rows_that_cannot_be_imported_are_named_and_the_rest_goes_on(postgres, new_store_url, tmp_path):
    old = OldDatabase(postgres, LOOSE_TABLE)
    columns = "insert into events (id, source, event_type, payload, status, created_at) values"
    for values, _ in BAD_ROWS:
        old.sql(f"{columns} ({values})")
    old.sql(f"{columns} ('{old_id(99)}', 'crm', 'lead', '{{}}', 'PENDING', now())")
    done, figures, log = import_from(old, new_store_url(), tmp_path)
    assert done.returncode == 1
    count = len(BAD_ROWS)
    assert figures == {"read": count + 1, "stored": 1, "already_there": 0, "refused": count}
    assert done.stderr == (
        f"triggers-import: {count} of {count + 1} events cannot be imported; the log names them\n"
    )
    refused = [line for line in log if line["message"] == "cannot import an event"]
    for (values, why), line in zip(BAD_ROWS, refused, strict=True):
        assert line["event_id"] == values.split(",")[0].strip("'")
        assert line["reason"].startswith(why)


# Values of (id, source, event_type, payload, status, created_at) in SQLite and what is said of them.
BAD_FILE_ROWS = [
    (("evt_0123456789AB", "crm", "lead", "{}", "pending", "2025-11-10 09:30:15"), "id is not"),
    (("evt_00000000000c", None, "lead", "{}", "pending", "2025-11-10 09:30:15"), "source is null"),
    (("evt_00000000000d", "crm", "lead", "[]", "pending", "2025-11-10 09:30:15"), "payload must be a JSON"),
    (("evt_00000000000e", "crm", "lead", b"{}\xff", "pending", "2025-11-10 09:30:15"), "payload must be"),
    (("evt_00000000000f", "crm", "lead", "{}", "gone", "2025-11-10 09:30:15"), "status is neither"),
    (("evt_000000000010", "crm", "lead", "{}", "pending", "yesterday"), "created_at is not"),
    (("evt_000000000011", "crm", "lead", "{}", "pending", "2025-11-10 09:30:15 MEZ"), "created_at is not"),
    (("evt_000000000012", "crm", "lead", "{}", "pending", None), "created_at is not"),
    (("evt_000000000013", "crm", "lead", "{}", "pending", "2025-13-10 09:30:15"), "created_at is not"),
]


def test_rows_of_a_file_that_cannot_be_imported_are_named(new_store_url, start_core, tmp_path):
    old = OldFile(tmp_path / "old.db")
    insert = "insert into events values (?, ?, ?, ?, ?, ?, null)"
    old.sql(insert, *[row for row, _ in BAD_FILE_ROWS])
    good = ["2025-11-10 09:30:15.123456", "2025-11-10T09:30:15.123456Z", "2025-11-10 10:30:15.123456+01:00"]
    old.sql(insert, *[(old_id(100 + n), "CRM ", "Lead", "{}", "ACKNOWLEDGED", time) for n, time in enumerate(good)])
    url = new_store_url()
    done, figures, log = import_from(old, url, tmp_path)
    count = len(BAD_FILE_ROWS)
    assert done.returncode == 1
    assert figures == {"read": count + 3, "stored": 3, "already_there": 0, "refused": count}
    reasons = [line["reason"] for line in log if "reason" in line]
    bad_rows = sorted(BAD_FILE_ROWS, key=lambda item: (item[0][5] or "", item[0][0]))
    assert all(told.startswith(why) for told, (_, why) in zip(reasons, bad_rows, strict=True)), reasons
    with start_core(DATABASE_URL=url).client() as rpc:
        for n in range(3):
            event = rpc.event("GetEvent", event_id=old_id(100 + n)).event
            assert event.created_at.ToDatetime(UTC) == event.acknowledged_at.ToDatetime(UTC) == CREATED


def test_the_largest_payload_after_an_almost_full_batch(new_store_url, tmp_path):
    old = OldFile(tmp_path / "old.db")
    sizes = [(8 << 20) - 4096, 10 << 20, 100, 100]
    rows = [(old_id(n), json.dumps({"n": "x" * (size - 9)}), CREATED.isoformat()) for n, size in enumerate(sizes)]
    old.sql("insert into events values (?, 'crm', 'lead', ?, 'pending', ?, null)", *rows)
    done, figures, log = import_from(old, new_store_url(), tmp_path, TRIGGERS_MAX_PAYLOAD=10 << 20)
    assert done.returncode == 0, log
    assert figures == {"read": 4, "stored": 4, "already_there": 0, "refused": 0}


def test_text_that_is_not_utf8_is_named(postgres, new_store_url, tmp_path):
    name = postgres.database_name()
    postgres.psql(f"create database {name} encoding 'SQL_ASCII' template template0")
    table = LOOSE_TABLE.replace("payload json", "payload text")
    postgres.psql(table, name)
    postgres.psql(r"set client_encoding = 'SQL_ASCII'; insert into events values"
                  rf" ('{old_id(1)}', E'\xff', 'lead', '{{}}', 'PENDING', now()),"
                  rf" ('{old_id(2)}', 'crm', 'lead', E'{{\"a\":\"\xff\"}}', 'PENDING', now())",
                  name)
    done, figures, log = import_from(postgres.url(name), new_store_url(), tmp_path)
    assert done.returncode == 1 and figures["refused"] == 2
    reasons = [line["reason"] for line in log if "reason" in line]
    assert reasons[0] == "source is not UTF-8" and "payload must be a JSON object" in reasons[1]


def test_what_the_store_refuses_is_named(old, postgres, start_core, tmp_path):
    """A batch of which the store rejects one row is written without it."""
    old.insert(30)
    url = postgres.create_database()
    start_core(DATABASE_URL=url).stop()
    postgres.psql("alter table triggers.events add check (convert_from(payload, 'UTF8') not like '%17%')",
                  url.rsplit("/", 1)[1])
    done, figures, log = import_from(old, url, tmp_path)
    assert done.returncode == 1
    assert figures == {"read": 30, "stored": 29, "already_there": 0, "refused": 1}
    assert [line["event_id"] for line in log if "reason" in line] == [old_id(17)]


def test_content_that_changed_since_an_import_is_named(old, new_store_url, tmp_path):
    old.insert(2)
    url = new_store_url()
    import_from(old, url, tmp_path)
    old.sql(f"update events set payload = '{{}}' where id = '{old_id(1)}'")
    done, figures, log = import_from(old, url, tmp_path)
    assert done.returncode == 1
    assert figures == {"read": 2, "stored": 0, "already_there": 1, "refused": 1}
    assert [line["reason"] for line in log if "reason" in line] == ["an event with this id and other content is in the store"]


def test_both_services_may_share_a_database_and_a_role_called_triggers(postgres, start_core, tmp_path):
    """Our own table is called events too; the search path of such a role begins with our schema."""
    old = OldDatabase(postgres)
    old.insert(3)
    postgres.psql("create role triggers superuser login password 'secret'")
    try:
        url = postgres.url(old.name, user="triggers", password="secret")
        for expected in (3, 0):
            done, figures, _ = import_from(url, url, tmp_path)
            assert done.returncode == 0 and figures["stored"] == expected
        assert old.sql("select count(*) from triggers.acknowledged") == "1"
    finally:
        postgres.psql(f"reassign owned by triggers to tester; drop owned by triggers", old.name)
        postgres.psql("drop role triggers")


def test_a_table_of_another_name_through_a_view(postgres, tmp_path):
    """As deploy/README.md says."""
    old = OldDatabase(postgres, TABLE.replace("create table events", "create table hooks"))
    old.sql(f"""
        insert into hooks values ('{old_id(1)}', 'crm', 'x', '{{}}', 'pending', now());
        create table events (id integer);
        create schema for_triggers;
        create view for_triggers.events as select * from public.hooks""")
    url = f"{old.url}?options=-csearch_path%3Dfor_triggers"
    done, figures, _ = import_from(url, f"sqlite:///{tmp_path / 'triggers.db'}", tmp_path)
    assert done.returncode == 0 and figures["stored"] == 1


def stops(done, status, *texts):
    assert done.returncode == status and done.stderr.count("\n") == 1
    for text in texts:
        assert text in done.stderr, done.stderr


def test_what_is_missing_is_named(postgres, tmp_path):
    url = f"sqlite:///{tmp_path / 'triggers.db'}"
    empty = postgres.create_database()
    stops(import_from(empty, url, tmp_path)[0], 1, 'no table "events"', empty.rsplit("/", 1)[1])
    odd = OldDatabase(postgres, "create table events (id text, source text, created_at text)")
    done = import_from(odd, url, tmp_path)[0]
    stops(done, 1, "lacks the columns: event_type, payload, status, created_at (a timestamp)")
    stops(import_from(postgres.url("nowhere"), url, tmp_path)[0], 1, '"nowhere" does not exist')
    stops(import_from("mysql://host/old", url, tmp_path)[0], 2, "--import-from", "postgresql://", "sqlite:///")
    stops(import_from(f"sqlite:///{tmp_path}/no.db", url, tmp_path)[0], 1, "no.db: unable to open")
    other = OldFile(tmp_path / "other.db")
    other.sql("drop table events")
    stops(import_from(other, url, tmp_path)[0], 1, 'no table "events"', "other.db")
    other.sql("create table events (id text, source text)")
    stops(import_from(other, url, tmp_path)[0], 1, "lacks the columns: event_type, payload, status, created_at")
    done = import_from("postgresql://me:hunter2/@host/database", url, tmp_path)[0]
    stops(done, 2, "--import-from", "%2F")
    assert "hunter2" not in done.stdout + done.stderr
    for secret in postgres.secrets():
        assert secret not in done.stdout + done.stderr


def test_a_database_must_be_named(tmp_path):
    done = run("triggers-import", folder=tmp_path)
    stops(done, 2, "--import-from", "TRIGGERS_IMPORT_FROM")
    assert not list(tmp_path.glob("*.db"))


@pytest.mark.parametrize("words, settings", [
    (["--import-from", "postgresql://me:hunter2@old/events"], {}),
    ([], {"TRIGGERS_IMPORT_FROM": "postgresql://me:hunter2@old/events"}),
])  # fmt: skip
def test_the_core_tells_what_imports_instead_of_serving(tmp_path, words, settings):
    done = run("triggersd", *words, folder=tmp_path, **settings)
    stops(done, 2, "triggers-import does this now")
    assert "hunter2" not in done.stderr and not list(tmp_path.glob("*.db"))


def test_a_terminal_shows_progress(old, tmp_path):
    old.insert(1500)
    terminal, child_side = pty.openpty()
    process = subprocess.Popen(
        [program_path("triggers-import")],
        cwd=tmp_path,
        env=clean_environment(tmp_path / "pty", {"TRIGGERS_IMPORT_FROM": old.url}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=child_side,
    )
    os.close(child_side)
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:  # how Linux tells that the other side has gone
        pass
    os.close(terminal)
    assert process.wait(30) == 0
    assert b"read 500 of 1500 events" in shown and b"read 1500 of 1500 events" in shown
