"""One connection to a core. Which messages go over it, and connecting again, is for _connection.py;
their framing for _framing.py."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from typing import cast

from websockets.headers import build_host

from triggers_client._address import Address
from triggers_client._framing import framing_of

_KEEPALIVE = 30  # seconds after which the system looks for a peer that vanished


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
        self._framing = framing_of(address, host)
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
        self._heard_at = 0.0
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

    def send(self, message: bytes, *, answered_soon: bool = True) -> None:
        """Only while usable. A message that is not `answered_soon` makes no silence suspicious."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)  # with what else is sent meanwhile
        self._outgoing.append(self._framing.encode(message))
        if self._silent_since is None and answered_soon:
            self._silent_since = self._loop.time()

    def silent_for(self, sent_at: float) -> float:
        """For how many seconds nothing came that should have, to a call that was sent then and is
        due, or to another."""
        since = self._silent_since
        if since is None and self._heard_at < sent_at:
            since = sent_at
        return 0.0 if since is None else self._loop.time() - since

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
        self._heard_at = self._loop.time()
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
