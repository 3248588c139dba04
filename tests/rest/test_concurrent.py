"""Many clients at once, clients that leave, and stopping in the middle of it."""

import contextlib
import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from rest.checks import CREATE
from rest.wire import Wire, get
from support.network import wait_until

pytestmark = pytest.mark.concurrent

BODY = json.dumps(CREATE)
POST = f"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"


def test_64_clients_on_connections_of_their_own(bridge, core):
    before = core.connections()

    def client(number):
        with Wire(bridge) as wire:
            ids = []
            for i in range(10):
                body = json.dumps({**CREATE, "payload": {"client": number, "i": i}})
                wire.send(
                    f"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
                    f"\r\n\r\n{body}"
                )
                answer = wire.read()
                assert answer.status == 201, answer
                ids.append(json.loads(answer.body)["event_id"])
            for i, event_id in enumerate(ids):
                wire.send(get(f"/api/v1/events/{event_id}"))
                event = json.loads(wire.read().body)
                assert event["payload"] == {"client": number, "i": i}
                wire.send(f"DELETE /api/v1/events/{event_id} HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert wire.read().status == 200
            return ids

    with ThreadPoolExecutor(64) as pool:
        created = [event_id for ids in pool.map(client, range(64)) for event_id in ids]
    assert len(set(created)) == 640
    assert core.connections() <= before + 2  # all went over the bridge's one connection


def test_clients_that_leave_while_their_call_runs(core, start_bridge):
    bridge = start_bridge(core)
    before = bridge.connections()
    for request in (POST, get("/api/v1/inbox?limit=1000")):
        wires = [Wire(bridge) for _ in range(50)]
        for wire in wires:
            wire.send(request)
        for wire in wires:
            wire.close()
    wait_until(lambda: bridge.connections() <= before, "connections of those that left closed")
    assert httpx.get(f"{bridge.url}/health", trust_env=False).status_code == 200


@pytest.mark.parametrize("count", [127, 128, 129, 256, 1000])
def test_burst_of_requests_on_open_connections(core, start_bridge, count):
    """However many are ready at one moment: libmicrohttpd asks for 128 at a time."""
    bridge = start_bridge(core, TRIGGERS_BRIDGE_THREADS=1)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(bridge)) for _ in range(count)]
        for request, served in [(get("/health"), 200), (POST, 201)]:
            ask_all(wires, request, served)
            for _ in range(3):
                with bridge.paused():
                    for wire in wires:
                        wire.send(request)
                assert {wire.read().status for wire in wires} == {served}


def test_wrong_lengths_beside_connections_that_end(core, start_bridge):
    """In one turn of libmicrohttpd, which frees the memory of those that end before it tells us of it."""
    bridge = start_bridge(core, TRIGGERS_BRIDGE_THREADS=1)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            halves = [Wire(bridge) for _ in range(10)]
            wrong = [stack.enter_context(Wire(bridge)) for _ in range(10)]
            ask_all(wrong + halves, get("/health"), 200)
            for half in halves:
                half.send(POST[: -len(BODY) // 2])
            ask_all(wrong, get("/health"), 200)  # the halves have been read by now
            with bridge.paused():
                for half, wire in zip(halves, wrong):
                    half.close()
                    wire.send(POST.replace("Content-Length: ", "Content-Length: x"))
            assert {wire.read().status for wire in wrong} == {400}


def ask_all(wires, request, status):
    for wire in wires:
        wire.send(request)
        assert wire.read().status == status


class Load:
    """Clients that create until the service ends; `answers` are the statuses they got."""

    def __init__(self, bridge, clients):
        self.answers = []
        self.broken = []
        self._bridge = bridge
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        try:
            while True:
                with Wire(self._bridge) as wire:
                    while self._one(wire):
                        pass
        except ConnectionRefusedError:
            pass

    def _one(self, wire):
        """One request; False when the connection was closed, before or after the answer."""
        try:
            wire.send(POST)
            answer = wire.read()
        except OSError:
            answer = None
        if answer is None:
            self.broken.append(1)
            return False
        self.answers.append((answer.status, json.loads(answer.body).get("event_id")))
        return answer.headers.get("connection") != "close"

    def join(self):
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def test_stop_under_load_answers_what_was_accepted(core, start_bridge, http):
    bridge = start_bridge(core)
    load = Load(bridge, 16)
    wait_until(lambda: len(load.answers) > 100, "load")
    bridge.process.send_signal(signal.SIGTERM)
    assert bridge.wait() == 0
    load.join()
    # A request that arrives on an open connection after the last one was waited for is refused.
    assert {status for status, _ in load.answers} <= {201, 503}
    for event_id in [event_id for status, event_id in load.answers if status == 201][-20:]:
        assert http.get(f"/api/v1/events/{event_id}").status_code == 200
    assert bridge.log[-1]["message"] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_with_idle_connections(core, start_bridge, number):
    bridge = start_bridge(core)
    with Wire(bridge) as idle, Wire(bridge) as silent:
        idle.send(get("/health"))
        assert idle.read().status == 200
        bridge.process.send_signal(number)
        assert bridge.wait(10) == 0
        assert idle.closed() and silent.closed()


def test_a_second_signal_ends_at_once(core, start_bridge):
    bridge = start_bridge(core)
    with Wire(bridge) as half:
        half.send(POST.replace("Host: localhost", "Host: localhost\r\nExpect: 100-continue")[: -len(BODY)])
        assert half.socket.recv(4096).startswith(b"HTTP/1.1 100")
        bridge.process.send_signal(signal.SIGTERM)  # the body never comes: it is waited for
        bridge.wait_for_line("stopping")
        assert bridge.running
        assert bridge.insist(5) == 1
