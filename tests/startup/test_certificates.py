"""What bridge and core do alike: what they accept of TLS, how they take new certificates and those of clients,
and peers that are slow in a handshake."""

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
from support.program import run
from support.tls import BRIDGE, CORE, HEALTH, KEPT, RELOADED, connect, der, processor_seconds, shown, trusting


@pytest.fixture
def pair(tmp_path):
    return make_certificate(tmp_path)


@pytest.fixture(params=[BRIDGE, CORE], ids=lambda served: served.name)
def served(request):
    return request.param


@pytest.fixture
def start(served, start_bridge, start_core):
    """start(pair, client_ca=None): the program with TLS at its `port`."""

    def start_with(pair, client_ca=None):
        settings = served.settings(pair, client_ca)
        port = free_port()
        if served is BRIDGE:
            own = {"API_PORT": port, "TRIGGERS_BRIDGE_REQUEST_TIMEOUT": 1000}
            program = start_bridge(None, wait=False, **own, **settings)
        else:
            program = start_core(TRIGGERS_LISTEN=f"tls+tcp://127.0.0.1:{port}", wait=False, **settings)
        program.port = port
        program.wait_for_line("listening" if served is BRIDGE else "ready")
        return program

    return start_with


def test_weak_versions_and_ciphers_are_refused(served, start, tmp_path):
    pair = make_certificate(tmp_path, kind="rsa")
    program = start(pair)
    for ciphers, version in [
        ("ALL", ssl.TLSVersion.TLSv1_1),
        ("ALL", ssl.TLSVersion.TLSv1),
        ("kRSA", ssl.TLSVersion.TLSv1_2),
        ("AES128-GCM-SHA256", ssl.TLSVersion.TLSv1_2),
        ("ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA384", ssl.TLSVersion.TLSv1_2),
        ("kDHE", ssl.TLSVersion.TLSv1_2),
    ]:
        context = trusting(pair[0])
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning) if version < ssl.TLSVersion.TLSv1_2 else contextlib.nullcontext():
            context.minimum_version = context.maximum_version = version
        with pytest.raises((ssl.SSLError, ConnectionError)):
            served.greet(program, context)
    for suite in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"):
        context = trusting(pair[0])
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"ECDHE-RSA-{suite}")
        assert served.greet(program, context) == served.greeting


@pytest.mark.parametrize("fault", ["mismatch", "no key", "no certificate", "missing", "nonsense", "client ca"])
def test_files_that_cannot_be_used_stop_the_start(served, tmp_path, pair, fault):
    make_certificate(tmp_path, "other")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("hello")
    files, words = {
        "mismatch": (("server.pem", "other.key"), ["other.key", "does not belong", "server.pem"]),
        "no key": ((pair[0], None), [f"{served.prefix}_KEY"]),
        "no certificate": ((None, pair[1]), [f"{served.prefix}_CERT"]),
        "missing": ((tmp_path / "none.pem", pair[1]), ["none.pem", "No such file"]),
        "nonsense": ((nonsense, pair[1]), ["nonsense.pem", "PEM"]),
        "client ca": ((*pair, nonsense), ["nonsense.pem", "PEM"]),
    }[fault]
    *pair, client_ca = (*files, None)[:3]
    others = {
        BRIDGE.name: {"API_HOST": "127.0.0.1", "API_PORT": free_port()},
        CORE.name: {"TRIGGERS_LISTEN": f"wss://127.0.0.1:{free_port()}/rpc", "DATABASE_URL": "sqlite:///never.db"},
    }[served.name]
    result = run(served.name, folder=tmp_path, **others, **served.settings(pair, client_ca))
    assert result.returncode == 2
    for word in words:
        assert word in result.stderr


# ---- new certificates ----


def is_there_still(served, peer):
    """Whether a connection that has greeted is open."""
    if served is BRIDGE:
        return served.greet_on(peer) == served.greeting
    peer.settimeout(0.2)
    with pytest.raises(TimeoutError):
        peer.recv(1)
    return True


def test_certificates_are_replaced_under_load(served, start, pair, tmp_path):
    """New connections all get in, and one that was open before stays."""
    program = start(pair)
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
                assert served.greet(program, context) == served.greeting
                asked[0] += 1
            except Exception as failure:
                failures.append(failure)

    threads = [threading.Thread(target=keep_asking) for _ in range(3)]
    with connect(program, context) as early:
        assert served.greet_on(early) == served.greeting
        for thread in threads:
            thread.start()
        try:
            for number, (certificate, key) in enumerate(pairs):
                wanted = der(certificate)
                replace_certificate(pair, (certificate, key))
                if number == 1:
                    program.process.send_signal(signal.SIGHUP)
                wait_until(lambda: shown(program) == wanted, "the new certificate")
                assert is_there_still(served, early)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert not failures, failures[:3]
    assert asked[0] > 10
    assert not any(KEPT in line for line in program.output)


def test_a_broken_pair_leaves_the_old_one(start, pair, tmp_path):
    program = start(pair)
    old = der(pair[0])
    good = make_certificate(tmp_path, "good")
    stranger = make_certificate(tmp_path, "stranger")
    replace_certificate(pair[1:], stranger[1:])
    program.wait_for_line(KEPT)
    assert shown(program) == old
    wanted = der(good[0])
    replace_certificate(pair, good)
    program.wait_for_line(RELOADED)
    wait_until(lambda: shown(program) == wanted, "the new certificate")


def test_a_missing_file_leaves_the_old_one(start, pair):
    program = start(pair)
    old = der(pair[0])
    os.rename(pair[0], f"{pair[0]}.away")
    program.wait_for_line(KEPT)
    assert shown(program) == old
    os.rename(f"{pair[0]}.away", pair[0])
    program.wait_for_line(RELOADED)


def test_sighup_reads_files_that_look_the_same(served, start, pair):
    program = start(pair)
    program.process.send_signal(signal.SIGHUP)
    program.wait_for_line(RELOADED)
    assert served.greet(program, trusting(pair[0])) == served.greeting


# ---- certificates of clients ----


def test_clients_show_certificates(served, start, pair, tmp_path):
    authority = make_certificate(tmp_path, "authority")
    client = make_certificate(tmp_path, "client", issuer=authority)
    stranger = make_certificate(tmp_path, "stranger")
    new_client = make_certificate(tmp_path, "new-client", issuer=make_certificate(tmp_path, "new"))
    program = start(pair, client_ca=authority[0])

    def serves(shown_pair, version):
        context = trusting(pair[0])
        context.minimum_version = context.maximum_version = version
        if shown_pair:
            context.load_cert_chain(*shown_pair)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            return served.greet(program, context) == served.greeting
        return False

    for version in served.versions:
        found = [serves(each, version) for each in (client, None, stranger, new_client)]
        assert found == [True, False, False, False]
    replace_certificate([authority[0]], [tmp_path / "new.pem"])
    program.wait_for_line(RELOADED)
    for version in served.versions:
        wait_until(lambda: serves(new_client, version), "the new authority")
        assert not serves(client, version)


# ---- slow peers ----


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01", HEALTH])
def test_handshakes_do_not_wait_for_ever(served, start, pair, begun):
    """They cost no processor time, and keep nobody else waiting."""
    program = start(pair)
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", program.port), 30)) for _ in range(20)
        ]
        for peer in peers:
            peer.sendall(begun)
        before = processor_seconds(program)
        started = time.monotonic()
        assert served.greet(program, trusting(pair[0])) == served.greeting
        assert time.monotonic() - started < 5
        for peer in peers:
            with contextlib.suppress(ConnectionError):
                while peer.recv(100):
                    pass
        assert time.monotonic() - started < (5 if served is BRIDGE else 20)
        assert processor_seconds(program) - before < 0.5
