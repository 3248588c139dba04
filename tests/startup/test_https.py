"""HTTPS, beyond what is the same for the core and therefore in test_certificates.py: names, browsers, the probe,
and requests that come in pieces."""

import contextlib
import ctypes
import socket
import ssl
import time

import httpx
import pytest

from support.certificates import make_certificate
from support.network import free_port
from support.program import run
from support.tls import BRIDGE, HEALTH, connect, trusting


@pytest.fixture
def pair(tmp_path):
    return make_certificate(tmp_path)


@pytest.fixture
def bridge(start_bridge, pair):
    """A bridge that waits a second for what it waits for by default ten; it has no core."""
    return start_bridge(None, TRIGGERS_BRIDGE_REQUEST_TIMEOUT=1000, **BRIDGE.settings(pair))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_names_and_addresses_are_served(bridge, pair, version, name):
    context = trusting(pair[0])
    context.minimum_version = context.maximum_version = version
    with connect(bridge, context, name) as peer:
        peer.sendall(HEALTH)
        assert peer.recv(12) == b"HTTP/1.1 200"


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
    own = {"API_PORT": bridge.port, **BRIDGE.settings(pair)}
    assert run_bridge(tmp_path, "--probe", **own).returncode == 0
    assert run_bridge(tmp_path, "--probe", **own, API_TLS_CLIENT_CA=pair[0]).returncode == 0
    assert run_bridge(tmp_path, "--probe", API_PORT=bridge.port).returncode == 1


# ---- slow and hostile peers ----


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


@contextlib.contextmanager
def warner(bridge):
    """A function that sends a warning over TLS 1.2, which Python's ssl cannot, until the bridge has closed:
    then it returns False."""
    gnutls = ctypes.CDLL("libgnutls.so.30")
    session, credentials = ctypes.c_void_p(), ctypes.c_void_p()
    gnutls.gnutls_init(ctypes.byref(session), 1 << 1 | 1 << 6)  # GNUTLS_CLIENT, GNUTLS_NO_SIGNAL
    gnutls.gnutls_certificate_allocate_credentials(ctypes.byref(credentials))
    gnutls.gnutls_credentials_set(session, 1, credentials)  # GNUTLS_CRD_CERTIFICATE
    gnutls.gnutls_priority_set_direct(session, b"NORMAL:-VERS-ALL:+VERS-TLS1.2", None)
    with socket.create_connection(("127.0.0.1", bridge.port)) as peer:
        gnutls.gnutls_transport_set_int2(session, peer.fileno(), peer.fileno())
        assert gnutls.gnutls_handshake(session) == 0
        yield lambda: gnutls.gnutls_alert_send(session, 1, 90) == 0  # GNUTLS_AL_WARNING, user_canceled
    gnutls.gnutls_deinit(session)
    gnutls.gnutls_certificate_free_credentials(credentials)


def test_who_only_warns_is_closed(bridge):
    """Reading on and on would keep everybody else of that thread waiting."""
    with warner(bridge) as warn:
        assert not all(warn() for _ in range(200_000))


def test_a_handshake_takes_little_memory(start_bridge, pair):
    """GnuTLS would gather a message of any size, of as many peers as may connect. The bridge ends it at once,
    and not when it has waited long enough."""
    bridge = start_bridge(None, **BRIDGE.settings(pair))
    with socket.create_connection(("127.0.0.1", bridge.port), 5) as peer:
        hello = b"\x01" + (100_000).to_bytes(3, "big") + bytes(16380)
        for _ in range(3):
            peer.sendall(b"\x16\x03\x01" + len(hello).to_bytes(2, "big") + hello)
        assert peer.recv(1) == b"\x15"  # an alert
