"""Settings: a bad value stops the start with one clear line; help lists them all."""

import pytest

from support.network import free_port, free_url
from support.program import run

CORE_SETTINGS = [
    "DATABASE_URL",
    "TRIGGERS_LISTEN",
    "TRIGGERS_TLS_CERT",
    "TRIGGERS_TLS_KEY",
    "TRIGGERS_TLS_CLIENT_CA",
    "TRIGGERS_ORIGINS",
    "TRIGGERS_HOSTS",
    "TRIGGERS_MAX_MEMORY",
    "TRIGGERS_MAX_PAYLOAD",
    "TRIGGERS_DB_CONNECTIONS",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "TRIGGERS_CORE_DUMPS",
]
BRIDGE_SETTINGS = [
    "API_HOST",
    "API_PORT",
    "API_TLS_CERT",
    "API_TLS_KEY",
    "API_TLS_CLIENT_CA",
    "CORS_ORIGINS",
    "TRIGGERS_HOSTS",
    "TRIGGERS_CORE",
    "TRIGGERS_TLS_CA",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "TRIGGERS_CORE_DUMPS",
]

CORE_FAULTS = [
    ("TRIGGERS_CORE_DUMPS", "1"),
    ("LOG_LEVEL", "loud"),
    ("LOG_FORMAT", "xml"),
    ("TRIGGERS_MAX_MEMORY", "88080383"),
    ("TRIGGERS_MAX_MEMORY", "128M"),
    ("TRIGGERS_MAX_PAYLOAD", "0"),
    ("TRIGGERS_MAX_PAYLOAD", "-1"),
    ("TRIGGERS_MAX_PAYLOAD", "10485761"),
    ("TRIGGERS_MAX_PAYLOAD", "1k"),
    ("TRIGGERS_MAX_PAYLOAD", "99999999999999999999"),
    ("TRIGGERS_DB_CONNECTIONS", "0"),
    ("TRIGGERS_DB_CONNECTIONS", "many"),
    ("TRIGGERS_DB_CONNECTIONS", "100000"),
    ("TRIGGERS_LISTEN", "http://127.0.0.1:7300/rpc"),
    ("TRIGGERS_LISTEN", "127.0.0.1:7300"),
    ("TRIGGERS_LISTEN", "ws://"),
    ("TRIGGERS_LISTEN", ","),
    ("TRIGGERS_LISTEN", "ws://127.0.0.1:port/rpc"),
    ("TRIGGERS_ORIGINS", "app.example.com"),
    ("TRIGGERS_ORIGINS", ","),
    ("TRIGGERS_HOSTS", "https://core.example.com"),
    ("TRIGGERS_HOSTS", "core.example.com:7300"),
    ("DATABASE_URL", "mysql://user:hunter2@host/database"),
    ("DATABASE_URL", "nonsense"),
    ("DATABASE_URL", "sqlite://file.db"),
    ("DATABASE_URL", "sqlite://"),
    ("DATABASE_URL", "sqlite:///:memory:"),
    ("DATABASE_URL", "postgresql://user:hunter2@host:port/database"),
    ("DATABASE_URL", "postgresql://user:hunter2@host/database?no_such_option=1"),
]

BRIDGE_FAULTS = [
    ("TRIGGERS_CORE_DUMPS", "yes"),
    ("LOG_LEVEL", "loud"),
    ("LOG_FORMAT", "xml"),
    ("API_PORT", "0"),
    ("API_PORT", "65536"),
    ("API_PORT", "http"),
    ("CORS_ORIGINS", "not an origin"),
    ("TRIGGERS_HOSTS", "api.example.com/"),
    ("TRIGGERS_CORE", "http://127.0.0.1:7300/rpc"),
    ("TRIGGERS_CORE", "localhost"),
]


def refused(name, folder, *arguments, **settings):
    """Runs a program that must refuse to start; returns its one line."""
    done = run(name, *arguments, folder=folder, **settings)
    assert done.returncode == 2, f"exit status {done.returncode}: {done.stdout}{done.stderr}"
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"{name}: ")
    return lines[0]


@pytest.mark.parametrize("variable, value", CORE_FAULTS)
def test_core_refuses_a_bad_value(tmp_path, variable, value):
    line = refused("triggersd", tmp_path, **{variable: value})
    assert variable in line or value in line
    assert "hunter2" not in line


@pytest.mark.parametrize("variable, value", BRIDGE_FAULTS)
def test_bridge_refuses_a_bad_value(tmp_path, variable, value):
    line = refused("triggers-bridge", tmp_path, **{variable: value})
    assert variable in line or value in line


def test_bridge_refuses_an_unreadable_ca_file(tmp_path):
    line = refused(
        "triggers-bridge",
        tmp_path,
        TRIGGERS_CORE="wss://127.0.0.1:7301/rpc",
        TRIGGERS_TLS_CA="/no/such/file.pem",
    )
    assert "/no/such/file.pem" in line


def test_many_sessions_need_more_memory(tmp_path):
    line = refused("triggersd", tmp_path, TRIGGERS_DB_CONNECTIONS=64)
    assert "TRIGGERS_MAX_MEMORY" in line and "65 sessions" in line


def test_large_payloads_need_more_memory(tmp_path):
    line = refused("triggersd", tmp_path, TRIGGERS_MAX_PAYLOAD=10 << 20, TRIGGERS_MAX_MEMORY=84 << 20)
    assert "TRIGGERS_MAX_MEMORY" in line and "10485760 bytes" in line


def test_secure_listener_needs_a_certificate(tmp_path):
    line = refused("triggersd", tmp_path, TRIGGERS_LISTEN="wss://127.0.0.1:7301/rpc")
    assert "TRIGGERS_TLS_CERT" in line and "TRIGGERS_TLS_KEY" in line


def test_unreadable_certificate(tmp_path):
    line = refused(
        "triggersd",
        tmp_path,
        TRIGGERS_LISTEN="wss://127.0.0.1:7301/rpc",
        TRIGGERS_TLS_CERT="/no/such/cert.pem",
        TRIGGERS_TLS_KEY="/no/such/key.pem",
    )
    assert "/no/such/cert.pem" in line


def test_certificate_that_is_none(tmp_path):
    (tmp_path / "cert.pem").write_text("hello")
    line = refused(
        "triggersd",
        tmp_path,
        TRIGGERS_LISTEN="wss://127.0.0.1:7301/rpc",
        TRIGGERS_TLS_CERT=tmp_path / "cert.pem",
        TRIGGERS_TLS_KEY=tmp_path / "cert.pem",
    )
    assert "cert.pem" in line


@pytest.mark.parametrize("name", ["triggersd", "triggers-bridge"])
@pytest.mark.parametrize("argument", ["--nope", "nope", "--nope=1", "--log-level"])
def test_unknown_arguments_are_refused(tmp_path, name, argument):
    assert argument in refused(name, tmp_path, argument)


def test_bad_flag_is_refused(tmp_path):
    assert "loud" in refused("triggersd", tmp_path, "--log-level", "loud")
    assert "loud" in refused("triggers-bridge", tmp_path, "--log-level=loud")


@pytest.mark.parametrize(
    "name, settings", [("triggersd", CORE_SETTINGS), ("triggers-bridge", BRIDGE_SETTINGS)]
)
def test_help_lists_every_setting(tmp_path, name, settings):
    done = run(name, "--help", folder=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    for setting in settings:
        assert setting in done.stdout


@pytest.mark.parametrize("name", ["triggersd", "triggers-bridge"])
def test_version(tmp_path, name):
    done = run(name, "--version", folder=tmp_path)
    assert done.returncode == 0 and "0." in done.stdout


def test_flag_wins_over_the_environment(start_core, tmp_path):
    path = tmp_path / "by-flag.db"
    core = start_core(
        "--database-url", f"sqlite:///{path}", DATABASE_URL="sqlite:////no/such/folder/x.db"
    )
    with core.client() as rpc:
        assert rpc.create().event_id
    assert path.exists()


@pytest.mark.parametrize("start, end", [("", "\n"), (" ", " "), ("\t\r\n", "\r\n")])
def test_blanks_and_line_ends_around_a_value_are_no_part_of_it(
    start_core, start_bridge, tmp_path, start, end
):
    """As files and shells add them."""
    file = tmp_path / "trimmed.db"
    core_url, port = free_url("ws"), free_port()
    settings = {"DATABASE_URL": f"sqlite:///{file}", "LOG_LEVEL": "info", "TRIGGERS_LISTEN": core_url}
    settings = {name: f"{start}{value}{end}" for name, value in settings.items()}
    core = start_core("--max-payload", f"{start}1000{end}", wait=False, **settings)
    core.url = core_url
    core.wait_serving()
    assert [path.name for path in tmp_path.glob("trimmed.db*") if path.suffix == ".db"] == [file.name]
    settings = {"API_HOST": "127.0.0.1", "TRIGGERS_CORE": core_url, "CORS_ORIGINS": "https://a.example"}
    settings = {name: f"{start}{value}{end}" for name, value in settings.items()}
    bridge = start_bridge(None, "--api-port", f"{start}{port}{end}", wait=False, API_PORT=1, **settings)
    bridge.port, bridge.url = port, f"http://127.0.0.1:{port}"
    bridge.wait_answering("/ready")
    settings = {"TRIGGERS_CORE": f"{start}{core_url}{end}", "TRIGGERS_TLS_CA": f"{start}{end}"}
    assert run("triggers", "health", folder=tmp_path, **settings).returncode == 0


CONTROLS = ["a\nb", "a\rb", "a\tb", "a\x1b[31mb", "a\x7fb", "a\x85b"]
TEXTS = [
    ("triggersd", "TRIGGERS_LISTEN"),
    ("triggersd", "TRIGGERS_TLS_CERT"),
    ("triggersd", "TRIGGERS_HOSTS"),
    ("triggersd", "LOG_LEVEL"),
    ("triggersd", "TRIGGERS_MAX_PAYLOAD"),
    ("triggers-bridge", "API_HOST"),
    ("triggers-bridge", "CORS_ORIGINS"),
    ("triggers-bridge", "TRIGGERS_CORE"),
    ("triggers-bridge", "TRIGGERS_TLS_CA"),
]


@pytest.mark.parametrize("value", CONTROLS, ids=ascii)
@pytest.mark.parametrize("name, variable", TEXTS)
def test_control_characters_are_refused_and_shown_escaped(tmp_path, name, variable, value):
    line = refused(name, tmp_path, **{variable: value})
    escaped = "".join(c if c.isprintable() else ascii_escape(c) for c in value)
    assert f'bad value of {variable} "{escaped}": it has a control character' in line
    assert line.isprintable()


def ascii_escape(character):
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


@pytest.mark.parametrize("value", CONTROLS, ids=ascii)
def test_control_characters_in_a_secret_are_refused_and_not_shown(tmp_path, value):
    line = refused("triggersd", tmp_path, DATABASE_URL=f"postgresql://u:hunter2@h/{value}")
    assert "bad value of DATABASE_URL: it has a control character" in line and "hunter2" not in line
    line = refused("triggersd", tmp_path, "--database-url", f"postgresql://u:hunter2@h/{value}")
    assert "bad value of --database-url: it has a control character" in line
    assert "hunter2" not in line and line.isprintable()


@pytest.mark.parametrize("name", ["triggersd", "triggers-bridge"])
def test_unknown_arguments_are_shown_escaped(tmp_path, name):
    assert '"--no\\x1b[2J\\x0ape"' in refused(name, tmp_path, "--no\x1b[2J\npe")


def test_the_command_line_refuses_control_characters(tmp_path):
    for words, settings in [(["--core", "ws://a\nb/"], {}), ([], {"TRIGGERS_CORE": "ws://a\x1bb/"})]:
        done = run("triggers", "health", *words, folder=tmp_path, **settings)
        assert done.returncode == 2
        assert "TRIGGERS_CORE" in done.stderr and "control character" in done.stderr
        assert done.stderr.count("\n") == 1 and "\x1b" not in done.stderr


def test_blank_variable_is_an_unset_one(start_core):
    assert start_core(TRIGGERS_MAX_PAYLOAD=" ", LOG_FORMAT="\n", DATABASE_URL="\r\n").log


def test_empty_variable_is_an_unset_one(start_core):
    core = start_core(TRIGGERS_MAX_PAYLOAD="", LOG_FORMAT="", DATABASE_URL="")
    assert core.log
