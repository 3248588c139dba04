"""PgBouncer in transaction mode between the core and PostgreSQL, found out by itself: it and PostgreSQL die
and return, and other programs that share its sessions see nothing of ours."""

import pytest

from support.load import Load
from support.network import wait_until
from support.pgbouncer import PgBouncer
from support.rpc import RpcError
from support.typeid import new_event_id

OURS = (
    "select name from pg_settings where source = 'session' and (name ~ '^(enable_|lock_|statement_)'"
    " or name in ('plan_cache_mode', 'jit', 'synchronous_commit', 'default_transaction_isolation'))"
    " union all select name from pg_prepared_statements"
)


@pytest.fixture
def pooler(own_postgres):
    with PgBouncer(own_postgres) as pooler:
        yield pooler


@pytest.fixture
def pooled_url(own_postgres, pooler):
    """The DATABASE_URL of an empty database behind the pooler."""
    return pooler.url(own_postgres.create_database())


@pytest.mark.parametrize("who", ["pooler", "postgres"])
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_it_ends_and_returns(
    own_postgres, pooler, pooled_url, start_core, start_bridge, ledger, kept, pick, who, end
):
    ended = pooler if who == "pooler" else own_postgres
    core = start_core(DATABASE_URL=pooled_url, LOG_LEVEL="warning")
    bridge = start_bridge(core, LOG_LEVEL="warning")
    times = pick(2, 20)
    with core.client() as rpc, Load(ledger, core.url, 6, bridge.url, 3) as load:
        for _ in range(times):
            load.wait_for_creates(50)
            getattr(ended, end)()
            wait_until(lambda: not rpc.serving(), "noticing it")
            ended.start()
            load.wait_for_creates(20)
            wait_until(rpc.serving, "serving again")
    kept(core, f"{who} {end}, {times} times, through PgBouncer")
    assert not [line for line in core.output if "prepared statement" in line]


def test_other_programs_find_their_sessions_untouched(own_postgres, start_core, ledger, kept):
    """With one session for all: who comes after us has what we left, within our load and after it."""
    with PgBouncer(own_postgres, sessions=1) as pooler:
        url = pooler.url(own_postgres.create_database())
        core = start_core(DATABASE_URL=url, LOG_LEVEL="warning")
        look = lambda: own_postgres.run_psql(OURS, url.rsplit("/", 1)[1], pooler.port)  # noqa: E731
        with core.client() as rpc, Load(ledger, core.url, 4) as load:
            for _ in range(10):
                load.wait_for_creates(10)
                assert rpc.event("ListInbox", page_size=1).events
                done = look()
                assert (done.returncode, done.stdout) == (0, ""), done
        kept(core, "beside another program on one session of PgBouncer")
        assert look().stdout == ""


def test_cores_share_a_pooler(pooler, pooled_url, start_core, ledger, kept):
    """None finds a schema; more sessions of theirs than of the pooler's."""
    cores = [start_core(wait=False, DATABASE_URL=pooled_url, LOG_LEVEL="warning") for _ in range(3)]
    urls = [core.wait_serving().url for core in cores]
    with Load(ledger, urls, 6) as load:
        load.wait_for_creates(200)
    kept(cores[0], "three cores on three sessions of PgBouncer")


def patiently(call, *arguments, **fields):
    """The answer, once the store is there."""

    def ask():
        try:
            return call(*arguments, **fields)
        except RpcError as error:
            assert error.code == "UNAVAILABLE"

    return wait_until(ask, "an answer")


def test_the_server_that_returns_lacks_the_latest_commits(own_postgres, pooler, pooled_url, start_core):
    """As after a failover. Neither the writer nor a reader goes by what it remembers: the log has no gap, and
    events of the kind that has the lost one's number have their own names."""
    core = start_core(DATABASE_URL=pooled_url, LOG_LEVEL="warning")
    with core.client() as rpc:
        create = lambda source: patiently(rpc.create, source, event_id=new_event_id())  # noqa: E731
        latest = lambda: [  # noqa: E731
            (event.sequence, event.source)
            for event in patiently(rpc.event, "ListEvents", after_sequence=3).events
        ]
        for _ in range(3):
            create("first")
        own_postgres.stop()
        own_postgres.save()
        own_postgres.start()
        for _ in range(3):
            create("lost")
        assert latest() == [(4, "lost"), (5, "lost"), (6, "lost")]
        with pooler.paused():
            own_postgres.stop()
            own_postgres.restore()
            own_postgres.start()
        for source in ("other", "lost", "first"):
            create(source)
        assert latest() == [(4, "other"), (5, "lost"), (6, "first")]
    core.wait_for_line("the pooler leads to another server")
