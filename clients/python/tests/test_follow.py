"""Following the log: what the scenarios cannot say of stopping, cancelling and going on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from conftest import PATIENCE, Peer, free_port

from triggers_client import (
    AsyncClient,
    CancelledError,
    Client,
    Filter,
    InvalidArgumentError,
    OutOfRangeError,
)
from triggers_client.proto.triggers.rpc.v1 import envelope_pb2
from triggers_client.proto.triggers.v1 import events_pb2

END = 5
FIRST = 3  # what was before it is gone


class LogCore(Peer):
    """Has a log of END events, of which those before FIRST were removed; two make a page. Who waits
    at its end waits for ever."""

    def __init__(self) -> None:
        self.parked = threading.Event()
        self.asked: list[tuple[int, int, int]] = []  # position, wait, timeout
        super().__init__(f"tcp://127.0.0.1:{free_port()}", self._list)

    def _list(self, message: bytes) -> bytes | None:
        envelope = envelope_pb2.Request.FromString(message)
        request = events_pb2.ListEventsRequest.FromString(envelope.body)
        after = request.after_sequence
        self.asked.append((after, request.wait_ms, envelope.timeout_ms))
        if after == END:
            self.parked.set()
            return None
        response = envelope_pb2.Response()
        if 0 < after < FIRST - 1:
            response.code = envelope_pb2.OUT_OF_RANGE
            response.details.first_sequence = FIRST
        else:
            response.body = page_after(max(after, FIRST - 1)).SerializeToString()
        return response.SerializeToString()


def page_after(after: int) -> events_pb2.ListEventsResponse:
    page = events_pb2.ListEventsResponse(first_sequence=FIRST)
    for sequence in range(after + 1, min(after + 2, END) + 1):
        event = page.events.add(
            event_id=f"evt_{sequence}", sequence=sequence, status="EVENT_STATUS_PENDING"
        )
        event.created_at.GetCurrentTime()
        page.next_after = sequence
    return page


@pytest.fixture
def core() -> Iterator[LogCore]:
    core = LogCore()
    yield core
    core.close()


def test_a_follower_is_stopped_from_another_thread_while_it_waits(core: LogCore) -> None:
    with Client(core.url, timeout=60) as client, ThreadPoolExecutor(1) as pool:
        follower = client.follow()
        found = pool.submit(lambda: [event.sequence for event in follower])
        assert core.parked.wait(PATIENCE)
        follower.stop()
        assert found.result(PATIENCE) == [3, 4, 5]
        assert follower.next_after == END
        assert not list(follower)
    assert [after for after, _, _ in core.asked] == [0, 4, 5]
    assert all(wait == 20_000 and 79_000 < timeout <= 80_000 for _, wait, timeout in core.asked)


def test_the_position_is_that_of_the_last_event_taken(core: LogCore) -> None:
    with Client(core.url) as client:
        follower = client.follow(after=3)
        assert follower.next_after == 3
        assert next(follower).sequence == 4
        assert follower.next_after == 4
        follower.stop()
        assert follower.next_after == 4
        assert [event.sequence for event in client.list_events(4).events] == [5]


def test_closing_the_client_ends_its_followers(core: LogCore) -> None:
    client = Client(core.url)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(lambda: list(client.follow(END)))
        assert core.parked.wait(PATIENCE)
        client.close()
        with pytest.raises(CancelledError):
            found.result(PATIENCE)


def test_a_follower_of_asyncio_is_stopped_and_its_task_cancelled(core: LogCore) -> None:
    async def main() -> None:
        async with AsyncClient(core.url, timeout=60) as client:
            follower = client.follow(4)
            found: list[int] = []

            async def follow() -> None:
                async for event in follower:
                    found.append(event.sequence)

            task = asyncio.create_task(follow())
            await asyncio.to_thread(core.parked.wait, PATIENCE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            core.parked.clear()
            task = asyncio.create_task(follow())  # goes on where it was
            await asyncio.to_thread(core.parked.wait, PATIENCE)
            follower.stop()
            await asyncio.wait_for(task, PATIENCE)
            assert found == [5]

    asyncio.run(main())
    assert [after for after, _, _ in core.asked] == [4, 5, 5]


def test_a_removed_position_says_where_the_log_begins_and_another_goes_on(core: LogCore) -> None:
    with Client(core.url) as client:
        with pytest.raises(OutOfRangeError) as caught:
            next(client.follow(1))
        assert caught.value.first_sequence == FIRST
        assert next(client.follow(caught.value.first_sequence - 1)).sequence == FIRST


def test_a_failed_follower_goes_on_where_it_was(core: LogCore) -> None:
    with Client(core.url) as client:
        follower = client.follow(END, wait=0.1)
        follower._log._read = failing_once(follower._log._read)
        with pytest.raises(CancelledError):
            next(follower)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(core.parked.wait, PATIENCE).add_done_callback(lambda _: follower.stop())
            assert not list(follower)
    assert [after for after, _, _ in core.asked] == [END]


def failing_once(read: Callable[[int], Any]) -> Callable[[int], Any]:
    failures = [CancelledError("TEST", "once")]

    async def fail_or_read(after: int) -> Any:  # noqa: ANN401
        if failures:
            raise failures.pop()
        return await read(after)

    return fail_or_read


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"after": 2**63}, "after is 9223372036854775808"),
        ({"filter": {"sources": ["crm"]}}, "filter is of the type dict"),
        ({"filter": Filter(sources="crm")}, "filter.sources is of the type str"),
        ({"filter": Filter(from_time=datetime(2026, 1, 1))}, "filter.from_time has no time zone"),
        ({"wait": -1}, "wait is -1"),
    ],
)
def test_wrong_arguments_are_told_before_the_first_step(wrong: dict[str, Any], told: str) -> None:
    with Client("ws://127.0.0.1:9/rpc") as client:
        for call in (client.follow, client.list_events):
            with pytest.raises(InvalidArgumentError) as caught:
                call(**wrong)
            assert told in caught.value.message


def test_stopping_is_at_once(core: LogCore) -> None:
    with Client(core.url) as client:
        follower = client.follow()
        assert next(follower).sequence == FIRST  # of a page of two
        follower.stop()
        assert not list(follower)
        assert follower.next_after == FIRST
