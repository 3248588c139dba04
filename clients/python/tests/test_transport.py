"""Framing and connections, against nng, and against peers that do what nng never would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pynng
import pytest
from conftest import PATIENCE, Core, Peer, free_port

from triggers_client import AsyncClient, Client, DeadlineExceededError, UnavailableError
from triggers_client._connection import Connection

SIZES = (1, (64 << 10) - 4, 64 << 10, 1 << 20, 8 << 20)
HELLO_REQ = bytes.fromhex("0053500000300000")
HELLO_REP = bytes.fromhex("0053500000310000")


@pytest.fixture(params=["ws", "wss", "tcp", "tls+tcp", "ipc"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "ipc":
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a socket's path must be short
            yield f"ipc://{folder}/socket"
        return
    host = "localhost" if request.param in ("wss", "tls+tcp") else "127.0.0.1"
    path = "/rpc" if request.param in ("ws", "wss") else ""
    yield f"{request.param}://{host}:{free_port()}{path}"


def test_messages_of_all_sizes(address: str, certificate: tuple[Path, Path]) -> None:
    made, key = certificate
    tls = None
    if address.startswith(("wss", "tls")):
        tls = pynng.TLSConfig(
            pynng.TLSConfig.MODE_SERVER,
            own_key_string=key.read_text(),
            own_cert_string=made.read_text(),
        )

    async def main() -> None:
        connection = Connection([address], str(made))
        for size in SIZES:
            sent = os.urandom(size)
            assert await connection.exchange(sent, PATIENCE) == sent
        many = [os.urandom(200) for _ in range(1000)]
        assert await asyncio.gather(*(connection.exchange(m, PATIENCE) for m in many)) == many
        await connection.close()

    # nng, listening so, knows no Host but the IP address.
    peer = Peer(address.replace("localhost", "127.0.0.1"), lambda message: message, tls)
    try:
        asyncio.run(main())
        assert len(peer.pipes) == 1
    finally:
        peer.close()


def test_a_call_outlives_its_connection(url: str) -> None:
    async def main() -> None:
        async with AsyncClient(url, timeout=PATIENCE) as client:
            calls = [asyncio.create_task(client.create("slow", "t", "{}")) for _ in range(50)]
            await asyncio.to_thread(core.got_slow.wait, PATIENCE)
            await asyncio.to_thread(core.close)
            assert not any(call.done() for call in calls)
            again = await asyncio.to_thread(Patient, url)
            ids = [(await call).event_id for call in calls]
            assert len(set(ids)) == 50
            await asyncio.to_thread(again.close)

    core = Core(url)
    asyncio.run(main())


class Patient(Core):
    """Answers what Core keeps, too."""

    def _create(self, message: bytes) -> bytes | None:
        return super()._create(message.replace(b"slow", b"fast"))


def test_calls_spread_over_the_addresses(core: Core, url: str) -> None:
    other = Core(url)
    try:
        with Client([core.url, url, "tcp://127.0.0.1:9"], timeout=PATIENCE) as client:
            end = time.monotonic() + PATIENCE
            while not (core.payloads and other.payloads):
                assert time.monotonic() < end
                client.create("s", "t", "{}")
    finally:
        other.close()


# ---- peers that do what nng never would ----


def read_exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = peer.recv(size - len(data))
        if not part:
            raise ConnectionError
        data += part
    return data


def receive(peer: socket.socket) -> bytes:
    """The next message, its request id and what was sent."""
    return read_exactly(peer, int.from_bytes(read_exactly(peer, 8), "big"))


def shake_hands(peer: socket.socket) -> None:
    assert read_exactly(peer, 8) == HELLO_REQ
    peer.sendall(HELLO_REP)


def echo(peer: socket.socket) -> None:
    shake_hands(peer)
    while True:
        header = read_exactly(peer, 8)
        message = header + read_exactly(peer, int.from_bytes(header, "big"))
        for each in message:  # in as many parts as can be
            peer.sendall(bytes([each]))


def keep_silent(peer: socket.socket) -> None:
    shake_hands(peer)
    while peer.recv(4096):
        pass


def answer_hugely(peer: socket.socket) -> None:
    shake_hands(peer)
    read_exactly(peer, 8)
    peer.sendall((1 << 40).to_bytes(8, "big"))
    peer.recv(4096)


def speak_as_a_sub(peer: socket.socket) -> None:
    read_exactly(peer, 8)
    peer.sendall(bytes.fromhex("0053500000210000"))
    peer.recv(4096)


@contextlib.contextmanager
def listening(*behaviours: Callable[[socket.socket], None]) -> Iterator[str]:
    """An address whose connections, in turn, behave so."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            for behave in behaviours:
                with listener.accept()[0] as peer, contextlib.suppress(ConnectionError):
                    behave(peer)

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)  # ends accept
        thread.join()


def exchange_in_turn(url: str, *timeouts: float) -> list[bytes | BaseException]:
    async def main() -> list[bytes | BaseException]:
        connection = Connection([url], None)
        outcomes: list[bytes | BaseException] = []
        for timeout in timeouts:
            exchange = connection.exchange(b"message", timeout)
            outcomes += await asyncio.gather(exchange, return_exceptions=True)
        await connection.close()
        return outcomes

    return asyncio.run(main())


def test_messages_in_many_parts() -> None:
    with listening(echo) as url:
        assert exchange_in_turn(url, PATIENCE, PATIENCE) == [b"message", b"message"]


def test_a_silent_connection_is_replaced() -> None:
    with listening(keep_silent, echo) as url:
        first, second = exchange_in_turn(url, 3, PATIENCE)
    assert isinstance(first, DeadlineExceededError)
    assert second == b"message"


@pytest.mark.parametrize("behave", [answer_hugely, speak_as_a_sub])
def test_a_peer_that_breaks_the_rules_is_left(behave: Callable[[socket.socket], None]) -> None:
    with listening(behave, echo) as url:
        assert exchange_in_turn(url, PATIENCE) == [b"message"]


def test_closing_with_calls_in_flight_leaves_nothing() -> None:
    async def main() -> None:
        client = AsyncClient([url, "ws://127.0.0.1:9/rpc"])
        calls = [asyncio.create_task(client.create("s", "t", "{}")) for _ in range(100)]
        await asyncio.to_thread(reached.wait, PATIENCE)
        await client.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {getattr(outcome, "reason", "") for outcome in outcomes} == {"CLIENT_CLOSED"}
        assert len(asyncio.all_tasks()) == 1

    def keep_silent_and_tell(peer: socket.socket) -> None:
        reached.set()
        keep_silent(peer)

    before, reached = sockets(), threading.Event()
    with listening(keep_silent_and_tell) as url:
        asyncio.run(main())
    assert sockets() <= before


def test_a_client_that_was_not_closed_ends_with_its_loop_and_works_in_the_next() -> None:
    before = sockets()
    with listening(echo, echo, echo) as url:
        connection = Connection([url], None)
        for _ in range(3):
            assert asyncio.run(connection.exchange(b"message", PATIENCE)) == b"message"
    assert sockets() <= before


def sockets() -> int:
    """Open ones of this process; nng may close some of its own of earlier tests meanwhile."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            count += "socket" in os.readlink(f"/proc/self/fd/{name}")
    return count


def test_a_lost_connection_that_does_not_return() -> None:
    with listening(answer_hugely) as url:
        [outcome] = exchange_in_turn(url, 0.5)
    assert isinstance(outcome, UnavailableError)
    assert outcome.reason == "CONNECTION_LOST"
    assert "too large" in outcome.message


def test_a_peer_that_does_not_read_holds_up_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triggers_client._connection._SILENCE", PATIENCE)  # it is not replaced
    over = threading.Event()

    def keep_unread(peer: socket.socket) -> None:
        shake_hands(peer)
        over.wait(PATIENCE)

    async def main() -> None:
        connection = Connection([url], None)
        calls = [connection.exchange(bytes(8 << 20), 2) for _ in range(2)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, DeadlineExceededError) for outcome in outcomes)
        [late] = await asyncio.gather(connection.exchange(b"", 0.1), return_exceptions=True)
        assert "could not be sent" in str(late)
        await connection.close()

    with listening(keep_unread) as url:
        asyncio.run(main())
        over.set()


# ---- what may be repeated, and what waits ----


def test_a_request_that_may_not_be_repeated_is_sent_once() -> None:
    sent: list[bytes] = []

    def take_and_hang_up(peer: socket.socket) -> None:
        shake_hands(peer)
        sent.append(receive(peer))

    async def main() -> None:
        connection = Connection([url], None)
        with pytest.raises(UnavailableError) as caught:
            await connection.exchange(b"once", PATIENCE, repeatable=False)
        assert caught.value.reason == "CONNECTION_LOST"
        assert "the core closed the connection" in caught.value.message
        assert await connection.exchange(b"message", PATIENCE) == b"message"
        await connection.close()

    with listening(take_and_hang_up, echo) as url:
        asyncio.run(main())
    assert [message[4:] for message in sent] == [b"once"]


@pytest.mark.parametrize("waits", [False, True])
def test_the_silence_of_a_call_that_waits_is_suspicious_at_its_deadline(
    monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    monkeypatch.setattr("triggers_client._connection._RESEND", 0.1)
    monkeypatch.setattr("triggers_client._connection._SILENCE", 0.2)
    sent: list[bytes] = []

    def take(peer: socket.socket) -> None:
        shake_hands(peer)
        with contextlib.suppress(ConnectionError):
            while True:
                sent.append(receive(peer))

    async def main() -> bool:
        connection = Connection([url], None)
        with pytest.raises(DeadlineExceededError):
            await connection.exchange(b"message", 1, waits=waits)
        stands = any(link.stands for link in connection._links)
        await connection.close()
        return stands

    with listening(take, take) as url:
        stands = asyncio.run(main())
    assert not stands
    assert (len(sent) == 1) == waits
