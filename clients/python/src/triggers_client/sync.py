"""The blocking client: the asyncio client on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar

from google.protobuf.message import Message

from triggers_client._arguments import LONGEST_WAIT, elements
from triggers_client._errors import CancelledError
from triggers_client._follow import Log
from triggers_client._key import ApiKey, AsyncApiKey
from triggers_client._types import (
    Acknowledged,
    AckResult,
    Created,
    CreateResult,
    Delivery,
    Erased,
    Event,
    EventStatus,
    Filter,
    Health,
    KindPage,
    LogPage,
    NewEvent,
    Order,
    Page,
    Payload,
)
from triggers_client._worker import AsyncWorker, OnError
from triggers_client.aio import DEFAULT_TIMEOUT, AsyncClient

_M = TypeVar("_M", bound=Message)
_T = TypeVar("_T")
_LOOK = 1.0  # seconds


class Client:
    """A client for any number of threads, which share its connection. Options and behaviour are
    those of AsyncClient; a function `api_key` is called on a thread of its own."""

    def __init__(
        self,
        urls: str | Sequence[str] | None = None,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        name: str | None = None,
        api_key: ApiKey | None = None,
    ) -> None:
        self._client = AsyncClient(
            urls, ca_file=ca_file, timeout=timeout, name=name, api_key=_on_a_thread(api_key)
        )
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="triggers-client", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends calls of other threads with CancelledError and disconnects. May be called again."""
        with self._lock:
            if not self._usable():
                return
            self._closed = True
        _result_of(asyncio.run_coroutine_threadsafe(self._end(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _usable(self) -> bool:
        # A forked process has the client, but not its thread.
        return not self._closed and self._thread.is_alive()

    async def _end(self) -> None:
        await self._client.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    def create(
        self,
        source: str,
        event_type: str,
        payload: Payload,
        *,
        event_id: str | None = None,
        idempotency_key: str | None = None,
        ordering_key: str | None = None,
        deliver_at: datetime | None = None,
        delay: timedelta | None = None,
        timeout: float | None = None,
    ) -> Created:
        """Stores one event. The same id or key and content again answers as the first time. For
        `ordering_key`, `deliver_at` and `delay` see NewEvent."""
        return self._run(
            self._client.create(
                source,
                event_type,
                payload,
                event_id=event_id,
                idempotency_key=idempotency_key,
                ordering_key=ordering_key,
                deliver_at=deliver_at,
                delay=delay,
                timeout=timeout,
            )
        )

    def create_batch(
        self, events: Iterable[NewEvent], *, timeout: float | None = None
    ) -> list[CreateResult]:
        """Stores 1 to 1000 events; a result for each, in order: Created or TriggersError."""
        return self._run(self._client.create_batch(elements("events", events), timeout=timeout))

    def get(self, event_id: str, *, timeout: float | None = None) -> Event:
        """Reads one event."""
        return self._run(self._client.get(event_id, timeout=timeout))

    def inbox_page(
        self,
        *,
        status: EventStatus = EventStatus.PENDING,
        order: Order = Order.NEWEST_FIRST,
        page_size: int = 0,
        page_token: str = "",
        filter: Filter | None = None,
        timeout: float | None = None,
    ) -> Page:
        """Reads a page of up to 1000 events, 50 unless `page_size` says otherwise."""
        return self._run(
            self._client.inbox_page(
                status=status,
                order=order,
                page_size=page_size,
                page_token=page_token,
                filter=filter,
                timeout=timeout,
            )
        )

    def inbox(
        self,
        *,
        status: EventStatus = EventStatus.PENDING,
        order: Order = Order.NEWEST_FIRST,
        page_size: int = 0,
        filter: Filter | None = None,
        timeout: float | None = None,
    ) -> Iterator[Event]:
        """Iterates over all events of a status, page after page; the timeout is a page's."""
        token = ""
        while True:
            page = self.inbox_page(
                status=status,
                order=order,
                page_size=page_size,
                page_token=token,
                filter=filter,
                timeout=timeout,
            )
            yield from page.events
            token = page.next_page_token
            if not token:
                return

    def list_events(
        self,
        after: int = 0,
        *,
        filter: Filter | None = None,
        page_size: int = 0,
        wait: float = 0,
        timeout: float | None = None,
    ) -> LogPage:
        """Reads the log after a position; see AsyncClient.list_events."""
        return self._run(
            self._client.list_events(
                after, filter=filter, page_size=page_size, wait=wait, timeout=timeout
            )
        )

    def follow(
        self,
        after: int = 0,
        *,
        filter: Filter | None = None,
        page_size: int = 0,
        wait: float = LONGEST_WAIT,
    ) -> Follower:
        """Iterates over the log after a position, and waits at its end for more. `wait` is that of
        one call; the iteration goes on after it."""
        follower = self._client.follow(after, filter=filter, page_size=page_size, wait=wait)
        return Follower(self, follower.log)

    def worker(
        self,
        subscription: str,
        handler: Callable[[Delivery], object],
        *,
        concurrency: int = 1,
        lease: int | None = None,
        on_error: OnError | None = None,
    ) -> Worker:
        """Works on the events of a subscription, each handler on a thread of its own; see
        AsyncClient.worker. When a lease is lost, the delivery's `lost` is set. `on_error` is called
        on the client's thread, and must not block."""
        return Worker(self, subscription, handler, concurrency, lease, on_error)

    def list_kinds(
        self, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> KindPage:
        """Reads a page of the kinds that events have or had; see AsyncClient.list_kinds."""
        return self._run(
            self._client.list_kinds(page_size=page_size, page_token=page_token, timeout=timeout)
        )

    def ack(self, event_id: str, *, timeout: float | None = None) -> Acknowledged:
        """Acknowledges one event; again answers with the first time."""
        return self._run(self._client.ack(event_id, timeout=timeout))

    def ack_batch(
        self, event_ids: Iterable[str], *, timeout: float | None = None
    ) -> list[AckResult]:
        """Acknowledges 1 to 1000 events; a result for each, in order."""
        ids = elements("event_ids", event_ids)
        return self._run(self._client.ack_batch(ids, timeout=timeout))

    def erase(self, event_id: str, *, timeout: float | None = None) -> Erased:
        """Removes the payload of one event for good; see AsyncClient.erase."""
        return self._run(self._client.erase(event_id, timeout=timeout))

    def health(self, *, timeout: float | None = None) -> Health:
        """Asks whether events can be stored and read now."""
        return self._run(self._client.health(timeout=timeout))

    def call(
        self,
        method: str,
        request: Message,
        response: type[_M],
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> _M:
        """Makes any call; see AsyncClient.call."""
        return self._run(
            self._client.call(method, request, response, timeout=timeout, metadata=metadata)
        )

    def _start(self, call: Coroutine[Any, Any, _T]) -> Future[_T]:
        with self._lock:
            if not self._usable():
                call.close()
                raise CancelledError("CLIENT_CLOSED", "the client was closed")
            return asyncio.run_coroutine_threadsafe(call, self._loop)

    def _run(self, call: Coroutine[Any, Any, _T]) -> _T:
        future = self._start(call)
        try:
            return _result_of(future)
        except BaseException:
            future.cancel()  # of an interrupted wait, such as by Ctrl-C
            raise

    def _tell(self, what: Callable[[], None]) -> None:
        """Has the client's thread do something."""
        with self._lock:
            if self._usable():
                self._loop.call_soon_threadsafe(what)


class Follower:
    """Iterates over the log, and waits at its end for more: each event once, in order. `next_after`
    is the position after the event that was given last: who saves it, goes on from there with
    `follow`. A call that fails raises its error; iterating again goes on where it was. For one
    thread at a time."""

    def __init__(self, client: Client, log: Log) -> None:
        self._client = client
        self._log = log

    @property
    def next_after(self) -> int:
        return self._log.after

    def __iter__(self) -> Follower:
        return self

    def __next__(self) -> Event:
        while True:
            event = self._log.take()
            if event is not None:
                return event
            if not self._client._run(self._log.fetch()):
                raise StopIteration

    def stop(self) -> None:
        """Ends the iteration, also one that waits in another thread."""
        self._log.stop()
        self._client._tell(self._log.cancel)


class Worker:
    """Works on the events of a subscription while its `with` is open: the handler is called with
    each, `concurrency` of them at once on as many threads. An event is acknowledged when its
    handler returns, and comes again later when it raises. Leaving `with` finishes what runs."""

    def __init__(
        self,
        client: Client,
        subscription: str,
        handler: Callable[[Delivery], object],
        concurrency: int,
        lease: int | None,
        on_error: OnError | None,
    ) -> None:
        self._client = client
        self._handler = handler
        self._worker = AsyncWorker(
            client._client, subscription, self._handle, concurrency, lease, on_error
        )
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="triggers-worker")
        self._running: Future[None] | None = None

    def __enter__(self) -> Worker:
        self._running = self._client._start(self._worker.run())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        try:
            self.wait()
        finally:
            self._threads.shutdown()

    def wait(self) -> None:
        """Waits until it has stopped; raises why, if a call failed for good."""
        if self._running is not None:
            _result_of(self._running)

    def stop(self) -> None:
        """Begins nothing more, and does not wait. From any thread, a handler's too."""
        self._client._tell(self._worker.stop)

    async def _handle(self, delivery: Delivery) -> None:
        """A thread cannot be cancelled: it is told, and keeps its place until it has ended."""
        loop = asyncio.get_running_loop()
        handling = loop.run_in_executor(self._threads, self._handler, delivery)
        try:
            await asyncio.shield(handling)
        except asyncio.CancelledError:
            delivery.lost.set()
            await asyncio.wait({handling})
            raise


def _on_a_thread(api_key: ApiKey | None) -> AsyncApiKey | None:
    """A function may block; the event loop may not."""
    if not callable(api_key):
        return api_key
    supply = api_key

    async def supplied() -> str:
        return await asyncio.get_running_loop().run_in_executor(None, supply)

    return supplied


def _result_of(future: Future[_T]) -> _T:
    """Waits for the result. Ctrl-C does not wake a wait without a limit that begins just when it is
    pressed: the interpreter looks for signals between waits."""
    while True:
        try:
            return future.result(_LOOK)
        except TimeoutError:
            if future.done():
                return future.result()
