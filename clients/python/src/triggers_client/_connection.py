"""The connection: one nng REQ socket with a dialer an address. nng connects and reconnects by
itself, spreads requests over the connections that stand, and sends again what a dropped one had in
flight."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pynng

from triggers_client._errors import (
    CancelledError,
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    UnavailableError,
)

SCHEMES = ("ws", "wss", "tcp", "tls+tcp", "ipc")
_MAX_ANSWER = 16 << 20  # a page has at most 8 MiB of payloads, and what belongs to them
# A peer that vanished without closing is noticed by nothing else. Repeats are safe: ids are kept.
_RESEND_MS = 5000
_RECONNECT_MS = (50, 1000)
_MAX_IDLE_CONTEXTS = 256


def _dialled(url: str) -> list[str]:
    """nng tries one address of a name only, so localhost is dialled on IPv4 and on IPv6."""
    parts = urlsplit(url)
    if parts.hostname != "localhost":
        return [url]
    port = f":{parts.port}" if parts.port else ""
    return [urlunsplit(parts._replace(netloc=host + port)) for host in ("127.0.0.1", "[::1]")]


class Connection:
    """Bytes there, bytes back, within a deadline; for the tasks of one event loop."""

    def __init__(self, urls: Sequence[str], ca_file: str | None) -> None:
        self._urls = ", ".join(urls)
        self._pipes = 0
        self._pipes_lock = threading.Lock()
        self._idle: list[Any] = []
        self._closed = False
        self._socket: Any = pynng.Req0(
            async_backend="asyncio",
            recv_max_size=_MAX_ANSWER,
            resend_time=_RESEND_MS,
            reconnect_time_min=_RECONNECT_MS[0],
            reconnect_time_max=_RECONNECT_MS[1],
        )
        self._socket.add_post_pipe_connect_cb(lambda _pipe: self._count(1))
        self._socket.add_post_pipe_remove_cb(lambda _pipe: self._count(-1))
        try:
            for url in urls:
                self._dial(url, ca_file)
        except BaseException:
            self._socket.close()
            raise

    def _count(self, change: int) -> None:
        with self._pipes_lock:
            self._pipes += change

    def _dial(self, url: str, ca_file: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            message = f"{url!r} is no address; accepted are the schemes {', '.join(SCHEMES)}"
            raise InvalidArgumentError("URL_INVALID", message)
        if parts.scheme in ("wss", "tls+tcp"):
            if not ca_file:
                message = f"{url} needs ca_file, the certificates to trust"
                raise InvalidArgumentError("TLS_CA_MISSING", message)
            # Taken by the dialers made from here on.
            self._socket.tls_config = pynng.TLSConfig(
                pynng.TLSConfig.MODE_CLIENT, server_name=parts.hostname, ca_files=ca_file
            )
        try:
            for each in _dialled(url):
                self._socket.dial(each, block=False)
        except pynng.NNGException as error:
            raise InvalidArgumentError("URL_INVALID", f"cannot dial {url}: {error}") from error

    def check_open(self) -> None:
        if self._closed:
            raise _closed()

    async def exchange(self, message: bytes, seconds: float) -> bytes:
        """Sends a request and returns its answer, both within `seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        self.check_open()
        context = self._idle.pop() if self._idle else self._socket.new_context()
        reusable = False
        try:
            await self._within(context.asend(message), seconds, self._unsent)
            left = max(deadline - loop.time(), 0.0)
            answer: bytes = await self._within(context.arecv(), left, self._unanswered)
            reusable = len(self._idle) < _MAX_IDLE_CONTEXTS and not self._closed
            return answer
        finally:
            if reusable:
                self._idle.append(context)
            else:
                with contextlib.suppress(pynng.NNGException):
                    context.close()

    async def _within(self, operation: Any, seconds: float, late: Any) -> Any:  # noqa: ANN401
        # A task of its own: pynng's operations swallow a cancellation that comes as they complete.
        task = asyncio.ensure_future(operation)
        task.add_done_callback(_ignore_outcome)
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        try:
            return task.result()
        except asyncio.CancelledError:
            raise late() from None
        except pynng.Closed:
            raise _closed() from None
        except pynng.NNGException as error:
            raise InternalError("TRANSPORT", f"the call could not be sent: {error}") from error

    def _unsent(self) -> Exception:
        if self._pipes > 0:
            return DeadlineExceededError("DEADLINE_EXCEEDED", "the call could not be sent in time")
        message = f"no connection to triggersd at {self._urls}; check that it runs there"
        return UnavailableError("CORE_UNREACHABLE", message)

    def _unanswered(self) -> Exception:
        after = "the call may or may not have been done; sending it again is safe"
        if self._pipes > 0:
            return DeadlineExceededError("DEADLINE_EXCEEDED", f"no answer in time; {after}")
        return UnavailableError("CONNECTION_LOST", f"the connection was lost; {after}")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for context in self._idle:
            with contextlib.suppress(pynng.NNGException):
                context.close()
        self._idle.clear()
        # Waits for callbacks of nng's threads: not on the loop that they talk to.
        await asyncio.get_running_loop().run_in_executor(None, self._socket.close)


def _ignore_outcome(task: asyncio.Future[Any]) -> None:
    """Marks an exception as seen, whether or not the caller still waits for it."""
    if not task.cancelled():
        task.exception()


def _closed() -> CancelledError:
    return CancelledError("CLIENT_CLOSED", "the client was closed")
