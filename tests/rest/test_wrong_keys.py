"""Many wrong keys over HTTP: who sends them waits for the answers, and nobody else does."""

import contextlib
import socket
import time

import pytest

from rest.checks import create
from support.https import secured
from support.keys import OPERATOR_KEY, make_key

CORE_SETTINGS = {"TRIGGERS_AUTH": "required", "TRIGGERS_OPERATOR_KEY": OPERATOR_KEY}
AT_ONCE = 200  # wrong keys that an address may try at once; and then 20 a second
GUESSERS = 60
EACH = AT_ONCE // GUESSERS + 2
PAUSE = 1.0  # seconds


class Guessers:
    """Connections from this machine's address, each with wrong keys."""

    def __init__(self, stack, bridge):
        self.begun = time.monotonic()
        self.peers = [self._connect(stack, bridge) for _ in range(GUESSERS)]
        for _ in range(EACH):
            for peer in self.peers:
                peer.sendall(
                    b"GET /api/v1/inbox HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n"
                    % make_key().encode()
                )

    @staticmethod
    def _connect(stack, bridge):
        peer = socket.create_connection(("127.0.0.1", bridge.port), 30)
        return stack.enter_context(secured(bridge, peer))

    def read(self):
        """Reads all answers; returns those that say that there were too many."""
        found = []
        for peer in self.peers:
            text = b""
            while text.count(b'"code":') < EACH:
                received = peer.recv(65536)
                assert received, text
                text += received
            found += [answer for answer in text.split(b"HTTP/1.1 ") if b"TOO_MANY_WRONG_KEYS" in answer]
        return found


@pytest.fixture
def guessers(bridge):
    with contextlib.ExitStack() as stack:
        yield Guessers(stack, bridge)


def test_too_many_wrong_keys_are_answered_late(guessers):
    late = guessers.read()
    assert time.monotonic() - guessers.begun > 0.9 * PAUSE
    assert late
    for answer in late:
        assert answer.startswith(b"429 ") and b"\r\nretry-after: 1\r\n" in answer.lower()


def test_a_good_key_from_there_is_served_meanwhile(guessers, http):
    def take():
        begun = time.monotonic()
        create(http)
        return time.monotonic() - begun

    http.headers["Authorization"] = f"Bearer {OPERATOR_KEY}"
    assert min(take() for _ in range(3)) < 0.5 * PAUSE
    guessers.read()


def test_the_bridge_stops_while_answers_wait(core, start_bridge):
    bridge = start_bridge(core)
    with contextlib.ExitStack() as stack:
        guessers = Guessers(stack, bridge)
        guessers.read()
        bridge.stop()
