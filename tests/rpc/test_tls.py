"""wss and tls+tcp: what the core accepts of TLS, how it takes new certificates, whose certificates clients
believe, and peers that are slow in it. The clients are libtriggers, in the command line, and Python's ssl."""

import contextlib
import os
import signal
import socket
import ssl
import threading
import time

import pytest

from support.certificates import make_certificate, replace_certificate
from support.network import free_port, wait_until
from support.peer import GREETING as ANY_GREETING
from support.program import run

RELOADED = "the certificate was read again"
KEPT = "the new certificate cannot be used"
GREETING = ANY_GREETING % 0x31  # of a replier


@pytest.fixture
def pair(tmp_path):
    return make_certificate(tmp_path)


def settings_of(pair, **more):
    return {"TRIGGERS_TLS_CERT": pair[0], "TRIGGERS_TLS_KEY": pair[1], **more}


@pytest.fixture
def start(start_core):
    """Starts a core with a certificate on wss and tls+tcp; `port` is that of tls+tcp."""

    def start_with(pair, port=None, **more):
        port = port or free_port()
        urls = f"tls+tcp://127.0.0.1:{port},ws://127.0.0.1:{free_port()}/rpc,wss://127.0.0.1:{free_port()}/rpc"
        core = start_core(TRIGGERS_LISTEN=urls, wait=False, **settings_of(pair, **more))
        core.port = port
        core.wait_for_line("ready")
        return core

    return start_with


def trusting(certificate):
    return ssl.create_default_context(cafile=certificate)


def connect(core, context):
    plain = socket.create_connection(("127.0.0.1", core.port), 20)
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except BaseException:
        plain.close()
        raise


def greeting(core, context):
    """What the core greets with; raises what TLS and sockets raise."""
    with connect(core, context) as peer:
        return peer.recv(8)


def shown(core):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with connect(core, context) as peer:
        return peer.getpeercert(binary_form=True)


def der(certificate):
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


@pytest.mark.parametrize(
    "ciphers, version",
    [
        ("ALL", ssl.TLSVersion.TLSv1_1),
        ("ALL", ssl.TLSVersion.TLSv1),
        ("kRSA", ssl.TLSVersion.TLSv1_2),
        ("AES128-GCM-SHA256", ssl.TLSVersion.TLSv1_2),
        ("ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA384", ssl.TLSVersion.TLSv1_2),
        ("kDHE", ssl.TLSVersion.TLSv1_2),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_weak_versions_and_ciphers_are_refused(start, tmp_path, ciphers, version):
    pair = make_certificate(tmp_path, kind="rsa")
    core = start(pair)
    context = trusting(pair[0])
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        greeting(core, context)
    for suite in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"):
        context = trusting(pair[0])
        context.set_ciphers(f"ECDHE-RSA-{suite}")
        assert greeting(core, context) == GREETING


@pytest.mark.parametrize("fault", ["mismatch", "missing", "nonsense", "client ca"])
def test_files_that_cannot_be_used_stop_the_start(tmp_path, pair, fault):
    make_certificate(tmp_path, "other")
    make_certificate(tmp_path)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("hello")
    settings, words = {
        "mismatch": (settings_of(("server.pem", "other.key")), ["other.key", "does not belong", "server.pem"]),
        "missing": (settings_of((tmp_path / "none.pem", pair[1])), ["none.pem", "No such file"]),
        "nonsense": (settings_of((nonsense, pair[1])), ["nonsense.pem", "PEM"]),
        "client ca": (settings_of(pair, TRIGGERS_TLS_CLIENT_CA=nonsense), ["nonsense.pem", "PEM"]),
    }[fault]
    urls = {"TRIGGERS_LISTEN": f"wss://127.0.0.1:{free_port()}/rpc"}
    result = run("triggersd", folder=tmp_path, DATABASE_URL="sqlite:///never.db", **urls, **settings)
    assert result.returncode == 2
    for word in words:
        assert word in result.stderr


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
    core = start_core(TRIGGERS_LISTEN=listen, wait=False, **settings_of(pair))
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


# ---- new certificates ----


def test_certificates_are_replaced_under_load(start, pair, tmp_path):
    """New connections all get in, and one that was open before stays."""
    core = start(pair)
    pairs = [make_certificate(tmp_path, f"next{i}") for i in range(3)]
    bundle = tmp_path / "all.pem"
    bundle.write_text("".join(certificate.read_text() for certificate, _ in [pair, *pairs]))
    context = trusting(bundle)
    failures = []
    asked = [0]
    over = threading.Event()

    def keep_asking():
        while not over.is_set():
            try:
                assert greeting(core, context) == GREETING
                asked[0] += 1
            except Exception as failure:
                failures.append(failure)

    threads = [threading.Thread(target=keep_asking) for _ in range(3)]
    with connect(core, context) as early:
        assert early.recv(8) == GREETING
        early.sendall(ANY_GREETING % 0x30)
        for thread in threads:
            thread.start()
        try:
            for number, (certificate, key) in enumerate(pairs):
                wanted = der(certificate)
                replace_certificate(pair, (certificate, key))
                if number == 1:
                    core.process.send_signal(signal.SIGHUP)
                wait_until(lambda: shown(core) == wanted, "the new certificate")
        finally:
            over.set()
            for thread in threads:
                thread.join()
        early.settimeout(0.2)
        with pytest.raises(TimeoutError):
            early.recv(1)
    assert not failures, failures[:3]
    assert asked[0] > 10
    assert not any(KEPT in line for line in core.output)


def test_the_first_connection_after_the_change_has_the_new_certificate(start, pair, tmp_path):
    core = start(pair)
    certificate, key = make_certificate(tmp_path, "next")
    wanted = der(certificate)
    replace_certificate(pair, (certificate, key))
    core.wait_for_line(RELOADED)
    time.sleep(0.1)
    assert shown(core) == wanted


def test_a_broken_pair_leaves_the_old_one(start, pair, tmp_path):
    core = start(pair)
    old = der(pair[0])
    good = make_certificate(tmp_path, "good")
    stranger = make_certificate(tmp_path, "stranger")
    replace_certificate(pair[1:], stranger[1:])
    core.wait_for_line(KEPT)
    assert shown(core) == old
    wanted = der(good[0])
    replace_certificate(pair, good)
    core.wait_for_line(RELOADED)
    wait_until(lambda: shown(core) == wanted, "the new certificate")


def test_sighup_without_tls_changes_nothing(start_core):
    core = start_core()
    core.process.send_signal(signal.SIGHUP)
    time.sleep(1.5)
    assert core.running
    with core.client() as client:
        assert client.serving()


# ---- certificates of clients ----


def test_clients_show_certificates(start, pair, tmp_path):
    authority = make_certificate(tmp_path, "authority")
    client = make_certificate(tmp_path, "client", issuer=authority)
    stranger = make_certificate(tmp_path, "stranger")
    core = start(pair, TRIGGERS_TLS_CLIENT_CA=authority[0])

    def greeting_for(shown_pair):
        context = trusting(pair[0])
        if shown_pair:
            context.load_cert_chain(*shown_pair)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            return greeting(core, context)
        return b""

    assert greeting_for(client) == GREETING
    assert greeting_for(None) == b""
    assert greeting_for(stranger) == b""
    new_client = make_certificate(tmp_path, "new-client", issuer=make_certificate(tmp_path, "new"))
    assert greeting_for(new_client) == b""
    replace_certificate([authority[0]], [tmp_path / "new.pem"])
    core.wait_for_line(RELOADED)
    wait_until(lambda: greeting_for(new_client) == GREETING, "the new authority")
    assert greeting_for(client) == b""


def test_the_command_line_and_the_bridge_show_certificates(start, start_bridge, pair, tmp_path):
    authority = make_certificate(tmp_path, "authority")
    client = make_certificate(tmp_path, "client", issuer=authority)
    stranger = make_certificate(tmp_path, "stranger")
    core = start(pair, TRIGGERS_TLS_CLIENT_CA=authority[0])
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


# ---- slow peers ----


def processor_seconds(program):
    fields = open(f"/proc/{program.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01"])
def test_handshakes_do_not_wait_for_ever(start, pair, begun):
    """They cost no processor time, and keep nobody else waiting."""
    core = start(pair)
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", core.port), 30)) for _ in range(20)
        ]
        for peer in peers:
            peer.sendall(begun)
        before = processor_seconds(core)
        started = time.monotonic()
        assert greeting(core, trusting(pair[0])) == GREETING
        assert time.monotonic() - started < 5
        for peer in peers:
            with contextlib.suppress(ConnectionError):
                while peer.recv(100):
                    pass
        assert time.monotonic() - started < 20
        assert processor_seconds(core) - before < 1
