"""HTTPS: what the bridge accepts of TLS, how it takes new certificates, and peers that are slow in it."""

import contextlib
import os
import signal
import socket
import ssl
import threading
import time

import httpx
import pytest

from support.certificates import make_certificate, replace_certificate
from support.network import free_port, wait_until
from support.program import run

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
RELOADED = "the certificate was read again"
KEPT = "the new certificate cannot be used"


def settings_of(pair, **more):
    return {"API_TLS_CERT": pair[0], "API_TLS_KEY": pair[1], **more}


@pytest.fixture
def pair(tmp_path):
    return make_certificate(tmp_path)


@pytest.fixture
def bridge(start_bridge, pair):
    """A bridge that waits a second for what it waits for by default ten; it has no core."""
    return start_bridge(None, **settings_of(pair, TRIGGERS_BRIDGE_REQUEST_TIMEOUT=1000))


def trusting(certificate):
    return ssl.create_default_context(cafile=certificate)


def connect(bridge, context, name="localhost"):
    """A TLS connection to the bridge."""
    plain = socket.create_connection(("127.0.0.1", bridge.port), 20)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def ask(bridge, context):
    """The first bytes of an answer; raises what TLS and sockets raise."""
    with connect(bridge, context) as peer:
        peer.sendall(HEALTH)
        return peer.recv(12)


def shown(bridge):
    """The certificate that the bridge shows, as bytes."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with connect(bridge, context) as peer:
        return peer.getpeercert(binary_form=True)


def der(certificate):
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_names_and_addresses_are_served(bridge, pair, version, name):
    context = trusting(pair[0])
    context.minimum_version = context.maximum_version = version
    with connect(bridge, context, name) as peer:
        peer.sendall(HEALTH)
        assert peer.recv(12) == b"HTTP/1.1 200"


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
def test_weak_versions_and_ciphers_are_refused(start_bridge, tmp_path, ciphers, version):
    pair = make_certificate(tmp_path, kind="rsa")
    bridge = start_bridge(None, **settings_of(pair))
    context = trusting(pair[0])
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(bridge, context)
    assert ask(bridge, trusting(pair[0])) == b"HTTP/1.1 200"


def test_browsers_are_told_to_stay_with_https(bridge, pair):
    with httpx.Client(base_url=bridge.url, trust_env=False, verify=trusting(pair[0])) as http:
        for host in ("localhost", "127.0.0.1:8000", "[::1]"):
            assert "strict-transport-security" not in http.get("/health", headers={"Host": host}).headers
        answer = http.get("/health", headers={"Host": "api.example.com"})
        assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_plain_http_has_no_hsts(start_bridge):
    answer = httpx.get(f"{start_bridge(None).url}/health", headers={"Host": "a.example"}, trust_env=False)
    assert "strict-transport-security" not in answer.headers


def run_bridge(folder, *flags, **settings):
    settings = {"API_HOST": "127.0.0.1", "API_PORT": free_port(), **settings}
    return run("triggers-bridge", *flags, folder=folder, **settings)


def test_the_probe_speaks_tls(bridge, pair, tmp_path):
    own = {"API_PORT": bridge.port, **settings_of(pair)}
    assert run_bridge(tmp_path, "--probe", **own).returncode == 0
    assert run_bridge(tmp_path, "--probe", **own, API_TLS_CLIENT_CA=pair[0]).returncode == 0
    assert run_bridge(tmp_path, "--probe", API_PORT=bridge.port).returncode == 1


@pytest.mark.parametrize("fault", ["mismatch", "no key", "no certificate", "missing", "nonsense", "client ca"])
def test_files_that_cannot_be_used_stop_the_start(tmp_path, pair, fault):
    make_certificate(tmp_path, "other")
    make_certificate(tmp_path)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("hello")
    settings, words = {
        "mismatch": (settings_of(("server.pem", "other.key")), ["other.key", "does not belong", "server.pem"]),
        "no key": ({"API_TLS_CERT": pair[0]}, ["API_TLS_KEY"]),
        "no certificate": ({"API_TLS_KEY": pair[1]}, ["API_TLS_CERT"]),
        "missing": (settings_of((tmp_path / "none.pem", pair[1])), ["none.pem", "No such file"]),
        "nonsense": (settings_of((nonsense, pair[1])), ["nonsense.pem", "PEM"]),
        "client ca": (settings_of(pair, API_TLS_CLIENT_CA=nonsense), ["nonsense.pem", "PEM"]),
    }[fault]
    result = run_bridge(tmp_path, **settings)
    assert result.returncode == 2
    for word in words:
        assert word in result.stderr


# ---- new certificates ----


def test_certificates_are_replaced_under_load(bridge, pair, tmp_path):
    """Requests over new connections and over one that stays all succeed."""
    pairs = [make_certificate(tmp_path, f"next{i}") for i in range(3)]
    bundle = tmp_path / "all.pem"
    bundle.write_text("".join(certificate.read_text() for certificate, _ in [pair, *pairs]))
    context = trusting(bundle)
    failures = []
    asked = [0, 0]
    over = threading.Event()

    def keep_asking():
        while not over.is_set():
            try:
                assert ask(bridge, context) == b"HTTP/1.1 200"
                asked[0] += 1
            except Exception as failure:
                failures.append(failure)

    def keep_open():
        with httpx.Client(base_url=bridge.url, trust_env=False, verify=context) as http:
            first = http.get("/health").extensions["network_stream"].get_extra_info("client_addr")
            while not over.is_set():
                answer = http.get("/health")
                stream = answer.extensions["network_stream"]
                if answer.status_code != 200 or stream.get_extra_info("client_addr") != first:
                    failures.append(answer)
                asked[1] += 1

    threads = [threading.Thread(target=keep_asking) for _ in range(3)] + [threading.Thread(target=keep_open)]
    for thread in threads:
        thread.start()
    try:
        for number, (certificate, key) in enumerate(pairs):
            wanted = der(certificate)
            replace_certificate(pair, (certificate, key))
            if number == 1:
                bridge.process.send_signal(signal.SIGHUP)
            wait_until(lambda: shown(bridge) == wanted, "the new certificate")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:3]
    assert min(asked) > 10
    assert not any(KEPT in line for line in bridge.output)


def test_a_broken_pair_leaves_the_old_one(bridge, pair, tmp_path):
    old = der(pair[0])
    good = make_certificate(tmp_path, "good")
    stranger = make_certificate(tmp_path, "stranger")
    replace_certificate(pair[1:], stranger[1:])
    bridge.wait_for_line(KEPT)
    assert shown(bridge) == old
    wanted = der(good[0])
    replace_certificate(pair, good)
    bridge.wait_for_line(RELOADED)
    assert shown(bridge) == wanted


def test_a_missing_file_leaves_the_old_one(bridge, pair):
    old = der(pair[0])
    os.rename(pair[0], f"{pair[0]}.away")
    bridge.wait_for_line(KEPT)
    assert shown(bridge) == old
    os.rename(f"{pair[0]}.away", pair[0])
    bridge.wait_for_line(RELOADED)


def test_sighup_reads_files_that_look_the_same(bridge, pair):
    bridge.process.send_signal(signal.SIGHUP)
    bridge.wait_for_line(RELOADED)
    assert ask(bridge, trusting(pair[0])) == b"HTTP/1.1 200"


# ---- certificates of clients ----


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_show_certificates(start_bridge, pair, tmp_path, version):
    authority = make_certificate(tmp_path, "authority")
    client = make_certificate(tmp_path, "client", issuer=authority)
    stranger = make_certificate(tmp_path, "stranger")
    bridge = start_bridge(None, wait=False, **settings_of(pair, API_TLS_CLIENT_CA=authority[0]))
    bridge.wait_for_line("listening")

    def answer_for(shown_pair):
        context = trusting(pair[0])
        context.minimum_version = context.maximum_version = version
        if shown_pair:
            context.load_cert_chain(*shown_pair)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            return ask(bridge, context)
        return b""

    assert answer_for(client) == b"HTTP/1.1 200"
    assert answer_for(None) == b""
    assert answer_for(stranger) == b""
    new_client = make_certificate(tmp_path, "new-client", issuer=make_certificate(tmp_path, "new"))
    assert answer_for(new_client) == b""
    replace_certificate([authority[0]], [tmp_path / "new.pem"])
    bridge.wait_for_line(RELOADED)
    assert answer_for(new_client) == b"HTTP/1.1 200"
    assert answer_for(client) == b""


# ---- slow and hostile peers ----


def processor_seconds(program):
    fields = open(f"/proc/{program.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01", HEALTH])
def test_handshakes_do_not_wait_for_ever(bridge, pair, begun):
    """They cost no processor time, and keep nobody else waiting."""
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", bridge.port), 20))
            for _ in range(20)
        ]
        for peer in peers:
            peer.sendall(begun)
        before = processor_seconds(bridge)
        started = time.monotonic()
        assert ask(bridge, trusting(pair[0])) == b"HTTP/1.1 200"
        for peer in peers:
            with contextlib.suppress(ConnectionError):
                while peer.recv(100):
                    pass
        assert time.monotonic() - started < 5
        assert processor_seconds(bridge) - before < 0.5


def test_an_idle_connection_may_stay(bridge, pair):
    with connect(bridge, trusting(pair[0])) as peer:
        time.sleep(3)
        peer.sendall(HEALTH)
        assert peer.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    "request_text, status",
    [
        (b"GET /health HTTP/1.1\r\nHost: loc", b"408"),
        (b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{", b"408"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nBad Header\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 33000 + b"\r\n\r\n", b"431"),
    ],
)
def test_slow_and_malformed_requests_are_answered(bridge, pair, request_text, status):
    with connect(bridge, trusting(pair[0])) as peer:
        peer.sendall(request_text)
        assert peer.recv(12) == b"HTTP/1.1 " + status
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            while peer.recv(1000):
                pass


def test_pieces_of_requests_and_many_at_once(bridge, pair):
    """Records do not end where requests do."""
    with connect(bridge, trusting(pair[0])) as peer:
        for byte in HEALTH:
            peer.sendall(bytes([byte]))
        assert peer.recv(12) == b"HTTP/1.1 200"
    with connect(bridge, trusting(pair[0])) as peer:
        peer.sendall(HEALTH * 1000)
        text = b""
        while text.count(b'"status":"healthy"') < 1000:
            piece = peer.recv(65536)
            assert piece
            text += piece
