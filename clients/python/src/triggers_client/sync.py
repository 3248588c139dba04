"""The blocking client: the asyncio client on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from google.protobuf.message import Message

from triggers_client._arguments import elements
from triggers_client._errors import CancelledError
from triggers_client._types import (
    Acknowledged,
    AckResult,
    Created,
    CreateResult,
    Event,
    EventStatus,
    Health,
    NewEvent,
    Order,
    Page,
    Payload,
)
from triggers_client.aio import DEFAULT_TIMEOUT, AsyncClient

_M = TypeVar("_M", bound=Message)
_T = TypeVar("_T")


class Client:
    """A client for any number of threads, which share its connection. Options and behaviour are
    those of AsyncClient."""

    def __init__(
        self,
        urls: str | Sequence[str] | None = None,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        name: str | None = None,
    ) -> None:
        self._client = AsyncClient(urls, ca_file=ca_file, timeout=timeout, name=name)
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
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
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
        timeout: float | None = None,
    ) -> Created:
        """Stores one event. The same id or key and content again answers as the first time."""
        return self._run(
            self._client.create(
                source,
                event_type,
                payload,
                event_id=event_id,
                idempotency_key=idempotency_key,
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
        timeout: float | None = None,
    ) -> Page:
        """Reads a page of up to 1000 events, 50 unless `page_size` says otherwise."""
        return self._run(
            self._client.inbox_page(
                status=status,
                order=order,
                page_size=page_size,
                page_token=page_token,
                timeout=timeout,
            )
        )

    def inbox(
        self,
        *,
        status: EventStatus = EventStatus.PENDING,
        order: Order = Order.NEWEST_FIRST,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[Event]:
        """Iterates over all events of a status, page after page; the timeout is a page's."""
        token = ""
        while True:
            page = self.inbox_page(
                status=status, order=order, page_size=page_size, page_token=token, timeout=timeout
            )
            yield from page.events
            token = page.next_page_token
            if not token:
                return

    def ack(self, event_id: str, *, timeout: float | None = None) -> Acknowledged:
        """Acknowledges one event; again answers with the first time."""
        return self._run(self._client.ack(event_id, timeout=timeout))

    def ack_batch(
        self, event_ids: Iterable[str], *, timeout: float | None = None
    ) -> list[AckResult]:
        """Acknowledges 1 to 1000 events; a result for each, in order."""
        ids = elements("event_ids", event_ids)
        return self._run(self._client.ack_batch(ids, timeout=timeout))

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

    def _run(self, call: Coroutine[Any, Any, _T]) -> _T:
        with self._lock:
            if not self._usable():
                call.close()
                raise CancelledError("CLIENT_CLOSED", "the client was closed")
            future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # of an interrupted wait, such as by Ctrl-C
            raise
