"""Workers: what the scenarios cannot say of stopping and cancelling."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import PATIENCE, Peer, free_port

from triggers_client import AsyncClient, Client, Delivery, InvalidArgumentError, TriggersError
from triggers_client.proto.triggers.rpc.v1 import envelope_pb2
from triggers_client.proto.triggers.v1 import events_pb2
from triggers_client.proto.triggers.v1 import subscriptions_pb2 as subscriptions


class SubscriptionCore(Peer):
    """Gives out one event; the pull after it is parked until `released`, and then gets another."""

    def __init__(self) -> None:
        self.pulls: list[str] = []  # their ids
        self.parked, self.released = threading.Event(), threading.Event()
        self.settled: list[tuple[str, list[str]]] = []
        self.gave_back = threading.Semaphore(0)
        super().__init__(f"tcp://127.0.0.1:{free_port()}", self._answer_call)

    def _answer_call(self, message: bytes) -> bytes:
        envelope = envelope_pb2.Request.FromString(message)
        method = envelope.method.partition("/")[2]
        answer = (self._pull if method == "Pull" else self._settle)(method, envelope.body)
        return envelope_pb2.Response(body=answer.SerializeToString()).SerializeToString()

    def _pull(self, _: str, body: bytes) -> Any:  # noqa: ANN401
        self.pulls.append(subscriptions.PullRequest.FromString(body).pull_id)
        if len(self.pulls) > 1:
            self.parked.set()
            self.released.wait(PATIENCE)
        answer = subscriptions.PullResponse()
        delivery = answer.deliveries.add(ack_id=f"ack-{len(self.pulls)}", delivery_attempt=1)
        delivery.event.event_id, delivery.event.status = "evt_1", events_pb2.EVENT_STATUS_PENDING
        delivery.event.created_at.GetCurrentTime()
        delivery.lease_expires_at.GetCurrentTime()
        return answer

    def _settle(self, method: str, body: bytes) -> Any:  # noqa: ANN401
        request = subscriptions.AckRequest.FromString(body)  # the others have its fields too
        self.settled.append((method, list(request.ack_ids)))
        if method == "Release":
            pull_id = subscriptions.ReleaseRequest.FromString(body).pull_id
            if pull_id:
                self.settled[-1] = (method, [pull_id])
            self.gave_back.release()
        results = [subscriptions.SettleResult() for _ in request.ack_ids]
        return subscriptions.AckResponse(results=results)


@pytest.fixture
def core() -> Iterator[SubscriptionCore]:
    core = SubscriptionCore()
    yield core
    core.released.set()
    core.close()


def test_what_a_pull_brings_after_the_stop_is_released(core: SubscriptionCore) -> None:
    with Client(core.url) as client:
        with client.worker("w", lambda _: None, concurrency=2, lease=30):
            assert core.parked.wait(PATIENCE)
        under_way = ("Release", core.pulls[1:])
        assert sorted(core.settled) == [("Ack", ["ack-1"]), under_way]
        assert core.gave_back.acquire(timeout=PATIENCE)
        core.released.set()
        assert core.gave_back.acquire(timeout=PATIENCE)
    assert core.settled[2:] == [under_way]


def test_a_cancelled_run_releases_its_pull(core: SubscriptionCore) -> None:
    async def main() -> None:
        async def handle(_: Delivery) -> None:
            pass

        async with AsyncClient(core.url) as client:
            run = asyncio.create_task(client.worker("w", handle, lease=30).run())
            assert await asyncio.to_thread(core.parked.wait, PATIENCE)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert await asyncio.to_thread(core.gave_back.acquire, timeout=PATIENCE)

    asyncio.run(main())
    assert ("Release", core.pulls[1:]) in core.settled


def test_a_handler_may_stop_its_worker(core: SubscriptionCore) -> None:
    with Client(core.url) as client:
        worker = client.worker("w", lambda _: worker.stop(), lease=30)
        with worker:
            worker.wait()
    assert core.settled == [("Ack", ["ack-1"])]


def test_an_ended_run_cancels_handlers_and_gives_back(core: SubscriptionCore) -> None:
    async def main() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def handle(_: Delivery) -> None:
            begun.set()
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                ended.set()

        async with AsyncClient(core.url) as client:
            run = asyncio.create_task(client.worker("w", handle, lease=30).run())
            await asyncio.wait_for(begun.wait(), PATIENCE)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert ended.is_set()
            assert await asyncio.to_thread(core.gave_back.acquire, timeout=PATIENCE)

    asyncio.run(main())
    assert core.settled == [("Release", ["ack-1"])]


def test_failed_calls_are_told_and_made_again() -> None:
    failures: list[TriggersError] = []
    told = threading.Event()

    def tell(error: TriggersError) -> None:
        failures.append(error)
        told.set()

    url = f"tcp://127.0.0.1:{free_port()}"
    with (
        Client(url, timeout=0.2) as client,
        client.worker("w", lambda _: None, on_error=tell),
    ):
        assert told.wait(PATIENCE)
    assert failures[0].reason == "CORE_UNREACHABLE"


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"concurrency": 1001}, {"lease": 0}])
def test_numbers_that_cannot_be(options: dict[str, Any]) -> None:
    with Client("tcp://127.0.0.1:1") as client, pytest.raises(InvalidArgumentError):
        client.worker("w", lambda _: None, **options)
