"""wss and tls+tcp, beyond what is the same for the bridge and therefore in startup/test_certificates.py: whose
certificates clients believe, and which they show. The clients are libtriggers, in the command line and the bridge."""

import os
import signal
import struct
import time

import pytest

from support.certificates import make_certificate, replace_certificate
from support.network import free_port, wait_until
from support.one_store import store_name  # noqa: F401
from support.program import run
from support.tls import CORE, RELOADED, connect, der, shown, trusting


@pytest.fixture
def pair(tmp_path):
    return make_certificate(tmp_path)


@pytest.fixture
def start(start_core):
    """Starts a core with a certificate on wss and tls+tcp; `port` is that of tls+tcp."""

    def start_with(pair, port=None, client_ca=None):
        port = port or free_port()
        urls = f"tls+tcp://127.0.0.1:{port},ws://127.0.0.1:{free_port()}/rpc,wss://127.0.0.1:{free_port()}/rpc"
        core = start_core(TRIGGERS_LISTEN=urls, wait=False, **CORE.settings(pair, client_ca))
        core.port = port
        core.wait_for_line("ready")
        return core

    return start_with


# ---- names and addresses ----


def health(folder, url, certificate, **more):
    flags = ["--core", url, "--timeout", 2]
    return run("triggers", "health", *flags, folder=folder, TRIGGERS_TLS_CA=certificate, **more)


@pytest.mark.parametrize(
    "valid_for, host, served",
    [
        ("DNS:localhost", "localhost", True),
        ("DNS:localhost", "127.0.0.1", False),
        ("IP:127.0.0.1", "127.0.0.1", True),
        ("IP:127.0.0.1", "localhost", False),
        ("IP:127.0.0.2,DNS:127.0.0.1", "127.0.0.1", False),
        ("IP:::1,IP:127.0.0.1", "[::1]", True),
        ("IP:::2,DNS:localhost", "[::1]", False),
        ("DNS:other.example", "localhost", False),
        ("DNS:*.localhost", "localhost", False),
    ],
)
@pytest.mark.parametrize("scheme, path", [("tls+tcp", ""), ("wss", "/rpc")])
def test_names_and_addresses_are_checked(start_core, tmp_path, valid_for, host, served, scheme, path):
    pair = make_certificate(tmp_path, valid_for=valid_for)
    port = free_port()
    listen = f"{scheme}://{'[::1]' if host == '[::1]' else '127.0.0.1'}:{port}{path}"
    core = start_core(TRIGGERS_LISTEN=listen, wait=False, **CORE.settings(pair))
    core.wait_for_line("ready")
    result = health(tmp_path, f"{scheme}://{host}:{port}{path}", pair[0])
    assert (result.returncode == 0) == served, result.stderr


def test_certificates_of_strangers_are_not_believed(start, pair, tmp_path):
    core = start(pair)
    stranger = make_certificate(tmp_path, "stranger")
    assert health(tmp_path, f"tls+tcp://localhost:{core.port}", pair[0]).returncode == 0
    assert health(tmp_path, f"tls+tcp://localhost:{core.port}", stranger[0]).returncode != 0


def test_a_certificate_of_an_authority_is_believed(start, tmp_path):
    authority = make_certificate(tmp_path, "authority")
    core = start(make_certificate(tmp_path, issuer=authority))
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(make_certificate(tmp_path, "other")[0].read_text() + authority[0].read_text())
    assert health(tmp_path, f"tls+tcp://127.0.0.1:{core.port}", bundle).returncode == 0


# ---- connections that rest, and that end ----


def test_a_connection_may_rest_after_a_long_message(start, pair):
    core = start(pair)
    with connect(core, trusting(pair[0])) as peer:
        assert CORE.greet_on(peer) == CORE.greeting
        for rest_seconds in (2, 0):
            message = b"\x80\0\0\1" + b"\x7a" * 60_000
            peer.sendall(struct.pack(">Q", len(message)) + message)
            (size,) = struct.unpack(">Q", read(peer, 8))
            assert read(peer, size)[:4] == b"\x80\0\0\1"
            time.sleep(rest_seconds)


def test_connections_that_end_at_once_are_let_go(start, pair):
    """nng does not tell an end that comes while what came before it is looked at."""
    core = start(pair)
    context = trusting(pair[0])
    before = len(os.listdir(f"/proc/{core.pid}/fd"))
    for _ in range(200):
        assert CORE.greet(core, context) == CORE.greeting
    wait_until(
        lambda: len(os.listdir(f"/proc/{core.pid}/fd")) <= before + 2, "the connections to be closed", deadline=10
    )


def read(peer, size):
    data = b""
    while len(data) < size:
        piece = peer.recv(size - len(data))
        assert piece, "the connection was closed"
        data += piece
    return data


# ---- new certificates ----


def test_the_first_connection_after_the_change_has_the_new_certificate(start, pair, tmp_path):
    core = start(pair)
    certificate, key = make_certificate(tmp_path, "next")
    wanted = der(certificate)
    replace_certificate(pair, (certificate, key))
    core.wait_for_line(RELOADED)
    time.sleep(0.1)
    assert shown(core) == wanted


def test_sighup_without_tls_changes_nothing(start_core):
    core = start_core()
    core.process.send_signal(signal.SIGHUP)
    time.sleep(1.5)
    assert core.running
    with core.client() as client:
        assert client.serving()


# ---- certificates of clients ----


def test_the_command_line_and_the_bridge_show_certificates(start, start_bridge, pair, tmp_path):
    authority = make_certificate(tmp_path, "authority")
    client = make_certificate(tmp_path, "client", issuer=authority)
    stranger = make_certificate(tmp_path, "stranger")
    core = start(pair, client_ca=authority[0])
    url = f"tls+tcp://localhost:{core.port}"
    assert health(tmp_path, url, pair[0]).returncode != 0
    for shown_pair, served in [(client, True), (stranger, False)]:
        variables = dict(zip(("TRIGGERS_TLS_CERT", "TRIGGERS_TLS_KEY"), shown_pair))
        assert (health(tmp_path, url, pair[0], **variables).returncode == 0) == served
    flags = ["--cert", client[0], "--cert-key", client[1], "--ca", pair[0], "--core", url]
    assert run("triggers", "health", *flags, folder=tmp_path).returncode == 0
    settings = {"TRIGGERS_TLS_CA": pair[0], **dict(zip(("TRIGGERS_TLS_CERT", "TRIGGERS_TLS_KEY"), client))}
    start_bridge(None, TRIGGERS_CORE=url, **settings).wait_answering("/ready")


@pytest.mark.parametrize("cert, key", [("server.pem", ""), ("", "server.key"), ("server.pem", "other.key")])
def test_a_certificate_to_show_needs_its_key(pair, tmp_path, cert, key):
    make_certificate(tmp_path, "other")
    variables = {"TRIGGERS_TLS_CERT": cert, "TRIGGERS_TLS_KEY": key}
    result = health(tmp_path, "tls+tcp://localhost:1", pair[0], **variables)
    assert result.returncode == 2
    assert "key" in result.stderr


def test_clients_read_whom_to_trust_again(start, start_bridge, pair, tmp_path):
    """When a core has got a certificate of another authority, and so have its clients."""
    core = start(pair)
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(pair[0].read_text())
    bridge = start_bridge(None, TRIGGERS_CORE=f"tls+tcp://localhost:{core.port}", TRIGGERS_TLS_CA=trusted)
    bridge.wait_answering("/ready")
    certificate, key = make_certificate(tmp_path, "next")
    (tmp_path / "trusted.next").write_text(certificate.read_text())
    replace_certificate([trusted, *pair], [tmp_path / "trusted.next", certificate, key])
    core.wait_for_line(RELOADED)
    core.kill()
    start(pair, port=core.port)
    bridge.wait_answering("/ready")
