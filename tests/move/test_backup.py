"""`triggers backup`: a copy of the SQLite file of a core under load, and what it is restored from."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from support.ledger import Ledger, check_entry, payload_of, read_everything
from support.load import Load
from support.program import run

PAYLOAD_BYTES = 8000


def told(ledger):
    """Copies of the entries whose sender knows that they are stored, as they are now."""
    return [
        replace(
            entry,
            created_at=set(entry.created_at),
            acknowledged_at=set(entry.acknowledged_at),
            ack_sent=True,  # perhaps before the copying began
        )
        for entry in list(ledger.entries.values())
        if entry.created_at
    ]


def test_backup_and_restore_under_load(start_core, tmp_path):
    database = tmp_path / "triggers.db"
    url = f"sqlite:///{database}"
    copy = tmp_path / "copy.db"
    core = start_core(DATABASE_URL=url)
    ledger = Ledger()
    with Load(ledger, core.url, binary=8, size=PAYLOAD_BYTES) as load:
        load.wait_for_creates(3000)  # 24 MB: more than one step of the copying
        before = told(ledger)
        done = run("triggers", "backup", database, copy, folder=tmp_path, deadline=60)
        assert done.returncode == 0 and done.stderr == ""
        load.wait_for_creates(100)  # the core goes on
    result = json.loads(done.stdout)
    assert result["copy"] == str(copy) and result["bytes"] == copy.stat().st_size
    assert not list(tmp_path.glob("copy.db?*")), "a copy is one file"

    core.stop()
    for name in ("triggers.db", "triggers.db-wal", "triggers.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(copy, database)
    with start_core(DATABASE_URL=url).client() as rpc:
        stored, wrong = read_everything(rpc)
        assert len(before) <= len(stored) == result["events"]
        for entry in before:
            wrong += check_entry(entry, stored.get(entry.event_id), removes=False)
        assert not wrong + ledger.broken
        assert rpc.create().event_id
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]


@pytest.fixture
def database(start_core, tmp_path):
    """The file of a core that has stopped."""
    path = tmp_path / "triggers.db"
    core = start_core(DATABASE_URL=f"sqlite:///{path}")
    with core.client() as rpc:
        for _ in range(50):
            rpc.create(payload=payload_of("m", PAYLOAD_BYTES))
    core.stop()
    return path


def test_of_a_core_that_has_stopped(database, tmp_path):
    database.chmod(0o644)
    done = run("triggers", "backup", "--output", "table", database, "copy.db", folder=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("copied 50 events, ")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


def refused(folder, source, copy, *texts):
    """A backup that must fail with one line, and leave nothing but what was there."""
    before = {path: path.read_bytes() for path in folder.glob("*.db*") if path.is_file()}
    done = run("triggers", "backup", source, copy, folder=folder)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and all(text in done.stderr for text in texts), done.stderr
    assert {path: path.read_bytes() for path in folder.glob("*.db*") if path.is_file()} == before


def test_refuses_to_overwrite(database, tmp_path):
    (tmp_path / "copy.db").write_text("precious")
    refused(tmp_path, database, "copy.db", "copy.db: File exists")
    refused(tmp_path, database, database, "triggers.db: File exists")
    (tmp_path / "dangling.db").symlink_to("nowhere.db")
    refused(tmp_path, database, "dangling.db", "dangling.db: File exists")
    (tmp_path / "other.db.part").write_text("of a backup that was killed")
    refused(tmp_path, database, "other.db", "other.db.part: File exists: another backup is writing it; if that was killed, remove")


def test_refuses_what_is_no_database_of_triggersd(database, tmp_path):
    refused(tmp_path, "missing.db", "copy.db", "missing.db: No such file")
    refused(tmp_path, database, "no/such/folder/copy.db", "No such file")
    (tmp_path / "text.db").write_text("hello" * 1000)
    refused(tmp_path, "text.db", "copy.db", "text.db: file is not a database")
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("create table events (id integer)")
    refused(tmp_path, "other.db", "copy.db", "other.db is not a database of triggersd")


def test_refuses_a_damaged_file(database, tmp_path):
    data = bytearray(database.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\xa5" * 4096
    database.write_bytes(data)
    refused(tmp_path, database, "copy.db", "triggers.db")
