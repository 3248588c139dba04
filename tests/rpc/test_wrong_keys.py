"""Connections that bring wrong keys: after many they are read slowly, and nobody else is."""

import contextlib
import time

import pytest

from support.keyring import OPERATOR, REQUIRED
from support.keys import make_key
from support.peer import connect
from support.protocol import envelope
from support.rpc import EVENT_SERVICE, encode

AT_ONCE = 200  # wrong keys that an address may try at once
PAUSE = 1.0  # seconds


@pytest.fixture
def core(start_core, new_store_url):
    return start_core(DATABASE_URL=new_store_url(), **REQUIRED)


def send_wrong_keys(peer, count, **metadata):
    """At once, so that none comes late; returns when they were sent."""
    authorizations = [f"Bearer {make_key()}" for _ in range(count)]
    messages = [
        encode(f"{EVENT_SERVICE}/ListInbox", b"", {**metadata, "authorization": each})
        for each in authorizations
    ]
    begun = time.monotonic()
    for number, message in enumerate(messages):
        peer.send(message, number)
    return begun


def receive_reason(peer):
    answer = envelope.Response.FromString(peer.receive()[1])
    assert answer.code != envelope.OK
    return answer.details.reason


def use_up(peer, **metadata):
    """So many wrong keys that there are too many, and the answers until one says so; returns when the
    keys were sent."""
    begun = send_wrong_keys(peer, AT_ONCE + 100, **metadata)
    for _ in range(AT_ONCE + 100):
        if receive_reason(peer) == "TOO_MANY_WRONG_KEYS":
            return begun
    raise AssertionError("nothing was refused as too many")


def test_a_connection_with_too_many_wrong_keys_is_slowed_down(core):
    with connect(core.url) as peer:
        begun = use_up(peer)
        receive_reason(peer)
        assert time.monotonic() - begun > 0.9 * PAUSE


def test_others_from_its_address_are_served_meanwhile(core):
    def take(honest):
        begun = time.monotonic()
        honest.create()
        return time.monotonic() - begun

    with connect(core.url) as peer, core.client(key=OPERATOR) as honest:
        use_up(peer)
        assert min(take(honest) for _ in range(3)) < 0.5 * PAUSE


def test_a_connection_that_names_its_callers_is_not(core):
    with connect(core.url) as peer:
        use_up(peer, caller="one of many")
        assert [receive_reason(peer) for _ in range(50)].count("TOO_MANY_WRONG_KEYS") > 0


def test_the_core_stops_while_some_are_slowed_down(core):
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            use_up(stack.enter_context(connect(core.url)))
        core.stop()
