"""What stores do to us: disks that are full, folders and files that may not be written, files that
are damaged or held by another process, transactions that fail for no fault of ours. Each is a clear
error, and the service goes on or refuses to start with one line that says what to do."""

import contextlib
import os
import random
import sqlite3
import subprocess
import time

import httpx
import pytest

from support.load import Load
from support.network import free_port, wait_until
from support.program import Program, program_path
from support.rpc import RpcClient, RpcError, fails
from support.session import Session

KIB = 1024
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
PAYLOAD = b'{"a":"%s"}' % (b"x" * 10000)


def create_until_refused(rpc, limit=3000):
    """Creates until that fails; the error and the ids of what was stored."""
    stored = []
    for _ in range(limit):
        try:
            stored.append(rpc.create(payload=PAYLOAD).event_id)
        except RpcError as error:
            return error, stored
    raise AssertionError("never refused")


def check_full(rpc, make_room):
    """A store without room refuses writes, serves reads, and goes on when there is room."""
    error, stored = create_until_refused(rpc)
    assert error.code == "UNAVAILABLE", error
    # When the commit itself breaks off, SQLite cannot tell whether it will be found in the log.
    assert "disk" in error.response.message or error.reason == "OUTCOME_UNKNOWN", error
    assert error.details.retry_delay_ms > 0
    for event_id in stored[:: max(1, len(stored) // 50)]:
        assert rpc.event("GetEvent", event_id=event_id).event.payload == PAYLOAD
    assert len(rpc.event("ListInbox", page_size=1000).events) > 0
    make_room()
    wait_until(lambda: can_create(rpc), "creates when there is room")
    ids = {event_id for event_id in all_ids(rpc)}
    assert ids >= set(stored) and len(ids) <= len(stored) + 5  # what failed is not there


def can_create(rpc):
    try:
        return rpc.create().event_id
    except RpcError as error:
        assert error.code == "UNAVAILABLE", error
        return False


def all_ids(rpc):
    token = ""
    while True:
        page = rpc.event("ListInbox", page_size=1000, page_token=token)
        yield from (event.event_id for event in page.events)
        token = page.next_page_token
        if not token:
            return


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB, where we may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no permission to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk(small_disk, start_core):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    core = start_core(DATABASE_URL=f"sqlite:///{small_disk / 'triggers.db'}", LOG_LEVEL="warning")
    with core.client() as rpc:
        check_full(rpc, ballast.unlink)
    assert any("full" in line for line in core.output)


def test_file_that_may_not_grow(started, tmp_path):
    """The same by a limit on the size of files, which is reached in the write-ahead log."""
    url = f"ws://127.0.0.1:{free_port()}/rpc"
    command = ["prlimit", f"--fsize={1000 * KIB}:unlimited", program_path("triggersd")]
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path}/triggers.db", "TRIGGERS_LISTEN": url}
    core = Program(command, tmp_path, LOG_LEVEL="warning", **settings)
    started.append(core)

    def make_room():
        command = ["prlimit", f"--pid={core.pid}", "--fsize=unlimited"]
        subprocess.run(command, check=True)

    with RpcClient(url) as rpc:
        wait_until(rpc.serving, "serving")
        check_full(rpc, make_room)


def test_file_locked_by_another_process(start_core, tmp_path):
    """A writer that holds the file: what would write is told so; afterwards all is as before."""
    path = tmp_path / "triggers.db"
    core = start_core(DATABASE_URL=f"sqlite:///{path}", LOG_LEVEL="warning")
    with core.client() as rpc, contextlib.closing(sqlite3.connect(path)) as other:
        event_id = rpc.create().event_id
        other.isolation_level = None
        other.execute("begin immediate")
        fails("DEADLINE_EXCEEDED", rpc.event, "AckEvent", event_id=event_id, timeout_ms=1000)
        error = fails("UNAVAILABLE", rpc.event, "AckEvent", event_id=event_id, timeout_ms=15000)
        assert error.details.retry_delay_ms > 0
        assert rpc.event("GetEvent", event_id=event_id).event.event_id == event_id
        other.execute("rollback")
        wait_until(lambda: can_create(rpc), "creates when the file is free")


def refusal(folder, url, **settings):
    """Starts a core that must not start: its exit status and its line on stderr."""
    program = Program([program_path("triggersd")], folder, DATABASE_URL=url, **settings)
    status = program.wait()
    assert len(program.stderr) == 1, program.describe()
    return status, program.stderr[0]


@pytest.fixture
def unprivileged():
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")


def test_folder_that_may_not_be_written(unprivileged, tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    status, line = refusal(tmp_path, f"sqlite:///{folder}/triggers.db")
    assert status == 1 and str(folder) in line


def test_file_system_that_may_not_be_written(small_disk, tmp_path, start_core):
    """The same where it holds for root too."""
    url = f"sqlite:///{small_disk}/triggers.db"
    start_core(DATABASE_URL=url).stop()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    status, line = refusal(tmp_path, url, TRIGGERS_LISTEN=f"ws://127.0.0.1:{free_port()}/rpc")
    assert status == 1 and str(small_disk) in line and "may not be" in line, line


@pytest.fixture
def read_only_file(start_core, tmp_path):
    """A core's file in a folder that may be written, as a restored one that was not given to its user."""
    path = tmp_path / "triggers.db"
    start_core(DATABASE_URL=f"sqlite:///{path}").stop()
    if subprocess.run(["mount", "--bind", path, path], capture_output=True).returncode != 0:
        pytest.skip("no permission to mount")
    subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_file_that_may_only_be_read_refuses_to_start(read_only_file, tmp_path):
    url = f"sqlite:///{read_only_file}"
    status, line = refusal(tmp_path, url, TRIGGERS_LISTEN=f"ws://127.0.0.1:{free_port()}/rpc")
    assert status == 1 and f"{read_only_file} may not be read and written" in line, line


@pytest.mark.parametrize("damage", ["head", "text", "cut"])
def test_file_that_is_damaged_refuses_to_start(start_core, tmp_path, damage):
    path = tmp_path / "triggers.db"
    core = start_core(DATABASE_URL=f"sqlite:///{path}")
    with core.client() as rpc:
        for _ in range(50):
            rpc.create(payload=PAYLOAD)
    core.stop()
    data = path.read_bytes()
    path.write_bytes(
        {"head": os.urandom(100) + data[100:], "text": b"hello " * 1000, "cut": data[:5000]}[damage]
    )
    status, line = refusal(tmp_path, f"sqlite:///{path}")
    assert status == 1 and str(path) in line, line


def test_file_damaged_in_the_middle_is_told_and_the_rest_served(start_core, tmp_path):
    path = tmp_path / "triggers.db"
    core = start_core(DATABASE_URL=f"sqlite:///{path}")
    with core.client() as rpc:
        ids = [rpc.create(payload=PAYLOAD).event_id for _ in range(300)]
    core.stop()
    data = bytearray(path.read_bytes())
    for start in range(len(data) // 2, len(data) // 2 + 200_000, 4096):
        data[start : start + 4096] = os.urandom(4096)
    path.write_bytes(bytes(data))
    core = start_core(DATABASE_URL=f"sqlite:///{path}", LOG_LEVEL="warning")
    answers = set()
    with core.client() as rpc:
        for event_id in ids:
            try:
                assert rpc.event("GetEvent", event_id=event_id).event.payload
                answers.add("OK")
            except RpcError as error:
                answers.add(error.code)
        assert rpc.answers()
    assert "DATA_LOSS" in answers and answers <= {"OK", "DATA_LOSS", "NOT_FOUND"}, answers


def test_refusal_by_the_database_is_not_the_callers_fault(postgres, start_core, start_bridge):
    """A trigger that somebody added fails for some events: those are 503 and may be sent again, the
    others of their batch are stored."""
    url = postgres.create_database()
    core = start_core(DATABASE_URL=url, LOG_LEVEL="warning")
    postgres.psql(
        "create function triggers.fail() returns trigger language plpgsql as $$"
        " declare k triggers.kinds; begin"
        "  select * into k from triggers.kinds where kind = new.kind;"
        "  if k.source = 'bad' then"
        "   raise exception using errcode = upper(k.event_type), message = 'no'; end if;"
        "  return new; end $$;"
        "create trigger fail before insert on triggers.events for each row"
        " execute function triggers.fail()",
        url.rsplit("/", 1)[1],
    )
    bridge = start_bridge(core, TRIGGERS_CALL_TIMEOUT=2500)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        good = {"source": "crm", "event_type": "lead", "payload": {}}
        for code in ("54000", "p0001", "22021", "23514", "57p01"):
            bad = good | {"source": "bad", "event_type": code}
            answer = http.post("/api/v1/events", json=bad)
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0, answer.text
            results = http.post("/api/v1/events/batch", json=[good, bad, good]).json()["results"]
            assert [result["status"] for result in (results[0], results[2])] == ["received"] * 2
            assert results[1]["error"]["status"] == 503, results
            core.wait_for_line(code.upper())


def count_given_up(core):
    return sum("lock timeout" in line for line in core.output)


def test_deadlocks_and_locks_in_postgres(own_postgres, start_core, ledger, kept, pick):
    """A second session locks the rows and tables we write to, in orders that deadlock with us: we do
    not wait for long, so that it never has to be broken."""
    url = own_postgres.create_database()
    core = start_core(DATABASE_URL=url, LOG_LEVEL="warning", TRIGGERS_DB_CONNECTIONS=8)
    broken = 0
    chance = random.Random()
    with Session(own_postgres, url) as session, Load(ledger, core.url, 6) as load:
        session.execute("set deadlock_timeout = '20s'")  # a machine that stands still for 1 s is no deadlock
        load.wait_for_creates(20)
        start = time.monotonic()
        while time.monotonic() < start + pick(4, 120) or not count_given_up(core):
            assert time.monotonic() < start + 240, "there was no lock"
            first, second = chance.sample(["triggers.pending", "triggers.events"], 2)
            session.execute(f"begin; lock table {first} in share row exclusive mode")
            wait_until(lambda: own_postgres.psql(WAITING) != "0", "a batch that waits", 2.0)
            session.start(f"lock table {second} in share row exclusive mode")
            broken += "deadlock" in session.finish()
            session.execute("rollback")
            load.wait_for_creates(5)
    kept(core, f"locks of another session: {count_given_up(core)} lines of ours, {broken} deadlocks")
    assert not broken and set(ledger.answers) <= {"created", "acknowledged", "UNAVAILABLE"}, ledger.answers
