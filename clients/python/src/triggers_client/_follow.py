"""Following the log: events one after another, and calls that wait when there are none."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from triggers_client._types import Event, LogPage


class Log:
    """A place in the log, what was read after it, and the call that reads on; of one event loop."""

    def __init__(self, after: int, read: Callable[[int], Awaitable[LogPage]]) -> None:
        self.after = after  # everything up to here was taken
        self._read = read
        self._events: deque[Event] = deque()
        self._read_to = after  # everything up to here was read
        self._call: asyncio.Future[LogPage] | None = None
        self._stopped = False

    def take(self) -> Event | None:
        """The next event that was read, None when there is none."""
        if self._stopped or not self._events:
            return None
        event = self._events.popleft()
        self.after = event.sequence if self._events else self._read_to
        return event

    async def fetch(self) -> bool:
        """Waits for what comes next, which may be nothing; False after stop."""
        if self._stopped:
            return False
        self._call = asyncio.ensure_future(self._read(self._read_to))
        try:
            await asyncio.wait({self._call})
        finally:
            self._call.cancel()  # when this task was cancelled
        if self._call.cancelled():
            return False
        page = self._call.result()
        self._events.extend(page.events)
        self._read_to = page.next_after
        if not self._events:
            self.after = self._read_to
        return True

    def stop(self) -> None:
        """From any thread; what waits ends with `cancel`."""
        self._stopped = True

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()


class AsyncFollower:
    """Iterates over the log, and waits at its end for more: each event once, in order. `next_after`
    is the position after the event that was given last: who saves it, goes on from there with
    `follow`. A call that fails raises its error; iterating again goes on where it was."""

    def __init__(self, log: Log) -> None:
        self.log = log

    @property
    def next_after(self) -> int:
        return self.log.after

    def __aiter__(self) -> AsyncFollower:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = self.log.take()
            if event is not None:
                return event
            if not await self.log.fetch():
                raise StopAsyncIteration

    def stop(self) -> None:
        """Ends the iteration, also one that waits in another task."""
        self.log.stop()
        self.log.cancel()
