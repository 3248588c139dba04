"""PostgreSQL that is away, comes back, restarts, is empty, or is shared; and its password."""

import httpx
import pytest

from support.log import assert_limited
from support.network import free_port, wait_until
from support.protocol import health
from support.rpc import RpcError, fails
from support.services import Core

SERVING = health.HealthCheckResponse.SERVING
NOT_SERVING = health.HealthCheckResponse.NOT_SERVING


def expect_unavailable(rpc):
    """Every method comes to answer UNAVAILABLE with advice when to try again. The first call that
    meets a lost session may try until its deadline, because its write may have happened."""
    item = {"source": "crm", "event_type": "lead", "payload": b"{}"}
    event_id = "evt_01h455vb4pex5vsknk084sn02q"
    for method, fields in {
        "CreateEvent": item,
        "BatchCreateEvents": {"events": [item]},
        "GetEvent": {"event_id": event_id},
        "ListInbox": {},
        "AckEvent": {"event_id": event_id},
        "BatchAckEvents": {"event_ids": [event_id]},
    }.items():
        wait_until(lambda: is_unavailable(rpc, method, fields), f"{method} saying UNAVAILABLE")


def is_unavailable(rpc, method, fields):
    try:
        answer = rpc.event(method, timeout_ms=1000, **fields)
    except RpcError as error:
        assert error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), error
        if error.code == "DEADLINE_EXCEEDED":
            return False
        assert error.reason and error.details.retry_delay_ms > 0, error
        return True
    raise AssertionError(f"{method} answered without a store: {answer}")


def test_store_away_at_start_is_waited_for(start_core, own_postgres):
    url = own_postgres.create_database()
    own_postgres.stop()
    core = start_core(wait=False, DATABASE_URL=url).wait_answering()
    with core.client() as rpc:
        assert rpc.health().status == NOT_SERVING
        expect_unavailable(rpc)
        assert core.running
        own_postgres.start()
        wait_until(rpc.serving, "serving once the store is there")
        assert rpc.create().event_id
    assert not leaks(core, own_postgres)


def test_store_that_goes_away_comes_back(start_core, own_postgres):
    core = start_core(DATABASE_URL=own_postgres.create_database())
    with core.client() as rpc:
        event_id = rpc.create().event_id
        own_postgres.stop()
        wait_until(lambda: rpc.health().status == NOT_SERVING, "noticing that the store is unavailable")
        expect_unavailable(rpc)
        own_postgres.start()
        wait_until(rpc.serving, "serving again")
        assert rpc.event("GetEvent", event_id=event_id).event.event_id == event_id
        assert rpc.create().event_id
    assert not leaks(core, own_postgres)


def test_crash_in_the_middle_loses_nothing_that_was_answered(start_core, own_postgres):
    """Creates go on while the server crashes and restarts; what was OK is there, once."""
    core = start_core(DATABASE_URL=own_postgres.create_database())
    stored = []
    with core.client() as rpc:

        def create():
            request = {"source": "crm", "event_type": "lead", "payload": b"{}"}
            try:
                created = rpc.event("CreateEvent", timeout_ms=1000, **request)
                stored.append(created.event_id)
            except RpcError as error:
                assert error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
                return False
            return True

        for _ in range(20):
            create()
        own_postgres.kill()
        create()
        own_postgres.start()
        wait_until(create, "creating again")
        for _ in range(20):
            create()
        wait_until(rpc.serving, "every lane serving again")
        listed = [event.event_id for event in rpc.event("ListInbox", page_size=1000).events]
        assert set(stored) <= set(listed) and len(listed) == len(set(listed))


# Each try takes a number, which it keeps though its transaction fails.
UNWILLING = """
create sequence public.tries;
create function public.unwilling() returns event_trigger language plpgsql as $$
begin
    perform nextval('public.tries');
    raise exception 'no tables here, %', clock_timestamp();
end $$;
create event trigger unwilling on ddl_command_start execute function public.unwilling();
"""


def test_a_schema_that_cannot_be_set_up_is_told_once_in_a_while(start_core, own_postgres):
    url = own_postgres.create_database()
    database = url.rsplit("/", 1)[1]
    own_postgres.psql(UNWILLING, database)
    core = start_core(wait=False, DATABASE_URL=url, LOG_LEVEL="info")

    def tried():
        return int(own_postgres.psql("select last_value from public.tries", database)) >= 25

    wait_until(tried, "many tries", 60)
    assert_limited([line for line in core.log if "sqlstate" in line], "sqlstate")
    assert_limited([line for line in core.log if "store is unavailable" in line["message"]], "lane")
    assert "no tables here" in core.wait_for_line("refused a statement")
    own_postgres.psql("drop event trigger unwilling", database)
    core.wait_serving()


def test_a_session_that_is_lost_again_and_again_is_told_once_in_a_while(start_core, own_postgres):
    """The lines about what comes and goes are few, and the last of them is true."""
    url = own_postgres.create_database()
    core = start_core(DATABASE_URL=url, LOG_LEVEL="info")
    kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'triggersd'"
    killed = 0
    while killed < 40:
        killed += int(own_postgres.psql(kill))
        core.wait_serving()
    assert_limited([line for line in core.log if "lost the connection" in line["message"]], "text")
    assert_limited([line for line in core.log if "store is unavailable" in line["message"]], "lane")

    def told_last(lane):
        return [line["message"] for line in core.log if line.get("lane") == lane][-1]

    for lane in ("writes", "gets", "lists"):
        wait_until(lambda: told_last(lane) == "connected to the store", f"good news of {lane}")


def test_stop_while_the_store_is_away(start_core, own_postgres):
    url = own_postgres.create_database()
    own_postgres.stop()
    start_core(wait=False, DATABASE_URL=url).wait_answering().stop()


def test_bridge_tells_that_the_store_is_away(start_core, start_bridge, own_postgres):
    core = start_core(DATABASE_URL=own_postgres.create_database())
    bridge = start_bridge(core)
    bridge.wait_answering("/ready")
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        own_postgres.stop()
        wait_until(lambda: http.get("/ready").status_code == 503, "/ready saying 503")
        assert http.get("/health").status_code == 200
        assert http.get("/api/v1/inbox").status_code == 503
        own_postgres.start()
        bridge.wait_answering("/ready")
        answer = http.get("/api/v1/inbox")
        assert answer.status_code == 200, f"{answer.text}\n{core.describe()}"


def test_cores_starting_at_once_against_an_empty_server(started, postgres, tmp_path):
    """None of them finds database or schema; all of them end up serving the same events."""
    url = postgres.url(postgres.database_name())
    cores = []
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        cores.append(Core(folder, DATABASE_URL=url))
        started.append(cores[-1])
    ids = []
    for core in cores:
        with core.wait_serving().client() as rpc:
            ids.append(rpc.create().event_id)
    for core in cores:
        with core.client() as rpc:
            listed = [event.event_id for event in rpc.event("ListInbox").events]
            assert sorted(listed) == sorted(ids)


def test_cores_starting_at_once_on_one_sqlite_file(started, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    cores = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        cores.append(Core(folder, DATABASE_URL=url))
        started.append(cores[-1])
    for core in cores:
        with core.wait_serving().client() as rpc:
            rpc.create()
    with cores[0].client() as rpc:
        assert len(rpc.event("ListInbox").events) == 3


def test_tables_live_in_a_schema_of_their_own(start_core, postgres):
    url = postgres.create_database()
    database = url.rsplit("/", 1)[1]
    postgres.psql("create table events(theirs text)", database)
    with start_core(DATABASE_URL=url).client() as rpc:
        rpc.create()
    elsewhere = postgres.psql(
        "select count(*) from pg_tables where schemaname not in"
        " ('triggers', 'pg_catalog', 'information_schema')",
        database,
    )
    assert elsewhere == "1"


def test_role_that_may_not_create_databases_waits(start_core, postgres):
    """The database may be made later by somebody who may."""
    role = f"modest_{postgres.database_name()}"
    postgres.psql(f"create role {role} login password 'pw'")
    name = postgres.database_name()
    core = start_core(wait=False, DATABASE_URL=postgres.url(name, role, "pw")).wait_answering()
    with core.client() as rpc:
        assert rpc.health().status == NOT_SERVING
        postgres.psql(f"create database {name} owner {role}")
        wait_until(rpc.serving, "serving once the database is there")


def test_role_that_may_not_make_the_schema_waits_and_each_lane_says_so_once(start_core, postgres):
    name = postgres.create_database().rsplit("/", 1)[1]
    role = f"modest_{name}"
    postgres.psql(f"create role {role} login password 'pw'")
    core = start_core(wait=False, DATABASE_URL=postgres.url(name, role, "pw")).wait_answering()
    tries = f"select sessions from pg_stat_database where datname = '{name}'"
    with core.client() as rpc:
        wait_until(lambda: int(postgres.psql(tries)) >= 20, "five sessions having tried four times")
        assert rpc.health().status == NOT_SERVING
        told = [line for line in core.output if "permission denied for database" in line]
        assert len(told) == 4, told
        postgres.psql(f"grant create on database {name} to {role}")
        wait_until(rpc.serving, "serving once it may")
        assert rpc.create().event_id


def test_a_schema_that_an_administrator_made_is_enough(start_core, postgres):
    name = postgres.create_database().rsplit("/", 1)[1]
    role = f"plain_{name}"
    postgres.psql(f"create role {role} login password 'pw'")
    postgres.psql(f"create schema triggers; grant all on schema triggers to {role}", database=name)
    with start_core(DATABASE_URL=postgres.url(name, role, "pw")).client() as rpc:
        assert rpc.create().event_id


def test_what_drivers_of_sqlalchemy_take_after_the_question_mark(start_core, postgres):
    url = postgres.create_database().replace("postgresql", "postgresql+asyncpg", 1)
    options = "?ssl=prefer&timeout=5&command_timeout=60&prepared_statement_cache_size=0"
    with start_core(DATABASE_URL=url + options).client() as rpc:
        assert rpc.create().event_id


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_database_of_another_encoding_refuses_to_start(postgres, tmp_path, encoding):
    name = postgres.database_name()
    postgres.psql(f"create database {name} encoding '{encoding}' locale 'C' template template0")
    core = Core(tmp_path, DATABASE_URL=postgres.url(name))
    assert core.wait() == 1
    assert len(core.stderr) == 1, core.describe()
    assert encoding in core.stderr[0] and "encoding 'UTF8' template template0" in core.stderr[0]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_url_schemes_of_the_old_deployment(start_core, postgres, scheme):
    url = postgres.create_database().replace("postgresql", scheme, 1)
    with start_core(DATABASE_URL=url).client() as rpc:
        assert rpc.create().event_id
        assert rpc.health().store == "postgresql"


def test_several_hosts_in_the_url(start_core, own_postgres):
    url = own_postgres.create_database()
    here = f"127.0.0.1:{own_postgres.port}"
    with start_core(DATABASE_URL=url.replace(here, f"127.0.0.1:{free_port()},{here}")).client() as rpc:
        assert rpc.create().event_id


def leaks(program, server):
    """Output lines and command line of a program that hold its store's password."""
    texts = [*program.output, program.command_line() if program.running else ""]
    return [text for text in texts if any(secret in text for secret in server.secrets())]


def test_password_shows_nowhere(start_core, own_postgres):
    """Given as a variable and as a flag, with the server there, away, and refusing the password."""
    url = own_postgres.create_database()
    by_variable = start_core(DATABASE_URL=url)
    by_flag = start_core(f"--database-url={url}", DATABASE_URL="")
    refused = start_core(wait=False, DATABASE_URL=url.replace("postgresql://tester", "postgresql://x"))
    refused.wait_answering()
    own_postgres.stop()
    for core in (by_variable, by_flag, refused):
        with core.client() as rpc:
            wait_until(lambda: rpc.health().status == NOT_SERVING, "noticing that it is unavailable")
            error = fails("UNAVAILABLE", rpc.event, "ListInbox")
            text = str(error.response)
            assert not any(secret in text for secret in own_postgres.secrets())
        assert not leaks(core, own_postgres)


def test_wrong_password_is_told_in_the_log_and_waited_for(start_core, postgres):
    url = postgres.url(postgres.database_name(), password="wrong-secret")
    core = start_core(wait=False, DATABASE_URL=url).wait_answering()
    core.wait_for_line("password authentication failed")
    with core.client() as rpc:
        assert rpc.health().status == NOT_SERVING
    assert not [line for line in core.output if "wrong-secret" in line]
