"""Settling deliveries: those that are settled alike at about the same time go in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from triggers_client import _codec
from triggers_client._errors import TriggersError

Send: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[TriggersError | None]]]


class Gatherer:
    """One kind of settlement. While a call is under way, ids gather for the next."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[tuple[str, asyncio.Future[TriggersError | None]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def settle(self, ack_id: str) -> TriggersError | None:
        """None when it was done; else why it was not, be it the call that failed."""
        result: asyncio.Future[TriggersError | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((ack_id, result))
        if self._sender is None:
            self._sender = asyncio.ensure_future(self._send_all())
        return await result

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: _codec.MAX_BATCH]
                del self._waiting[: _codec.MAX_BATCH]
                results = await self._results([ack_id for ack_id, _ in batch])
                for (_, waits), result in zip(batch, results, strict=True):
                    if not waits.done():
                        waits.set_result(result)
        finally:
            self._sender = None

    async def _results(self, ack_ids: list[str]) -> Sequence[TriggersError | None]:
        try:
            return await self._send(ack_ids)
        except TriggersError as error:
            return [error] * len(ack_ids)
