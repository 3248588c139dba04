"""What was answered survives a crash of PostgreSQL whatever its settings say about commits, and whenever
they say it: each write says for itself that it is durable."""

import pytest

from support.load import Load
from support.pgbouncer import PgBouncer


@pytest.fixture
def lazy_postgres(own_postgres):
    """A server that writes its log to the disk late unless a commit asks for it."""
    own_postgres.psql("alter system set wal_writer_delay = '10s'")
    own_postgres.stop()
    return own_postgres.start()


def check(server, core, turn_off, ledger, kept, pick, what):
    """Creates, turns durable commits off by `turn_off()`, creates more, and kills PostgreSQL."""
    with Load(ledger, core.url, 6) as load:
        load.wait_for_creates(20)
        for _ in range(pick(3, 30)):
            turn_off()
            load.wait_for_creates(100)
            server.kill()
            server.start()
        load.wait_for_creates(20)
    kept(core, what)


def test_turned_off_for_the_server_while_the_core_runs(lazy_postgres, start_core, ledger, kept, pick):
    core = start_core(DATABASE_URL=lazy_postgres.create_database(), LOG_LEVEL="warning")

    def turn_off():
        # Sessions that begin from now on have it from the start, so it is on again before.
        for value in ("on", "off"):
            lazy_postgres.psql(f"alter system set synchronous_commit = {value}")
            lazy_postgres.psql("select pg_reload_conf()")

    check(lazy_postgres, core, turn_off, ledger, kept, pick, "synchronous_commit = off by reload")


@pytest.mark.parametrize("way", ["database", "role"])
def test_turned_off_behind_a_pooler(lazy_postgres, start_core, ledger, kept, pick, way):
    url = lazy_postgres.create_database()
    name = url.rsplit("/", 1)[1] if way == "database" else "tester"
    with PgBouncer(lazy_postgres) as pooler:
        lazy_postgres.psql(f"alter {way} {name} set synchronous_commit = off")
        core = start_core(DATABASE_URL=pooler.url(url), LOG_LEVEL="warning")
        what = f"synchronous_commit = off of the {way}, behind PgBouncer"
        check(lazy_postgres, core, lambda: None, ledger, kept, pick, what)
        core.stop()
