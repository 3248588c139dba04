"""What the conformance scenarios cannot say: cancelling, closing, threads, Python values."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pynng
import pytest

from triggers_client import (
    AsyncClient,
    CancelledError,
    Client,
    InvalidArgumentError,
    UnavailableError,
    new_event_id,
)
from triggers_client.proto.triggers.rpc.v1 import envelope_pb2
from triggers_client.proto.triggers.v1 import events_pb2


class Core:
    """Answers creates, but silently keeps those whose source is "slow"."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"ws://127.0.0.1:{probe.getsockname()[1]}/rpc"
        self.payloads: list[bytes] = []
        self.got_slow = threading.Event()
        self.socket = pynng.Rep0(listen=self.url, recv_max_size=1 << 24)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                request = envelope_pb2.Request.FromString(self.socket.recv())
            except pynng.NNGException:
                return
            create = events_pb2.CreateEventRequest.FromString(request.body)
            if create.source == "slow":
                self.got_slow.set()
                continue
            self.payloads.append(create.payload)
            answer = events_pb2.CreateEventResponse(event_id=create.event_id)
            answer.created_at.FromNanoseconds(1_700_000_000_123_456_000)
            body = answer.SerializeToString()
            self.socket.send(envelope_pb2.Response(body=body).SerializeToString())


@pytest.fixture
def core() -> Iterator[Core]:
    core = Core()
    yield core
    core.socket.close()
    core.thread.join()


def test_payloads_go_as_they_are_and_mappings_as_json(core: Core) -> None:
    with Client(core.url) as client:
        for payload in (b'{"a":1e400}', '{"é": 1}', {"é": [1, None], "b": "x"}):
            created = client.create("s", "t", payload)
            assert created.created_at.isoformat() == "2023-11-14T22:13:20.123456+00:00"
    assert core.payloads == [b'{"a":1e400}', '{"é": 1}'.encode(), '{"é":[1,null],"b":"x"}'.encode()]


def test_a_cancelled_task_cancels_its_call_and_no_other(core: Core) -> None:
    async def main() -> None:
        async with AsyncClient(core.url) as client:
            slow = asyncio.create_task(client.create("slow", "t", "{}"))
            await asyncio.to_thread(core.got_slow.wait, 20)
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            assert (await client.create("s", "t", "{}")).event_id

    asyncio.run(main())


def test_closing_ends_calls_in_flight_and_refuses_more(core: Core) -> None:
    client = Client(core.url)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.create, "slow", "t", "{}")
        assert core.got_slow.wait(20)
        client.close()
        with pytest.raises(CancelledError) as caught:
            call.result(20)
    assert caught.value.reason == "CLIENT_CLOSED"
    with pytest.raises(CancelledError):
        client.health()
    client.close()


def test_closing_while_a_call_waits_for_a_connection() -> None:
    client = Client("ws://127.0.0.1:9/rpc", timeout=60)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.create, "s", "t", "{}")
        while not call.running():
            time.sleep(0.001)
        client.close()
        with pytest.raises(CancelledError):
            call.result(20)


def test_threads_share_a_client(core: Core) -> None:
    with Client(core.url) as client, ThreadPoolExecutor(16) as pool:
        made = pool.map(lambda n: client.create("s", "t", {"n": n}).event_id, range(500))
        assert len(set(made)) == 500


def test_threads_make_distinct_ids_that_ascend() -> None:
    def make(_: int) -> list[str]:
        return [new_event_id() for _ in range(1000)]

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(make, range(8)))
    assert all(each == sorted(each) for each in ids)
    assert len({event_id for each in ids for event_id in each}) == 8000


def test_an_abandoned_client_leaves_no_thread_behind_after_close(core: Core) -> None:
    before = threading.active_count()
    for _ in range(3):
        with Client(core.url) as client:
            client.create("s", "t", "{}")
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("urls", "reason"),
    [
        ("http://127.0.0.1/rpc", "URL_INVALID"),
        ("", "URL_INVALID"),
        ([], "URL_MISSING"),
        ("wss://127.0.0.1:1/rpc", "TLS_CA_MISSING"),
    ],
)
def test_bad_addresses_are_refused_at_once(urls: str | list[str], reason: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Client(urls)
    assert caught.value.reason == reason


def test_the_environment_names_the_core(monkeypatch: pytest.MonkeyPatch, core: Core) -> None:
    monkeypatch.setenv("TRIGGERS_CORE", f"ws://127.0.0.1:9/rpc, {core.url}")
    with Client() as client:
        assert client.create("s", "t", "{}").event_id
    monkeypatch.setenv("TRIGGERS_CORE", "ws://127.0.0.1:9/rpc")
    with Client() as client, pytest.raises(UnavailableError):
        client.health(timeout=0.1)
