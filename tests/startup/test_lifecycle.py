"""Start, stop, logs, ports in use, files that are not ours."""

import json
import os
import resource
import signal
import socket
import sqlite3

import pytest

import support.program
from support.network import free_port, wait_until
from support.program import Program, program_path, run, sanitizer_environment
from support.rpc import RpcClient


def messages(program):
    return [entry["message"] for entry in program.log]


def test_core_logs_its_life_as_json(start_core):
    core = start_core(LOG_LEVEL="info")
    core.stop()
    entries = [json.loads(line) for line in core.stdout]
    for entry in entries:
        assert {"time", "level", "program", "message"} <= set(entry)
        assert entry["program"] == "triggersd"
        assert entry["time"].endswith("Z")
    assert [e for e in entries if e.get("url") == core.url]
    assert messages(core)[0] == "starting" and messages(core)[-1] == "stopped"
    assert core.stderr == []


def test_bridge_logs_its_life_as_json(start_core, start_bridge):
    bridge = start_bridge(start_core(), LOG_LEVEL="info")
    bridge.stop()
    entries = [json.loads(line) for line in bridge.stdout]
    assert entries and all(entry["program"] == "triggers-bridge" for entry in entries)
    assert bridge.stderr == []


def test_log_format_text(start_core):
    core = start_core(LOG_FORMAT="text")
    core.stop()
    assert core.stdout and core.log == []


def test_log_level_error_is_silent(start_core):
    core = start_core(LOG_LEVEL="error")
    core.stop()
    assert core.output == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_stop_both_programs(start_core, start_bridge, number):
    core = start_core()
    bridge = start_bridge(core)
    for program in (bridge, core):
        program.process.send_signal(number)
        assert program.wait() == 0, program.describe()


# All that end a program unless it says otherwise, but for those that tell of a fault or cannot be ignored.
HARMLESS = [
    *(signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF),
    *(signal.SIGIO, signal.SIGPWR, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGRTMIN, signal.SIGRTMAX),
    16,  # SIGSTKFLT, which Python 3.10 has no name for
]


def test_other_signals_change_nothing(start_core, start_bridge):
    core = start_core()
    bridge = start_bridge(core)
    for program in (bridge, core):
        for number in HARMLESS:
            program.process.send_signal(number)
        bridge.wait_answering("/ready")
        assert program.running


def test_a_request_to_stop_that_comes_twice_is_one(start_core, start_bridge):
    """As from `timeout`, or Ctrl-C passed on; two signals of one kind might arrive as one."""
    core = start_core()
    bridge = start_bridge(core)
    for program in (bridge, core):
        program.process.send_signal(signal.SIGTERM)
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 0, program.describe()


def test_bridge_stops_while_its_core_is_away(start_bridge):
    start_bridge(None, TRIGGERS_CORE=f"ws://127.0.0.1:{free_port()}/rpc").stop()


def test_stopped_core_frees_its_port_at_once(start_core):
    first = start_core()
    first.stop()
    start_core(TRIGGERS_LISTEN=first.url)


def test_events_outlive_the_core(start_core, new_store_url):
    url = new_store_url()
    core = start_core(DATABASE_URL=url)
    with core.client() as rpc:
        event_id = rpc.create(payload=b'{"kept":true}').event_id
    core.stop()
    with start_core(DATABASE_URL=url).client() as rpc:
        assert rpc.event("GetEvent", event_id=event_id).event.payload == b'{"kept":true}'


def test_events_outlive_a_killed_core(start_core, new_store_url):
    url = new_store_url()
    core = start_core(DATABASE_URL=url)
    with core.client() as rpc:
        ids = [rpc.create().event_id for _ in range(20)]
    core.kill()
    with start_core(DATABASE_URL=url).client() as rpc:
        assert len(rpc.event("ListInbox").events) == len(ids)


def run_under(umask, folder, *arguments, **settings):
    """A program of ours with this umask."""
    command = ["sh", "-c", f'umask {umask}; exec "$0" "$@"', *arguments]
    return Program(command, folder, **settings)


def modes(folder):
    return {path.name: path.stat().st_mode & 0o777 for path in folder.glob("*.db*") if path.exists()}


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_files_of_sqlite_are_for_their_owner(started, tmp_path, umask):
    """Also what a dangling link names."""
    (tmp_path / "linked.db").symlink_to("target.db")
    for name, files in [("x.db", ["x.db"]), ("linked.db", ["linked.db", "target.db"])]:
        url = f"ws://127.0.0.1:{free_port()}/rpc"
        settings = {"DATABASE_URL": f"sqlite:///{tmp_path}/{name}", "TRIGGERS_LISTEN": url}
        core = run_under(umask, tmp_path, program_path("triggersd"), **settings)
        started.append(core)
        with RpcClient(url) as rpc:
            wait_until(rpc.serving, "serving")
            assert rpc.create().event_id
        found = modes(tmp_path)
        assert set(found) >= {*files, f"{files[-1]}-wal", f"{files[-1]}-shm"}
        assert set(found.values()) == {0o600}, found


def test_a_file_that_is_there_keeps_its_rights(start_core, tmp_path):
    path = tmp_path / "shared.db"
    start_core(DATABASE_URL=f"sqlite:///{path}").stop()
    path.chmod(0o640)
    with start_core(DATABASE_URL=f"sqlite:///{path}").client() as rpc:
        assert rpc.create().event_id
        assert set(modes(tmp_path).values()) == {0o640}


@pytest.fixture
def dumps_allowed(tmp_path):
    """What this process starts may leave core dumps of any size, where the machine lets it; these
    settings tell the address sanitizer the same."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    options = sanitizer_environment(tmp_path / "sanitizer-dumps")["ASAN_OPTIONS"]
    yield {"ASAN_OPTIONS": f"{options}:disable_coredump=0"}
    resource.setrlimit(resource.RLIMIT_CORE, before)


def end_by_abort(program):
    """Lets a program crash; returns how the kernel says it ended."""
    program.process.send_signal(signal.SIGABRT)
    end = os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    program.process.wait()
    return end.si_code


@pytest.mark.parametrize("settings", [{}, {"TRIGGERS_CORE_DUMPS": "off"}])
def test_no_core_dumps(start_core, start_bridge, started, dumps_allowed, monkeypatch, settings):
    monkeypatch.setattr(support.program, "TEST_SETTINGS", {})
    core = start_core(**settings, **dumps_allowed)
    bridge = start_bridge(core, **settings, **dumps_allowed)
    for program in (bridge, core):
        assert end_by_abort(program) == os.CLD_KILLED
        started.remove(program)


def test_core_dumps_when_asked_for(start_core, dumps_allowed):
    core = start_core(TRIGGERS_CORE_DUMPS="on", **dumps_allowed)
    limits = resource.prlimit(core.pid, resource.RLIMIT_CORE)  # refused for one that cannot be dumped
    assert limits == resource.getrlimit(resource.RLIMIT_CORE)


def one_line(program, status=1):
    """The single line of a program that could not start."""
    assert program.wait() == status, program.describe()
    assert len(program.stderr) == 1, program.describe()
    return program.stderr[0]


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()
        yield listener.getsockname()[1]


def test_core_says_when_its_port_is_in_use(tmp_path, taken_port):
    core = Program(
        [program_path("triggersd")],
        tmp_path,
        TRIGGERS_LISTEN=f"ws://127.0.0.1:{taken_port}/rpc",
        DATABASE_URL="sqlite:///x.db",
    )
    line = one_line(core)
    assert str(taken_port) in line and "TRIGGERS_LISTEN" in line


def test_bridge_says_when_its_port_is_in_use(tmp_path, taken_port):
    bridge = Program(
        [program_path("triggers-bridge")], tmp_path, API_HOST="127.0.0.1", API_PORT=taken_port
    )
    line = one_line(bridge)
    assert str(taken_port) in line and "API_PORT" in line


def test_bridge_says_when_its_host_is_no_address_of_this_machine(tmp_path):
    bridge = Program([program_path("triggers-bridge")], tmp_path, API_HOST="no such host")
    line = one_line(bridge, status=2)
    assert "API_HOST" in line and "no such host" in line


def refuse_store(folder, url):
    """The one line of a core that cannot work with its store without a person."""
    done = run(
        "triggersd",
        folder=folder,
        DATABASE_URL=url,
        TRIGGERS_LISTEN=f"ws://127.0.0.1:{free_port()}/rpc",
        LOG_LEVEL="error",
    )
    assert done.returncode == 1, done.stderr
    [line] = done.stderr.splitlines()
    return line


def test_newer_sqlite_schema_is_refused(start_core, tmp_path):
    path = tmp_path / "newer.db"
    start_core(DATABASE_URL=f"sqlite:///{path}").stop()
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 4711")
    line = refuse_store(tmp_path, f"sqlite:///{path}")
    assert "4711" in line and "newer" in line


def test_newer_postgres_schema_is_refused(start_core, postgres, tmp_path):
    url = postgres.create_database()
    start_core(DATABASE_URL=url).stop()
    database = url.rsplit("/", 1)[1]
    postgres.psql("insert into triggers.schema_version(version) values (4711)", database)
    line = refuse_store(tmp_path, url)
    assert "4711" in line and "newer" in line
    assert not any(secret in line for secret in postgres.secrets())


def test_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ada, " * 500)
    assert "letter.txt" in refuse_store(tmp_path, f"sqlite:///{path}")
    assert path.read_text() == "Dear Ada, " * 500


def test_database_of_another_program_is_refused(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("create table theirs(x)")
    assert "other.db" in refuse_store(tmp_path, f"sqlite:///{path}")


def test_relative_sqlite_path_is_relative_to_the_working_directory(start_core, tmp_path):
    start_core(DATABASE_URL="sqlite:///here.db").stop()
    assert (tmp_path / "core0" / "here.db").exists()


def test_default_store_is_a_file_in_the_working_directory(start_core, tmp_path):
    start_core(DATABASE_URL="").stop()
    assert (tmp_path / "core0" / "triggers.db").exists()
