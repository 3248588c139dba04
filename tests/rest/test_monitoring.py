"""The port for monitoring: what is served there, to whom, and that it is served whatever is done to the API's."""

import contextlib
import http.client
import json
import resource
import socket
import ssl
import threading

import pytest

from support.https import https_settings
from support.keys import OPERATOR_KEY as KEY, make_key
from support.network import free_port, wait_until
from support.program import run

PAGES = ["/metrics", "/ready", "/docs", "/redoc", "/openapi.json"]
ALL_THERE = {f"TRIGGERS_BRIDGE_{page}": "port" for page in ("METRICS", "DOCS", "READY")}


class Port:
    """A port of a bridge, asked with no more than a test says."""

    def __init__(self, port, host="127.0.0.1", context=None):
        self.port, self.host, self.context = port, host, context

    def connect(self):
        peer = socket.create_connection((self.host, self.port), 20)
        return self.context.wrap_socket(peer, server_hostname="localhost") if self.context else peer

    def ask(self, path, method="GET", **headers):
        """The answer, with its body in `text`."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        with contextlib.closing(connection):
            connection.sock = self.connect()
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            answer.text = answer.read().decode()
            return answer

    def statuses(self, **headers):
        return [self.ask(path, **headers).status for path in PAGES]


@pytest.fixture
def start(start_bridge):
    """start(core, **settings): the bridge, its API's port, and its port for monitoring."""

    def start_with(core, **settings):
        port = free_port()
        bridge = start_bridge(core, TRIGGERS_BRIDGE_MONITORING_PORT=port, **settings)
        context = ssl.create_default_context(cafile=bridge.certificate) if bridge.certificate else None
        return bridge, Port(bridge.port, context=context), Port(port)

    return start_with


@pytest.fixture
def guarded(start_core):
    """A core that wants keys."""
    return start_core(TRIGGERS_AUTH="required", TRIGGERS_OPERATOR_KEY=KEY)


def test_port_shows_it_there_alone(start, guarded):
    _, api, monitoring = start(guarded, API_HOST="0.0.0.0", **ALL_THERE)
    for headers in ({}, {"Authorization": f"Bearer {KEY}"}):
        assert api.statuses(**headers) == [404] * len(PAGES)
        assert monitoring.statuses(**headers) == [200] * len(PAGES)
    assert json.loads(monitoring.ask("/ready").text) == {"status": "ready", "core": "ok", "store": "ok"}
    assert [port.ask("/health").status for port in (api, monitoring)] == [200, 200]


def test_the_metrics_of_the_core_need_a_key_there_too(start, guarded):
    """The port says who may see what the bridge has; what the core has is the core's to say."""
    _, _, monitoring = start(guarded, **ALL_THERE)
    bare = monitoring.ask("/metrics").text
    with_key = monitoring.ask("/metrics", Authorization=f"Bearer {KEY}").text
    for text in (bare, with_key):
        assert "triggers_bridge_requests_total" in text and "\ntriggers_core_up 1\n" in text
    assert "triggers_core_requests_total" in with_key
    assert "triggers_core_requests_total" not in bare


def test_nothing_else_is_served_there(start, core):
    _, api, monitoring = start(core)
    for path in ("/", "/api/v1/inbox", "/api/v1/events", "/api/v1/events/stream", "/api/v1/tenants", "/nope"):
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = monitoring.ask(path, method)
            assert (answer.status, json.loads(answer.text)["code"]) == (404, "ROUTE_NOT_FOUND")
    assert monitoring.ask("/metrics", "POST").status == 405
    assert api.ask("/").status == 200


@pytest.mark.parametrize(
    "setting, host, on_api, on_monitoring",
    [
        ("auto", "127.0.0.1", 401, 200),
        ("auto", "0.0.0.0", 401, 401),
        ("key", "127.0.0.1", 401, 401),
        ("port", "0.0.0.0", 404, 200),
        ("off", "127.0.0.1", 404, 404),
        ("open", "0.0.0.0", 200, 200),
    ],
)
def test_each_port_is_judged_by_itself(start, guarded, setting, host, on_api, on_monitoring):
    """`auto` asks for a key where others than this machine could come."""
    settings = {"TRIGGERS_BRIDGE_DOCS": setting, "TRIGGERS_BRIDGE_MONITORING_HOST": host}
    _, api, monitoring = start(guarded, API_HOST="0.0.0.0", **settings)
    assert api.ask("/openapi.json").status == on_api
    assert monitoring.ask("/openapi.json").status == on_monitoring


def test_it_speaks_http_where_the_api_speaks_https(start, tmp_path):
    """Prometheus on this machine needs neither the certificate nor one of its own."""
    settings = https_settings()
    _, api, monitoring = start(None, **settings, **ALL_THERE)
    answer = monitoring.ask("/metrics", Host="api.localhost")
    assert answer.status == 200
    assert answer.getheader("Strict-Transport-Security") is None
    assert [api.ask("/metrics").status, api.ask("/health").status] == [404, 200]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Port(monitoring.port, context=api.context).ask("/metrics")


def test_pages_of_others_do_not_read_it(start):
    """A browser on this machine reaches the port, whoever made the page that it shows."""
    _, api, monitoring = start(None)
    foreign = {"Origin": "https://evil.example"}
    assert api.ask("/metrics", **foreign).getheader("Access-Control-Allow-Origin") == "*"
    for method in ("GET", "OPTIONS"):
        answer = monitoring.ask("/metrics", method, Access_Control_Request_Method="GET", **foreign)
        assert not [name for name, _ in answer.getheaders() if name.lower().startswith("access-control")]
    assert monitoring.ask("/metrics", Host="evil.example").status == 421


def test_wrong_keys_are_slowed_there_too(start, guarded):
    """The connection of an answer that waits is among those of its port."""
    settings = {"TRIGGERS_BRIDGE_DOCS": "key", "TRIGGERS_BRIDGE_CONNECTIONS": 20}
    bridge, api, monitoring = start(guarded, API_HOST="0.0.0.0", **settings)
    wrong = {"Authorization": f"Bearer {make_key()}"}

    def is_slowed(port):
        return port.ask("/openapi.json", **wrong).status == 429

    for port in (monitoring, api, monitoring):
        wait_until(lambda: is_slowed(port), "429", interval=0)
    assert bridge.running
    assert monitoring.ask("/openapi.json", Authorization=f"Bearer {KEY}").status == 200


# ---- settings ----


def refusal(folder, **settings):
    """Why a bridge does not start, in one line."""
    settings = {"API_HOST": "127.0.0.1", "API_PORT": free_port(), **settings}
    result = run("triggers-bridge", folder=folder, **settings)
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("triggers-bridge: ")
    return result.returncode, result.stderr


@pytest.mark.parametrize("page", ["METRICS", "DOCS", "READY"])
def test_port_needs_a_port(tmp_path, page):
    code, line = refusal(tmp_path, **{f"TRIGGERS_BRIDGE_{page}": "port"})
    assert code == 2
    assert f"TRIGGERS_BRIDGE_{page}" in line and "TRIGGERS_BRIDGE_MONITORING_PORT" in line


def test_an_address_that_cannot_be_is_named(tmp_path, start):
    bridge, _, monitoring = start(None)
    for taken in (bridge.port, monitoring.port):
        code, line = refusal(tmp_path, TRIGGERS_BRIDGE_MONITORING_PORT=taken)
        assert code == 1 and "in use; set TRIGGERS_BRIDGE_MONITORING_PORT to another" in line
    host = {"TRIGGERS_BRIDGE_MONITORING_HOST": "nowhere.invalid"}
    code, line = refusal(tmp_path, TRIGGERS_BRIDGE_MONITORING_PORT=free_port(), **host)
    assert code == 2 and 'TRIGGERS_BRIDGE_MONITORING_HOST "nowhere.invalid"' in line


# ---- floods ----


@contextlib.contextmanager
def flood(port, peers=3):
    """Connections that nobody closes, one after the other, for as long as the block lasts."""
    over = threading.Event()
    opened = [0]

    def keep_opening():
        with contextlib.ExitStack() as stack:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    stack.enter_context(socket.create_connection(("127.0.0.1", port), 0.2))
                    opened[0] += 1

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    threads = [threading.Thread(target=keep_opening) for _ in range(peers)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: opened[0] > 300, "300 connections")
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_flood_of_the_api_leaves_it_served(start):
    """Its connections are not among those that make room for others."""
    _, api, monitoring = start(None, TRIGGERS_BRIDGE_CONNECTIONS=20)
    with monitoring.connect() as idle, flood(api.port):
        for _ in range(50):
            assert monitoring.ask("/health").status == 200
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"


def test_a_flood_of_it_leaves_the_api_served(start):
    bridge, api, monitoring = start(None)
    with api.connect() as idle, flood(monitoring.port):
        for _ in range(50):
            assert api.ask("/health").status == 200
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        assert bridge.descriptors() < 100


def test_it_has_descriptors_of_its_own(start):
    """With few of them the API gets fewer connections, and the port for monitoring as many as ever."""
    bridge, api, monitoring = start(None, files=100)
    with flood(api.port), flood(monitoring.port):
        for port in (api, monitoring):
            assert port.ask("/health").status == 200
        assert bridge.descriptors() <= 100
    assert bridge.running


def test_a_stop_does_not_wait_for_its_connections(start):
    bridge, _, monitoring = start(None)
    with monitoring.connect() as idle, monitoring.connect() as begun:
        begun.sendall(b"GET /metr")
        assert monitoring.ask("/health").status == 200
        bridge.stop(10)
        assert idle.recv(1) == b""
