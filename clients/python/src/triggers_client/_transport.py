"""SP's mappings: a connection to a core that carries whole messages, over WebSocket or over a byte
stream. Which messages those are, and connecting again, is for _connection.py."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.headers import build_host
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from triggers_client._address import Address

_MAX_ANSWER = 16 << 20  # a page has at most 8 MiB of payloads, and what belongs to them
_KEEPALIVE = 30  # seconds after which the system looks for a peer that vanished
# SP over WebSocket: the sub-protocol is named after the peer, a binary message is a message.
# nng sends frames of this size, and takes none of more than 1 MiB.
_MAX_FRAME = 64 << 10
_SUB_PROTOCOL = Subprotocol("rep.sp.nanomsg.org")
# SP over a byte stream: what each side, a REQ and a REP, opens with. Then every message follows its
# length in 64 bits, on ipc after a byte that says "message".
_HELLO_REQ = b"\0SP\0\0\x30\0\0"
_HELLO_REP = b"\0SP\0\0\x31\0\0"
_IPC_MESSAGE = b"\x01"


class HostRefusedError(ConnectionError):
    """nng that listens on an IP address knows no other Host, so not localhost, for example."""


class _Framing(Protocol):
    """How messages become bytes and bytes become messages."""

    opened: bool  # whether the peer's part of the handshake came

    def hello(self) -> bytes: ...

    def encode(self, message: bytes) -> bytes: ...

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The messages that end in these bytes. Raises when the peer went wrong, or away."""

    def unsent(self) -> bytes:
        """What is to be sent because of what was decoded."""


class _Stream:
    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._header_size = len(prefix) + 8
        self._buffer = bytearray()
        self.opened = False

    def hello(self) -> bytes:
        return _HELLO_REQ

    def encode(self, message: bytes) -> bytes:
        return b"".join((self._prefix, len(message).to_bytes(8, "big"), message))

    def decode(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        begin, buffer = 0, self._buffer
        if not self.opened and len(buffer) >= len(_HELLO_REP):
            begin = len(_HELLO_REP)
            if buffer[:begin] != _HELLO_REP:
                raise ConnectionError("the peer does not speak SP as a REP")
            self.opened = True
        while self.opened and len(buffer) >= (body := begin + self._header_size):
            end = body + self._size(buffer[begin:body])
            if len(buffer) < end:
                break
            yield bytes(buffer[body:end])
            begin = end
        del buffer[:begin]

    def _size(self, header: bytearray) -> int:
        size = int.from_bytes(header[-8:], "big")
        if not header.startswith(self._prefix) or size > _MAX_ANSWER:
            raise ConnectionError("the peer sent no message of SP, or one that is too large")
        return size

    def unsent(self) -> bytes:
        return b""


class _WebSocket:
    def __init__(self, url: str, host: str) -> None:
        self._protocol = ClientProtocol(
            parse_uri(url), subprotocols=[_SUB_PROTOCOL], max_size=_MAX_ANSWER
        )
        self._host = host
        self._parts: list[bytes] = []
        self.opened = False

    def hello(self) -> bytes:
        request = self._protocol.connect()
        if self._host:
            del request.headers["Host"]
            request.headers["Host"] = self._host
        self._protocol.send_request(request)
        return self.unsent()

    def encode(self, message: bytes) -> bytes:
        last = len(message) <= _MAX_FRAME
        self._protocol.send_binary(message[:_MAX_FRAME], fin=last)
        for begin in range(_MAX_FRAME, len(message), _MAX_FRAME):
            end = begin + _MAX_FRAME
            self._protocol.send_continuation(message[begin:end], fin=end >= len(message))
        return self.unsent()

    def decode(self, data: bytes) -> Iterator[bytes]:
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        if not self.opened:
            self._check_handshake()
        for event in events:
            if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                self._parts.append(bytes(event.data))
                if event.fin:
                    yield b"".join(self._parts)
                    self._parts.clear()
        if self._protocol.close_expected():
            problem = self._protocol.parser_exc
            raise ConnectionError(str(problem or "the core closed the connection"))

    def _check_handshake(self) -> None:
        problem = self._protocol.handshake_exc
        if isinstance(problem, InvalidStatus) and problem.response.status_code == 404:
            raise HostRefusedError("the server knows no such host or path")
        if problem is not None:
            raise ConnectionError(str(problem)) from problem
        self.opened = self._protocol.state is State.OPEN
        if self.opened and self._protocol.subprotocol != _SUB_PROTOCOL:
            raise ConnectionError(f"the server does not speak {_SUB_PROTOCOL}")

    def unsent(self) -> bytes:
        return b"".join(self._protocol.data_to_send())


class Link(asyncio.Protocol):
    """One connection, from its dial to its end. `host` is sent in place of the URL's, if given.
    `deliver` is given every message, `on_usable` is called when messages can be sent (again)."""

    def __init__(
        self,
        address: Address,
        host: str,
        deliver: Callable[[bytes], None],
        on_usable: Callable[[], None],
    ) -> None:
        self._address = address
        self._framing: _Framing
        if address.scheme in ("ws", "wss"):
            self._framing = _WebSocket(address.url, host)
        else:
            self._framing = _Stream(_IPC_MESSAGE if address.scheme == "ipc" else b"")
        self._deliver = deliver
        self._on_usable = on_usable
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[Exception | None] = self._loop.create_future()
        self._lost: asyncio.Future[Exception] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._problem: Exception | None = None
        self._full = False
        self._outgoing: list[bytes] = []
        self._silent_since: float | None = None
        self.peer = ""  # the IP address and port at the other end
        self.answered = False  # whether a message ever came

    async def open(self) -> None:
        """Connects and shakes hands."""
        address, loop = self._address, self._loop
        if address.scheme == "ipc":
            await loop.create_unix_connection(lambda: self, address.path)
        else:
            await loop.create_connection(lambda: self, address.host, address.port, ssl=address.tls)
        problem = await self._opened
        if problem is not None:
            raise problem

    @property
    def usable(self) -> bool:
        """Whether it stands and takes messages now."""
        return self.stands and not self._full

    @property
    def stands(self) -> bool:
        return self._framing.opened and self._problem is None

    def send(self, message: bytes) -> None:
        """Only while usable."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)  # with what else is sent meanwhile
        self._outgoing.append(self._framing.encode(message))
        if self._silent_since is None:
            self._silent_since = self._loop.time()

    def silent_for(self) -> float:
        """For how many seconds nothing came that should have."""
        return 0.0 if self._silent_since is None else self._loop.time() - self._silent_since

    def drop(self, why: Exception) -> None:
        """Ends the connection at once: a farewell would wait for a peer that may be dead."""
        if self._problem is None:
            self._problem = why
            if self._transport is not None:
                self._transport.abort()

    async def wait_lost(self) -> Exception:
        await asyncio.wait({self._lost})
        return self._lost.result()

    async def close(self) -> None:
        """Drops it, and returns when nothing of it is left."""
        self.drop(ConnectionError("the client was closed"))
        if self._transport is not None:
            await self.wait_lost()

    def _flush(self) -> None:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self._write(data)

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and self._problem is None:
            self._transport.write(data)

    # ---- what the event loop calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        _keep_alive(transport.get_extra_info("socket"))
        if self._address.host:
            host, port = transport.get_extra_info("peername")[:2]
            self.peer = build_host(host, port, self._address.tls is not None)
        if self._problem is None:
            self._write(self._framing.hello())
        else:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._silent_since = None
        problem = None
        try:
            for message in self._framing.decode(data):
                self.answered = True
                self._deliver(message)
        except ConnectionError as error:
            problem = error
        self._write(self._framing.unsent())
        if problem is not None:
            self.drop(problem)
        elif self._framing.opened and not self._opened.done():
            self._opened.set_result(None)
            self._on_usable()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._on_usable()

    def connection_lost(self, error: Exception | None) -> None:
        self.drop(error or ConnectionError("the core closed the connection"))
        assert self._problem is not None
        for future in (self._opened, self._lost):
            if not future.done():
                future.set_result(self._problem)


def _keep_alive(sock: socket.socket) -> None:
    """Finds peers that vanished, and keeps idle connections known to what is between."""
    with contextlib.suppress(OSError):  # sockets in the file system have none of it
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _KEEPALIVE * 1000)
