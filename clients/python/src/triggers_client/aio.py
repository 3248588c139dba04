"""The asyncio client."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from triggers_client import _arguments, _codec
from triggers_client._connection import Connection
from triggers_client._errors import (
    AbortedError,
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)
from triggers_client._follow import AsyncFollower, Log
from triggers_client._key import AsyncApiKey, Credentials
from triggers_client._methods import Method, find_method
from triggers_client._types import (
    Acknowledged,
    AckResult,
    Created,
    CreateResult,
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
from triggers_client._version import __version__
from triggers_client._worker import AsyncHandler, AsyncWorker, OnError
from triggers_client.proto.triggers.rpc.v1 import envelope_pb2

DEFAULT_URL = "ws://127.0.0.1:7300/rpc"
DEFAULT_TIMEOUT = 10.0
MAX_MESSAGE = 10_551_296  # bytes; a core takes 8 MiB unless larger payloads are set for it
_BACKOFF_FIRST, _BACKOFF_MOST = 0.05, 2.0
_LEAST_TRY = 0.05  # seconds: with less left, another try would only hide the answer that came
_M = TypeVar("_M", bound=Message)
_T = TypeVar("_T")


def addresses(urls: str | Sequence[str] | None) -> list[str]:
    """A list of addresses from what the caller gave: one, several, or none (TRIGGERS_CORE)."""
    if urls is None:
        urls = os.environ.get("TRIGGERS_CORE") or DEFAULT_URL
    if isinstance(urls, str):
        urls = urls.split(",")
    given = enumerate(_arguments.elements("urls", urls))
    found = [_arguments.text(f"urls[{index}]", url).strip() for index, url in given]
    if not found:
        raise InvalidArgumentError("URL_MISSING", "a client needs at least one address")
    return found


class AsyncClient:
    """A client for the tasks of one event loop; it may be shared by all of them.

    `urls`: one address or several (ws, wss, tcp, tls+tcp, ipc), among which the calls spread; by
    default TRIGGERS_CORE, or ws://127.0.0.1:7300/rpc. `ca_file`: PEM certificates to trust, for wss
    and tls+tcp. `timeout`: seconds of calls that give none. `name`: this program and its version,
    for the core's log. `api_key`: the key of all calls, or a function, also a coroutine function,
    that gives the current one and is called once for each call; by default TRIGGERS_API_KEY. When
    the function raises, so does the call: UnauthenticatedError, KEY_UNAVAILABLE.

    It connects with the first call and reconnects by itself. A call that is answered UNAVAILABLE,
    RESOURCE_EXHAUSTED or ABORTED is tried again within its deadline; a create keeps its event id,
    so it is stored once. Failures raise TriggersError, wrong arguments InvalidArgumentError before
    anything is sent; cancelling the task cancels the call. The core ends a try after 30 seconds
    with DeadlineExceededError, which ends the call."""

    def __init__(
        self,
        urls: str | Sequence[str] | None = None,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        name: str | None = None,
        api_key: AsyncApiKey | None = None,
    ) -> None:
        self._timeout = _arguments.seconds("timeout", timeout)
        self._name = f"{_arguments.text('name', name)} " if name is not None else ""
        self._name += f"triggers-python/{__version__}"
        self._credentials = Credentials(api_key)
        self._connection = Connection(addresses(urls), os.fspath(ca_file) if ca_file else None)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends calls in flight with CancelledError and disconnects. May be called again."""
        await self._connection.close()

    async def create(
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
        event = NewEvent(
            source, event_type, payload, event_id, idempotency_key, ordering_key, deliver_at, delay
        )
        return await self._call(_codec.create(event), timeout)

    async def create_batch(
        self,
        events: Iterable[NewEvent],
        *,
        timeout: float | None = None,
    ) -> list[CreateResult]:
        """Stores 1 to 1000 events; a result for each, in order: Created or TriggersError."""
        return await self._call(_codec.create_batch(_batch("events", events)), timeout)

    async def get(
        self,
        event_id: str,
        *,
        timeout: float | None = None,
    ) -> Event:
        """Reads one event."""
        return await self._call(_codec.get(event_id), timeout)

    async def inbox_page(
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
        call = _codec.list_inbox(status, order, page_size, page_token, filter)
        return await self._call(call, timeout)

    async def inbox(
        self,
        *,
        status: EventStatus = EventStatus.PENDING,
        order: Order = Order.NEWEST_FIRST,
        page_size: int = 0,
        filter: Filter | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Event]:
        """Iterates over all events of a status, page after page; the timeout is a page's."""
        token = ""
        while True:
            page = await self.inbox_page(
                status=status,
                order=order,
                page_size=page_size,
                page_token=token,
                filter=filter,
                timeout=timeout,
            )
            for event in page.events:
                yield event
            token = page.next_page_token
            if not token:
                return

    async def list_events(
        self,
        after: int = 0,
        *,
        filter: Filter | None = None,
        page_size: int = 0,
        wait: float = 0,
        timeout: float | None = None,
    ) -> LogPage:
        """Reads the log after a position, 0 for its beginning: up to 1000 events, 50 unless
        `page_size` says otherwise. When there is nothing, the answer comes as soon as there is, or
        after `wait` seconds, at most 20, for which a call without a timeout has so much more time.
        A position after which events were removed raises OutOfRangeError."""
        call = _codec.list_events(after, filter, page_size, wait)
        if timeout is None:
            timeout = self._timeout + _arguments.wait("wait", wait)
        return await self._call(call, timeout)

    def follow(
        self,
        after: int = 0,
        *,
        filter: Filter | None = None,
        page_size: int = 0,
        wait: float = _arguments.LONGEST_WAIT,
    ) -> AsyncFollower:
        """Iterates over the log after a position, and waits at its end for more. `wait` is that of
        one call; the iteration goes on after it."""
        _codec.list_events(after, filter, page_size, wait)  # says now what is wrong

        def read(position: int) -> Coroutine[Any, Any, LogPage]:
            return self.list_events(position, filter=filter, page_size=page_size, wait=wait)

        return AsyncFollower(Log(after, read))

    def worker(
        self,
        subscription: str,
        handler: AsyncHandler,
        *,
        concurrency: int = 1,
        lease: int | None = None,
        on_error: OnError | None = None,
    ) -> AsyncWorker:
        """Works on the events of a subscription: `handler` is called with a Delivery for each, and
        at most `concurrency` of them run at once. `lease`: the seconds after which an event comes
        again when this program has vanished, by default the subscription's; it is extended while
        the handler runs, and when it is lost the handler is cancelled. `on_error` is told of calls
        that failed and are made again, and of outcomes that could not be stored."""
        return AsyncWorker(self, subscription, handler, concurrency, lease, on_error)

    async def list_kinds(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> KindPage:
        """Reads a page of the kinds, the pairs of source and event type, that events have or had:
        up to 1000, 50 unless `page_size` says otherwise."""
        return await self._call(_codec.list_kinds(page_size, page_token), timeout)

    async def ack(
        self,
        event_id: str,
        *,
        timeout: float | None = None,
    ) -> Acknowledged:
        """Acknowledges one event; again answers with the first time."""
        return await self._call(_codec.ack(event_id), timeout)

    async def ack_batch(
        self,
        event_ids: Iterable[str],
        *,
        timeout: float | None = None,
    ) -> list[AckResult]:
        """Acknowledges 1 to 1000 events; a result for each, in order."""
        return await self._call(_codec.ack_batch(_batch("event_ids", event_ids)), timeout)

    async def erase(
        self,
        event_id: str,
        *,
        timeout: float | None = None,
    ) -> Erased:
        """Removes the payload of one event for good; it cannot be undone. The event keeps its place
        in the log and its status, and its create sent again answers as before. Erasing again
        changes nothing."""
        return await self._call(_codec.erase(event_id), timeout)

    async def health(
        self,
        *,
        timeout: float | None = None,
    ) -> Health:
        """Asks whether events can be stored and read now."""
        return await self._call(_codec.health(), timeout)

    # ---- any call ----

    async def call(
        self,
        method: str,
        request: Message,
        response: type[_M],
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> _M:
        """Makes any call: `method` is its full name, such as "triggers.v1.EventService/GetEvent",
        `request` its request and `response` the class of its response, both of the modules below
        triggers_client.proto. `metadata` goes with the request: the core logs "request-id" and
        "traceparent". A method that may not be repeated is sent once: its failures are raised."""
        found = find_method(_arguments.text("method", method))
        found.check(request, response)
        loop = asyncio.get_running_loop()
        seconds = self._timeout if timeout is None else _arguments.seconds("timeout", timeout)
        deadline = loop.time() + seconds
        given = _arguments.texts("metadata", metadata or {})
        own = {"client": self._name, **await self._credentials.metadata()}
        envelope = envelope_pb2.Request(
            method=method,
            metadata={**given, **own},
            body=request.SerializeToString(),
        )
        most = _BACKOFF_FIRST
        renewed = False
        while True:
            wait = 0.0
            try:
                body = await self._try(found, envelope, deadline - loop.time())
                return response.FromString(body)
            except DecodeError as error:
                raise _malformed(method, error) from error
            except UnauthenticatedError:
                refused = envelope.metadata.get("authorization", "")
                own = {} if renewed else await self._credentials.other_than(refused)
                if not own:
                    raise
                renewed = True
                envelope.metadata.update(own)
            except (UnavailableError, ResourceExhaustedError, AbortedError) as error:
                wait = max(random.uniform(most / 2, most), error.retry_delay)
                if not found.repeatable or loop.time() + wait + _LEAST_TRY >= deadline:
                    raise
                most = min(most * 2, _BACKOFF_MOST)
            await asyncio.sleep(wait)
            self._connection.check_open()

    async def _try(self, method: Method, envelope: envelope_pb2.Request, left: float) -> bytes:
        """One try; the body of its answer."""
        envelope.timeout_ms = min(max(int(left * 1000), 1), 2**32 - 1)
        request = envelope.SerializeToString()
        if len(request) > MAX_MESSAGE:
            message = f"the request has {len(request)} bytes, over the limit of {MAX_MESSAGE}"
            raise InvalidArgumentError("MESSAGE_TOO_LARGE", message)
        answer = await self._connection.exchange(
            request, max(left, 0.0), repeatable=method.repeatable, waits=method.waits
        )
        response = envelope_pb2.Response.FromString(answer)
        if response.code != 0:
            raise _codec.read_error(response.code, response.message, response.details)
        return response.body

    async def _call(self, call: _codec.Call[_M, _T], timeout: float | None) -> _T:
        answer = await self.call(call.method, call.request, call.response, timeout=timeout)
        try:
            return call.read(answer)
        except ValueError as error:
            raise _malformed(call.method, error) from error


def _malformed(method: str, error: Exception) -> InternalError:
    return InternalError("ANSWER_MALFORMED", f"the answer to {method} cannot be read: {error}")


def _batch(name: str, items: Iterable[_T]) -> list[_T]:
    batch = _arguments.elements(name, items)
    if not 1 <= len(batch) <= _codec.MAX_BATCH:
        message = f"a batch has 1 to {_codec.MAX_BATCH} elements, not {len(batch)}"
        raise InvalidArgumentError("BATCH_SIZE_INVALID", message)
    return batch
