"""What the conformance scenarios cannot say: cancelling, closing, threads, Python values."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
from conftest import PATIENCE, Core

from triggers_client import (
    AsyncClient,
    CancelledError,
    Client,
    Code,
    InvalidArgumentError,
    NewEvent,
    NotFoundError,
    TriggersError,
    UnauthenticatedError,
    UnavailableError,
    __version__,
    new_event_id,
)
from triggers_client.proto.triggers.v1 import events_pb2

Json = Any


class Point(NamedTuple):
    x: int
    y: int


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
            await asyncio.to_thread(core.got_slow.wait, PATIENCE)
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            assert (await client.create("s", "t", "{}")).event_id

    asyncio.run(main())


def test_closing_ends_calls_in_flight_and_refuses_more(core: Core) -> None:
    client = Client(core.url)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.create, "slow", "t", "{}")
        assert core.got_slow.wait(PATIENCE)
        client.close()
        with pytest.raises(CancelledError) as caught:
            call.result(PATIENCE)
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
            call.result(PATIENCE)


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


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_is_refused_and_does_not_hang(core: Core) -> None:
    with Client(core.url) as client:
        assert client.create("s", "t", "{}").event_id
        child = os.fork()
        if child == 0:
            try:
                client.create("s", "t", "{}")
            except CancelledError:
                client.close()
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert client.create("s", "t", "{}").event_id


@pytest.mark.parametrize(
    ("urls", "reason"),
    [
        ("http://127.0.0.1/rpc", "URL_INVALID"),
        ("", "URL_INVALID"),
        ("ws:///rpc", "URL_INVALID"),
        ("ws://127.0.0.1:70000/rpc", "URL_INVALID"),
        ("tcp://127.0.0.1", "URL_INVALID"),
        ("ipc://", "URL_INVALID"),
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


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ([123, 125], "payload is of the type list"),
        (5, "payload is of the type int"),
        (memoryview(b"{}"), "payload is of the type memoryview"),
        ({"a": [1, {"b": {2}}]}, "payload.a[1].b is of the type set"),
        ({"a": float("nan")}, "payload.a is nan"),
        ({"a": {1: 2}}, "payload.a has a key of the type int"),
        ({"a": Point(1, 2)}, "payload.a is of the type Point"),
        ({"a": 10**5000}, "payload cannot be written as JSON"),
    ],
)
def test_a_wrong_payload_is_told_by_place_and_type(core: Core, payload: Json, told: str) -> None:
    with Client(core.url) as client:
        with pytest.raises(InvalidArgumentError) as caught:
            client.create("s", "t", payload)
        assert caught.value.reason == "PAYLOAD_INVALID"
        assert caught.value.message.startswith(told)
        with pytest.raises(InvalidArgumentError) as caught:
            client.create_batch([NewEvent("s", "t", payload)])
        assert caught.value.reason == "PAYLOAD_INVALID"
        assert caught.value.violations[0].field.startswith("events[0].payload")
    assert core.payloads == []


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"delay": 90}, "delay"),
        ({"delay": timedelta(seconds=-1)}, "delay"),
        ({"delay": timedelta(milliseconds=1500)}, "delay"),
        ({"delay": timedelta(days=31, seconds=1)}, "delay"),
        ({"delay": timedelta(0), "deliver_at": datetime.now(timezone.utc)}, "delay"),
        ({"deliver_at": datetime.now()}, "deliver_at"),
        ({"deliver_at": "2026-01-31T12:00:00Z"}, "deliver_at"),
    ],
)
def test_a_wrong_time_of_delivery_is_refused(core: Core, given: Json, name: str) -> None:
    with Client(core.url) as client:
        with pytest.raises(InvalidArgumentError) as caught:
            client.create("s", "t", {}, **given)
        assert caught.value.reason == f"{name.upper()}_INVALID"
        with pytest.raises(InvalidArgumentError) as caught:
            client.create_batch([NewEvent("s", "t", {}, **given)])
        assert caught.value.violations[0].field == f"events[0].{name}"
    assert core.payloads == []


def test_options_that_are_none_are_refused(core: Core) -> None:
    options: list[dict[str, Any]] = [{"timeout": 0}, {"timeout": True}, {"name": 5}, {"urls": [5]}]
    for option in options:
        with pytest.raises(InvalidArgumentError) as caught:
            Client(**{"urls": core.url, **option})
        assert caught.value.reason == f"{next(iter(option)).upper()}_INVALID"


def test_an_error_class_of_the_program_is_not_raised_by_calls() -> None:
    class Gone(NotFoundError):
        pass

    assert type(TriggersError.of(Code.NOT_FOUND, "R", "m")) is NotFoundError


# ---- any call ----


def get_event(client: Client, **options: Json) -> events_pb2.GetEventResponse:
    request = events_pb2.GetEventRequest(event_id="evt_1")
    return client.call(
        "triggers.v1.EventService/GetEvent", request, events_pb2.GetEventResponse, **options
    )


def test_any_call_takes_the_methods_messages_alone(core: Core) -> None:
    get, answer = events_pb2.GetEventRequest(), events_pb2.GetEventResponse
    method = "triggers.v1.EventService/GetEvent"
    wrong: list[tuple[Json, Json, Json, str]] = [
        ("triggers.v1.EventService/Unheard", get, answer, "METHOD_UNKNOWN"),
        ("triggers.v1.EventService.GetEvent", get, answer, "METHOD_UNKNOWN"),
        ("", get, answer, "METHOD_UNKNOWN"),
        (5, get, answer, "METHOD_INVALID"),
        (method, events_pb2.AckEventRequest(), answer, "REQUEST_INVALID"),
        (method, b"", answer, "REQUEST_INVALID"),
        (method, get, events_pb2.AckEventResponse, "RESPONSE_INVALID"),
        (method, get, answer(), "RESPONSE_INVALID"),
    ]
    with Client(core.url) as client:
        for name, request, response, reason in wrong:
            with pytest.raises(InvalidArgumentError) as caught:
                client.call(name, request, response)
            assert caught.value.reason == reason
        for metadata in ({"a": 5}, {5: "a"}, [("a", "b")]):
            with pytest.raises(InvalidArgumentError) as caught:
                get_event(client, metadata=metadata)
            assert caught.value.reason == "METADATA_INVALID"
    assert core.metadata == []


def test_metadata_of_a_call_reaches_the_core(core: Core) -> None:
    with Client(core.url, name="tests/1") as client:
        request = events_pb2.CreateEventRequest(event_id="evt_1", payload=b"{}")
        method, response = "triggers.v1.EventService/CreateEvent", events_pb2.CreateEventResponse
        metadata = {"request-id": "r-1", "client": "another"}
        answer = client.call(method, request, response, metadata=metadata, timeout=PATIENCE)
        assert answer.event_id == "evt_1"
    told = {"request-id": "r-1", "client": f"tests/1 triggers-python/{__version__}"}
    assert core.metadata == [told]


# ---- keys ----

KEY = "trg_0123456789ab_" + "k" * 49


def keys_sent(core: Core) -> list[str | None]:
    return [metadata.get("authorization") for metadata in core.metadata]


def test_a_key_goes_with_every_call_and_is_shown_nowhere(core: Core) -> None:
    with Client(core.url, api_key=KEY) as client:
        client.create("s", "t", "{}")
        request = events_pb2.CreateEventRequest(event_id="evt_1", payload=b"{}")
        method, response = "triggers.v1.EventService/CreateEvent", events_pb2.CreateEventResponse
        client.call(method, request, response, metadata={"authorization": "another"})
        inside = client._client
        shown = [client, vars(client), inside, vars(inside), vars(inside._credentials)]
        assert KEY not in repr(shown)
    assert keys_sent(core) == [f"Bearer {KEY}"] * 2


def test_a_function_is_asked_for_the_key_of_each_call(core: Core) -> None:
    keys = iter(["a", "b", "c", "d"])

    async def supply() -> str:
        await asyncio.sleep(0)
        return next(keys)

    async def main() -> None:
        for api_key in (supply, lambda: next(keys)):
            async with AsyncClient(core.url, api_key=api_key) as client:
                await client.create("s", "t", "{}")

    asyncio.run(main())
    threads = []

    def supply_blocking() -> str:
        threads.append(threading.current_thread())
        return next(keys)

    with Client(core.url, api_key=supply_blocking) as client:
        client.create("s", "t", "{}")
        assert threads != [client._thread]
    assert keys_sent(core) == ["Bearer a", "Bearer b", "Bearer c"]


def test_the_environment_has_a_key(monkeypatch: pytest.MonkeyPatch, core: Core) -> None:
    for told, given in ((KEY, None), (KEY, "another"), ("", None)):
        monkeypatch.setenv("TRIGGERS_API_KEY", told)
        with Client(core.url, api_key=given) as client:
            client.create("s", "t", "{}")
    assert keys_sent(core) == [f"Bearer {KEY}", "Bearer another", None]


@pytest.mark.parametrize("key", ["", f"{KEY}\n", "ключ", 5, KEY.encode()])
def test_what_is_no_key_is_refused_and_not_shown(core: Core, key: Json) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Client(core.url, api_key=key)
    assert caught.value.reason == "API_KEY_INVALID"
    assert KEY not in str(caught.value)
    with (
        Client(core.url, api_key=lambda: key) as client,
        pytest.raises(InvalidArgumentError) as caught,
    ):
        client.create("s", "t", "{}")
    assert caught.value.reason == "API_KEY_INVALID"
    assert core.metadata == []


def test_a_function_that_fails_fails_the_call(core: Core) -> None:
    def supply() -> str:
        raise OSError(KEY)

    with Client(core.url, api_key=supply) as client, pytest.raises(UnauthenticatedError) as caught:
        client.create("s", "t", "{}")
    assert caught.value.reason == "KEY_UNAVAILABLE"
    assert isinstance(caught.value.__cause__, OSError)
    assert KEY not in str(caught.value)
    assert core.metadata == []
