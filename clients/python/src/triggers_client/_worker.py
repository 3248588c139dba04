"""Working on a subscription's events: pulls no more than it has handlers for, keeps their leases,
and settles what they have done."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar

from triggers_client import _arguments, _codec
from triggers_client._errors import Code, TriggersError
from triggers_client._settle import Gatherer
from triggers_client._types import Delivery

AsyncHandler: TypeAlias = Callable[[Delivery], Awaitable[object]]
OnError: TypeAlias = Callable[[TriggersError], object]

MAX_CONCURRENCY = 1000
LONGEST_LEASE = 43200  # seconds
_PULL_WAIT = _arguments.LONGEST_WAIT
_SAME_PULL = 60.0  # seconds in which a pull that is sent again gets the same events
_AT_ONCE, _REST = 0.5, 1.0  # seconds: an empty answer that came at once was not waited for
_BACKOFF_FIRST, _BACKOFF_MOST = 0.05, 2.0
_LONGEST_REASON = 1000  # characters
_T = TypeVar("_T")


class Caller(Protocol):
    """What a worker needs of a client."""

    _timeout: float

    async def _call(self, call: _codec.Call[Any, _T], timeout: float | None) -> _T: ...


class AsyncWorker:
    """Hands the events of a subscription to a handler, `concurrency` of them at once. An event is
    acknowledged when its handler returns, and comes again later when it raises. `run` works until
    `stop`; `async with` works in the background meanwhile."""

    def __init__(
        self,
        client: Caller,
        subscription: str,
        handler: AsyncHandler,
        concurrency: int,
        lease: int | None,
        on_error: OnError | None,
    ) -> None:
        self._client = client
        self._name = _arguments.text("subscription", subscription)
        self._handler = handler
        self._free = within("concurrency", concurrency, MAX_CONCURRENCY)
        self._lease = 0 if lease is None else within("lease", lease, LONGEST_LEASE)
        self._on_error = on_error
        self._freed = asyncio.Event()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()  # one for each delivery until it is settled
        self._pull_id = ""  # of a pull whose events are not begun
        self._gatherers: dict[tuple[str, str], Gatherer] = {}
        self._running: asyncio.Task[None] | None = None

    # ---- start and stop ----

    async def run(self) -> None:
        """Works until `stop`, and finishes what runs. A call that fails for good, as when there is
        no such subscription, raises. Cancelling it cancels the handlers and gives their events
        back."""
        try:
            await self._pull_all()
            self._add(self._release_under_way())
            await self._finish()
        except asyncio.CancelledError:
            for task in self._tasks:
                task.cancel()
            _background(self._release_under_way())
            raise
        finally:
            self._stop.set()
            await self._finish()

    async def _finish(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _add(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Begins nothing more and releases what a pull may still get; `run` returns when what runs
        is finished and settled."""
        self._stop.set()
        self._freed.set()

    async def __aenter__(self) -> AsyncWorker:
        self._running = asyncio.create_task(self.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if self._running is not None:
            await self._running

    async def wait(self) -> None:
        """Waits until it has stopped, within `async with`; raises why, if a call failed."""
        if self._running is not None:
            await asyncio.shield(self._running)

    # ---- pull ----

    async def _pull_all(self) -> None:
        while await self._wait_for_free():
            pull = asyncio.ensure_future(self._pull())
            stop = asyncio.ensure_future(self._stop.wait())
            try:
                await asyncio.wait({pull, stop}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stop.cancel()
                pull.cancel()
                pull.add_done_callback(_forget)
            if not self._stop.is_set():
                deliveries, again = pull.result()
                self._pull_id = ""
                self._begin(deliveries, again)

    async def _wait_for_free(self) -> bool:
        """Waits until a handler is free; False after stop."""
        while not self._stop.is_set() and not self._free:
            self._freed.clear()
            await self._freed.wait()
        return not self._stop.is_set()

    async def _read_lease(self) -> int:
        most = _BACKOFF_FIRST
        while True:
            try:
                return await self._client._call(_codec.lease_of(self._name), None)
            except TriggersError as error:
                most = await self._pause(error, most)

    async def _pull(self) -> tuple[list[Delivery], bool]:
        """What there is for the handlers that are free, and whether the pull was sent twice."""
        if not self._lease:
            self._lease = await self._read_lease()
        clock = asyncio.get_running_loop().time
        most, again, since = _BACKOFF_FIRST, False, clock()
        while True:
            sent = clock()
            if not again:
                self._pull_id, places, since = str(uuid.uuid4()), self._free, sent
            try:
                deliveries = await self._ask(places, self._pull_id)
                break
            except TriggersError as error:
                if not error.retryable:
                    self._pull_id = ""
                most = await self._pause(error, most)
            again = clock() - since < _SAME_PULL
        if not deliveries:
            self._pull_id = ""
            if clock() - sent < _AT_ONCE:
                await asyncio.sleep(_REST)
        return deliveries, again

    async def _ask(self, places: int, pull_id: str) -> list[Delivery]:
        """Makes the call of a pull. Cancelled, it releases what the call brings all the same."""
        request = _codec.pull(self._name, places, self._lease, _PULL_WAIT, pull_id)
        timeout = self._client._timeout + _PULL_WAIT
        call = asyncio.ensure_future(self._client._call(request, timeout))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            _background(self._release_late(call, pull_id))
            raise

    async def _pause(self, error: TriggersError, most: float) -> float:
        """Waits before a call is made again, and returns how long to wait at most the next time.
        Raises what cannot be mended so."""
        if not error.retryable:
            raise error
        self._tell(error)
        await asyncio.sleep(max(random.uniform(most / 2, most), error.retry_delay))
        return min(most * 2, _BACKOFF_MOST)

    async def _release_late(self, call: asyncio.Future[list[Delivery]], pull_id: str) -> None:
        if await call:
            await self._release_pull(pull_id)

    async def _release_under_way(self) -> None:
        pull_id, self._pull_id = self._pull_id, ""
        if pull_id:
            await self._release_pull(pull_id)

    async def _release_pull(self, pull_id: str) -> None:
        """Ends a pull that waits, and gives back what it got."""
        try:
            await self._client._call(_codec.release_pull(self._name, pull_id), None)
        except TriggersError as error:
            self._tell(error)

    async def _release(self, deliveries: Sequence[Delivery]) -> None:
        release = self._gatherer("Release")
        await asyncio.gather(*(release.settle(delivery.ack_id) for delivery in deliveries))

    # ---- handle ----

    def _begin(self, deliveries: Sequence[Delivery], again: bool) -> None:
        for delivery in deliveries:
            self._free -= 1
            self._add(self._work(delivery, again))

    async def _work(self, delivery: Delivery, again: bool) -> None:
        """Handles a delivery and settles it. Nothing is known of the age of a lease whose pull
        was sent again: it is extended at once."""
        handler = asyncio.ensure_future(_result_of(self._handler(delivery)))
        keeper = asyncio.ensure_future(
            self._keep(delivery, handler, 0 if again else self._lease / 3)
        )
        try:
            await asyncio.wait({handler})
        except asyncio.CancelledError:
            handler.cancel()
            await asyncio.wait({handler})
            if not delivery.lost.is_set():
                _background(self._release([delivery]))
            raise
        finally:
            keeper.cancel()
            self._free += 1
            self._freed.set()
        if delivery.lost.is_set():
            return
        failure = "cancelled" if handler.cancelled() else handler.result()
        settle = self._gatherer("Ack") if failure is None else self._gatherer("Nack", failure)
        self._tell(await settle.settle(delivery.ack_id))

    async def _keep(self, delivery: Delivery, handler: asyncio.Future[Any], wait: float) -> None:
        """Extends a lease while its handler runs. When it is lost, the handler is cancelled."""
        while True:
            await asyncio.sleep(wait)
            error = await self._gatherer("Extend").settle(delivery.ack_id)
            wait = self._lease / 3
            self._tell(error)
            if error is None or (error.retryable and error.reason != "LEASE_LOST"):
                continue
            if error.reason != "LEASE_TOO_LONG" and error.code != Code.CANCELLED:
                delivery.lost.set()
                handler.cancel()
            return

    def _gatherer(self, method: str, reason: str = "") -> Gatherer:
        """Failures with the same reason go together."""
        key = (method, reason)
        gatherer = self._gatherers.get(key)
        if gatherer is None:
            if len(self._gatherers) > MAX_CONCURRENCY:
                self._gatherers.clear()  # whoever waits in one has it

            async def send(ack_ids: Sequence[str]) -> Sequence[TriggersError | None]:
                lease = self._lease if method == "Extend" else 0
                call = _codec.settle(method, self._name, ack_ids, lease, reason)
                return await self._client._call(call, max(self._client._timeout, self._lease))

            gatherer = self._gatherers[key] = Gatherer(send)
        return gatherer

    def _tell(self, error: TriggersError | None) -> None:
        if error is not None and self._on_error is not None:
            self._on_error(error)


def within(name: str, value: int, most: int) -> int:
    number = _arguments.whole_number(name, value)
    if not 1 <= number <= most:
        raise _arguments.wrong(name, f"is {number}", f"1 to {most}")
    return number


async def _result_of(handling: Awaitable[object]) -> str | None:
    """Why a handler failed, None when it did not."""
    try:
        await handling
    except Exception as failure:
        return (str(failure) or type(failure).__name__)[:_LONGEST_REASON]
    return None


_in_background: set[asyncio.Task[None]] = set()


def _background(work: Coroutine[Any, Any, None]) -> None:
    """Does something that nobody waits for, unless the client is closed before."""

    task = asyncio.ensure_future(work)
    _in_background.add(task)
    task.add_done_callback(_in_background.discard)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    """Nobody wants to know how it ended."""
    if not task.cancelled():
        task.exception()
