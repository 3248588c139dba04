"""The calls of a client and its connections: keeps every address connected, spreads calls over the
connections that stand, and sends again what a dropped one had in flight."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from triggers_client._address import Address, parse_all
from triggers_client._errors import CancelledError, DeadlineExceededError, UnavailableError
from triggers_client._framing import HostRefusedError
from triggers_client._link import Link

_CONNECT_SECONDS = 5.0
_RECONNECT_FIRST, _RECONNECT_MOST = 0.05, 1.0
# Without an answer for so long a call goes out again, on the next connection if there are several;
# not one that waits or may not be repeated.
_RESEND = 5.0
# A core answers every call by its deadline: a call that got no answer, and a connection on which
# nothing else came for so long, mean that the peer vanished without closing. While a call waits,
# silence says nothing of other calls.
_SILENCE = 1.0
_REQUEST_ID_BIT = 1 << 31  # SP marks a request's id by the top bit


@dataclass(eq=False)
class _Call:
    """A request under way."""

    request_id: int
    message: bytes
    deadline: float
    answer: asyncio.Future[bytes]
    repeatable: bool
    waits: bool
    timer: asyncio.TimerHandle | None = None
    link: Link | None = None  # that it went out on; None: it waits for one
    sent: bool = False
    sent_at: float = 0.0


class Connection:
    """Bytes there, bytes back, within a deadline; for the tasks of one event loop."""

    def __init__(self, urls: Sequence[str], ca_file: str | None) -> None:
        self._addresses = parse_all(urls, ca_file)
        self._urls = ", ".join(urls)
        self._problem = ""  # why there was last no connection, for people
        self._closed = False
        self._last_id = random.getrandbits(31)
        self._turn = random.getrandbits(8)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._links: list[Link] = []
        self._calls: dict[int, _Call] = {}
        self._waiting: dict[int, _Call] = {}

    def check_open(self) -> None:
        if self._closed:
            raise _closed()

    async def exchange(
        self, request: bytes, seconds: float, *, repeatable: bool = True, waits: bool = False
    ) -> bytes:
        """Sends a request and returns its answer, both within `seconds`. What is said of its method
        is told in options.proto."""
        self.check_open()
        loop = self._start()
        self._last_id = (self._last_id + 1) % _REQUEST_ID_BIT
        request_id = self._last_id | _REQUEST_ID_BIT
        message = request_id.to_bytes(4, "big") + request
        deadline, answer = loop.time() + seconds, loop.create_future()
        call = _Call(request_id, message, deadline, answer, repeatable, waits)
        self._calls[request_id] = call
        self._send(call)
        self._set_timer(call)
        try:
            return await call.answer
        finally:
            if call.timer:
                call.timer.cancel()
            self._calls.pop(request_id, None)
            self._waiting.pop(request_id, None)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(_closed())
        if self._loop is asyncio.get_running_loop():
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def _start(self) -> asyncio.AbstractEventLoop:
        """Begins to connect, with the first call in an event loop; what was of another is gone."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._links, self._calls, self._waiting = [], {}, {}
            self._tasks = [loop.create_task(self._keep(each)) for each in self._addresses]
        return loop

    # ---- calls ----

    def _send(self, call: _Call) -> None:
        """Sends a call in its turn of the connections, or keeps it until there is one."""
        if call.answer.done():
            return
        usable = [link for link in self._links if link.usable]
        if usable:
            self._turn += 1
            call.link = usable[self._turn % len(usable)]
            call.link.send(call.message, answered_soon=not call.waits)
            call.sent = True
            call.sent_at = call.answer.get_loop().time()
        else:
            call.link = None
            self._waiting[call.request_id] = call

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for call in waiting.values():
            self._send(call)

    def _deliver(self, message: bytes) -> None:
        """Takes an answer. Nobody may wait for it any more, or it may be the second to one call."""
        call = self._calls.get(int.from_bytes(message[:4], "big"))
        if call and not call.answer.done():
            call.answer.set_result(message[4:])

    def _set_timer(self, call: _Call) -> None:
        loop = call.answer.get_loop()
        resends = call.repeatable and not call.waits
        if resends and loop.time() + _RESEND < call.deadline:
            call.timer = loop.call_later(_RESEND, self._resend, call)
        else:
            call.timer = loop.call_at(call.deadline, self._expire, call)

    def _resend(self, call: _Call) -> None:
        if call.link:
            self._send(call)
        self._set_timer(call)

    def _expire(self, call: _Call) -> None:
        if call.answer.done():
            return
        call.answer.set_exception(self._late(call))
        if call.link and call.link.silent_for(call.sent_at) >= _SILENCE:
            call.link.drop(ConnectionError("the core did not answer"))

    def _lost(self, call: _Call) -> Exception:
        message = f"the connection was lost ({self._problem}); {_doubt(call)}"
        return UnavailableError("CONNECTION_LOST", message)

    def _late(self, call: _Call) -> Exception:
        if call.link:
            message = f"no answer in time; {_doubt(call)}"
            return DeadlineExceededError("DEADLINE_EXCEEDED", message)
        if any(link.stands for link in self._links):
            return DeadlineExceededError("DEADLINE_EXCEEDED", "the call could not be sent in time")
        if call.sent:
            return self._lost(call)
        message = f"no connection to triggersd at {self._urls}; check that it runs there"
        if self._problem:
            message += f" ({self._problem})"
        return UnavailableError("CORE_UNREACHABLE", message)

    # ---- connections ----

    async def _keep(self, address: Address) -> None:
        """Keeps an address connected until it is cancelled."""
        host, most = "", _RECONNECT_FIRST
        while True:
            link = Link(address, host, self._deliver, self._send_waiting)
            self._links.append(link)
            try:
                problem = await _end_of(link)
                self._problem = f"{address.url}: {problem}"
            finally:
                await link.close()
                self._remove(link)
            if isinstance(problem, HostRefusedError):
                host = "" if host else link.peer
                if host:
                    continue
            if link.answered:
                most = _RECONNECT_FIRST
            await asyncio.sleep(random.uniform(most / 2, most))
            most = min(most * 2, _RECONNECT_MOST)

    def _remove(self, link: Link) -> None:
        """Forgets a connection; others get what was under way on it and may be repeated."""
        if link in self._links:
            self._links.remove(link)
        for call in self._calls.values():
            if call.link is not link:
                continue
            if call.repeatable:
                self._send(call)
            elif not call.answer.done():
                call.answer.set_exception(self._lost(call))


async def _end_of(link: Link) -> Exception:
    """Connects, and returns why that failed or the connection was lost."""
    try:
        await _within(_CONNECT_SECONDS, link.open())
        return await link.wait_lost()
    except Exception as error:
        return error


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    """asyncio.wait_for, but for its fault before Python 3.12, which loses a cancellation that comes
    as the work is done."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        failure = None if task.cancelled() else task.exception()  # which counts as seen
    if task.cancelled():
        raise ConnectionError(f"no connection within {seconds:.0f} seconds")
    if failure:
        raise failure


def _doubt(call: _Call) -> str:
    after = "the call may or may not have been done"
    return f"{after}; sending it again is safe" if call.repeatable else after


def _closed() -> CancelledError:
    return CancelledError("CLIENT_CLOSED", "the client was closed")
