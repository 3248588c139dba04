"""Settings, --help, --version and --probe of triggers-bridge."""

import os
import re
import socket
import subprocess

import pytest

from support.network import free_port, listeners
from support.one_store import store_name  # noqa: F401
from support.program import Program, program_path, run
from support.services import ForeignBridge
from rest.wire import exchange, get

VARIABLES = [
    "API_HOST",
    "API_PORT",
    "CORS_ORIGINS",
    "API_COMPATIBILITY",
    "TRIGGERS_HOSTS",
    "TRIGGERS_CORE",
    "TRIGGERS_TLS_CA",
    "TRIGGERS_MAX_PAYLOAD",
    "TRIGGERS_CALL_TIMEOUT",
    "TRIGGERS_BRIDGE_THREADS",
    "TRIGGERS_BRIDGE_CONNECTIONS",
    "TRIGGERS_BRIDGE_CALLS",
    "TRIGGERS_BRIDGE_MEMORY",
    "TRIGGERS_BRIDGE_KEEP_ALIVE",
    "TRIGGERS_BRIDGE_STOP_DELAY",
    "TRIGGERS_BRIDGE_MONITORING_PORT",
    "TRIGGERS_BRIDGE_MONITORING_HOST",
    "LOG_LEVEL",
    "LOG_FORMAT",
]


def nowhere():
    return f"ws://127.0.0.1:{free_port()}/rpc"


def test_help_lists_every_setting(tmp_path):
    done = run("triggers-bridge", "--help", folder=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    for variable in VARIABLES:
        assert f"({variable})" in done.stdout
    assert "--probe" in done.stdout


def test_version(tmp_path):
    done = run("triggers-bridge", "--version", folder=tmp_path)
    assert done.returncode == 0
    assert re.fullmatch(r"triggers-bridge \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize(
    "variable, value",
    [
        ("API_PORT", "0"),
        ("API_PORT", "65536"),
        ("API_PORT", "http"),
        ("API_COMPATIBILITY", "flask"),
        ("TRIGGERS_BRIDGE_KEEP_ALIVE", "0"),
        ("TRIGGERS_BRIDGE_STOP_DELAY", "3601"),
        ("CORS_ORIGINS", "example.com"),
        ("CORS_ORIGINS", "https://example.com/"),
        ("CORS_ORIGINS", "https://*"),
        ("CORS_ORIGINS", "*.example.com"),
        ("TRIGGERS_CORE", "http://127.0.0.1/"),
        ("TRIGGERS_CORE", "nonsense"),
        ("TRIGGERS_TLS_CA", "/does/not/exist"),
        ("TRIGGERS_MAX_PAYLOAD", "0"),
        ("TRIGGERS_MAX_PAYLOAD", "10485761"),
        ("TRIGGERS_CALL_TIMEOUT", "0"),
        ("TRIGGERS_CALL_TIMEOUT", "30001"),
        ("TRIGGERS_BRIDGE_THREADS", "65"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_bad_values_stop_the_start_with_one_line(tmp_path, variable, value):
    settings = {"API_PORT": free_port(), "TRIGGERS_CORE": "wss://127.0.0.1:1/rpc", variable: value}
    done = run("triggers-bridge", folder=tmp_path, **settings)
    assert done.returncode == 2
    assert done.stderr.startswith("triggers-bridge: ") and done.stderr.count("\n") == 1
    assert variable in done.stderr or value in done.stderr


def test_large_payloads_need_memory(tmp_path):
    settings = {"TRIGGERS_MAX_PAYLOAD": 10 << 20, "TRIGGERS_BRIDGE_MEMORY": 64 << 20}
    done = run("triggers-bridge", folder=tmp_path, API_PORT=free_port(), **settings)
    assert done.returncode == 2
    assert "TRIGGERS_BRIDGE_MEMORY must be at least 96468992 with payloads of 10485760" in done.stderr


@pytest.mark.parametrize("arguments", [["--nope"], ["--api-port"], ["serve"]])
def test_bad_arguments_stop_the_start(tmp_path, arguments):
    done = run("triggers-bridge", *arguments, folder=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


HAS_IPV6 = os.path.exists("/proc/net/if_inet6")
EVERY = {"0.0.0.0", "::"} if HAS_IPV6 else {"0.0.0.0"}
LISTENS = {"*": EVERY, "0.0.0.0": {"0.0.0.0"}, "127.0.0.1": {"127.0.0.1"}}
IPV6 = {"::": {"::"}, "[::]": {"::"}, "::1": {"::1"}, "[::1]": {"::1"}}


def probe(folder, **settings):
    return run("triggers-bridge", "--probe", folder=folder, **settings).returncode


@pytest.mark.parametrize("host, places", {**LISTENS, **(IPV6 if HAS_IPV6 else {})}.items())
def test_what_a_host_listens_on(start_bridge, tmp_path, host, places):
    bridge = start_bridge(None, wait=False, API_HOST=host, TRIGGERS_CORE=nowhere())
    bridge.wait_for_line("listening")
    assert listeners(bridge.port) == places
    assert probe(tmp_path, API_HOST=host, API_PORT=bridge.port) == 0
    reached = {"0.0.0.0": ["127.0.0.1"], "::": ["::1", "127.0.0.1"]}
    for address in {found for place in places for found in reached.get(place, [place])}:
        socket.create_connection((address, bridge.port), 20).close()


def test_an_empty_flag_is_every_address(start_bridge, tmp_path):
    bridge = start_bridge(None, "--api-host", "", wait=False, TRIGGERS_CORE=nowhere())
    bridge.wait_for_line("listening")
    assert listeners(bridge.port) == EVERY
    port = bridge.port
    assert run("triggers-bridge", "--probe", "--api-host=", folder=tmp_path, API_PORT=port).returncode == 0


def can_have_hosts_of_its_own():
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_have_hosts_of_its_own(), reason="no mounts of one's own here")
def test_a_name_listens_on_all_of_its_addresses(started, tmp_path):
    """Each once, but for those that this machine does not have."""
    hosts = tmp_path / "hosts"
    names = ["127.0.0.1", "127.0.0.2", "127.0.0.1", "203.0.113.7", *(["::1"] if HAS_IPV6 else [])]
    hosts.write_text("".join(f"{address} several\n" for address in names))
    port = free_port()
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, hosts, program_path("triggers-bridge")]
    bridge = Program(words, tmp_path, API_HOST="several", API_PORT=port, TRIGGERS_CORE=nowhere())
    started.append(bridge)
    bridge.wait_for_line("listening")
    assert listeners(port) == set(names) - {"203.0.113.7"}
    assert exchange(ForeignBridge(port), get("/health")).status == 200


def test_one_address_in_use_is_told(tmp_path, start_bridge):
    first = start_bridge(None, TRIGGERS_CORE=nowhere())
    done = run("triggers-bridge", folder=tmp_path, API_HOST="*", API_PORT=first.port)
    assert done.returncode == 1
    assert f"cannot listen on * port {first.port}" in done.stderr and "API_PORT" in done.stderr


def test_an_unusable_port_is_told(tmp_path, start_bridge):
    first = start_bridge(None, TRIGGERS_CORE=nowhere())
    settings = {"API_HOST": "127.0.0.1", "API_PORT": first.port, "TRIGGERS_CORE": nowhere()}
    done = run("triggers-bridge", folder=tmp_path, **settings)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1 port {first.port}" in done.stderr
    assert "Address already in use" in done.stderr


def test_an_unknown_host_is_told(tmp_path):
    settings = {"API_HOST": "no.such.host.invalid", "TRIGGERS_CORE": nowhere()}
    done = run("triggers-bridge", folder=tmp_path, **settings)
    assert done.returncode == 2 and "no.such.host.invalid" in done.stderr


def test_flags_win_over_the_environment(start_bridge):
    port = free_port()
    bridge = start_bridge(
        None, f"--api-port={port}", "--log-level", "error", wait=False, TRIGGERS_CORE=nowhere()
    )
    bridge.port = port
    bridge.url = f"http://127.0.0.1:{port}"
    bridge.wait_answering()
    assert bridge.output == []


def test_empty_variables_are_unset(start_bridge):
    bridge = start_bridge(None, CORS_ORIGINS="", LOG_LEVEL="", TRIGGERS_CORE=nowhere())
    answer = exchange(bridge, get("/health", "Origin: https://a.example"))
    assert answer.headers["access-control-allow-origin"] == "*"
    assert [entry["message"] for entry in bridge.log] == ["listening"]


@pytest.mark.parametrize("threads", [1, 4])
def test_any_number_of_threads_serves(start_bridge, threads):
    bridge = start_bridge(None, TRIGGERS_CORE=nowhere(), TRIGGERS_BRIDGE_THREADS=threads)
    for _ in range(8):
        assert exchange(bridge, get("/health")).status == 200


def test_probe(tmp_path, start_bridge):
    bridge = start_bridge(None, TRIGGERS_CORE=nowhere())
    done = run("triggers-bridge", "--probe", folder=tmp_path, API_PORT=bridge.port)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run("triggers-bridge", "--probe", f"--api-port={bridge.port}", folder=tmp_path)
    assert done.returncode == 0
    bridge.stop()
    done = run("triggers-bridge", "--probe", folder=tmp_path, API_PORT=bridge.port)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
