"""Executes clients/conformance through the public API: the blocking client, or --aio."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import os
import sys
import threading
import time
import uuid
from array import array
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

import triggers_client as tc
from triggers_client.proto.triggers.health.v1 import health_pb2
from triggers_client.proto.triggers.rpc.v1 import envelope_pb2
from triggers_client.proto.triggers.stats.v1 import stats_pb2
from triggers_client.proto.triggers.v1 import access_pb2, subscriptions_pb2

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
Json = Any


class Failure(Exception):
    """A step did not go as its scenario says."""


# ---- values, paths, patterns ----


def look_up(value: Json, path: list[str]) -> Json:
    """What a path leads to; None when it is not there."""
    for index, name in enumerate(path):
        if isinstance(value, list):
            if name == "*":
                return [look_up(element, path[index + 1 :]) for element in value]
            value = value[int(name)] if int(name) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(name)
        else:
            return None
    return value


def payload_of_size(size: int) -> str:
    return '{"a":"' + "x" * (size - 8) + '"}'


def expand(value: Json, variables: dict[str, Json]) -> Json:
    """Puts in variables and generated values."""
    if isinstance(value, str) and value.startswith("$"):
        name, *path = value[1:].split(".")
        return look_up(variables[name], path)
    if isinstance(value, list):
        expanded: list[Json] = []
        for element in value:
            times = element.get("$repeat", None) if isinstance(element, dict) else None
            if times is None:
                expanded.append(expand(element, variables))
            else:
                expanded += [expand(element["value"], variables)] * times
        return expanded
    if isinstance(value, dict):
        if "$payload_size" in value:
            return payload_of_size(value["$payload_size"])
        if "$base64" in value:
            return base64.b64decode(value["$base64"])
        if "$reversed" in value:
            return list(reversed(expand(value["$reversed"], variables)))
        if "$plus" in value:
            return sum(expand(value["$plus"], variables))
        return {name: expand(member, variables) for name, member in value.items()}
    return value


def fits(pattern: Json, value: Json) -> bool:
    if isinstance(pattern, dict):
        [(name, wanted)] = pattern.items()
        if name == "$any":
            return value not in (None, "", [])
        if name == "$not":
            return bool(value != wanted)
        if name == "$count":
            return isinstance(value, list) and len(value) == wanted
        if name == "$between":
            return isinstance(value, int) and wanted[0] <= value <= wanted[1]
        if name == "$same_elements":
            return isinstance(value, list) and sorted(value) == sorted(wanted)
        raise Failure(f"no pattern is called {name}")
    return bool(pattern == value)


def shorten(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) < 300 else text[:300] + "…"


# ---- what calls return, as the scenarios name it ----


def microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // timedelta(microseconds=1)


def error_json(error: tc.TriggersError) -> Json:
    return {
        "code": error.code.name,
        "reason": error.reason,
        "message": error.message,
        "fields": [violation.field for violation in error.violations],
        "retry_delay_ms": round(error.retry_delay * 1000),
        "retryable": error.retryable,
        "first_sequence": error.first_sequence,
    }


def result_json(result: Json) -> Json:
    if isinstance(result, tc.TriggersError):
        return {"error": error_json(result)}
    if isinstance(result, tc.Created):
        return {
            "event_id": result.event_id,
            "created_at": microseconds(result.created_at),
            "sequence": result.sequence,
        }
    if isinstance(result, tc.Acknowledged):
        at = microseconds(result.acknowledged_at)
        return {"event_id": result.event_id, "acknowledged_at": at}
    if isinstance(result, tc.Erased):
        return {"event_id": result.event_id, "sequence": result.sequence}
    if isinstance(result, tc.Event):
        return {
            "event_id": result.event_id,
            "source": result.source,
            "event_type": result.event_type,
            "payload": result.payload.decode(),
            "status": result.status.name,
            "created_at": microseconds(result.created_at),
            "acknowledged_at": microseconds(result.acknowledged_at),
            "sequence": result.sequence,
            "payload_erased": result.payload_erased,
            "ordering_key": result.ordering_key,
            "deliver_at": microseconds(result.deliver_at),
        }
    if isinstance(result, tc.Health):
        return {
            "status": result.status.name,
            "version": result.version,
            "store": result.store,
        }
    if isinstance(result, health_pb2.HealthCheckResponse):
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(result.status)
        return {"status": status, "version": result.version, "store": result.store}
    if isinstance(result, stats_pb2.GetStatsResponse):
        return {"text": result.text}
    if isinstance(result, Message):
        return json_format.MessageToDict(result, preserving_proto_field_name=True)
    if isinstance(result, tc.Page):
        events = [result_json(event) for event in result.events]
        return {"events": events, "next_page_token": result.next_page_token}
    if isinstance(result, tc.LogPage):
        return {
            "events": [result_json(event) for event in result.events],
            "next_after": result.next_after,
            "first_sequence": result.first_sequence,
        }
    if isinstance(result, tc.KindPage):
        kinds = [{"source": kind.source, "event_type": kind.event_type} for kind in result.kinds]
        return {"kinds": kinds, "next_page_token": result.next_page_token}
    raise AssertionError(result)


# ---- nonsense ----


@dataclass
class Instance:
    a: int = 1


CYCLIC: dict[str, Json] = {}
CYCLIC["a"] = CYCLIC
NONSENSE: dict[str, Json] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "number": 5,
    "negative_time": -1,
    "no_time": 0,
    "fraction": 1.5,
    "nan": math.nan,
    "infinity": math.inf,
    "huge": 2**40,
    "number_as_text": "5",
    "list": [123, 125],
    "bytes": b"crm",
    "function": payload_of_size,
    "instance": Instance(),
    "date": EPOCH,
    "set": {"a"},
    "int_array": array("i", [123, 125]),
    "array_buffer": memoryview(b"{}"),
    "half_surrogate": "\ud800",
    "half_surrogate_payload": '{"a":"\ud800"}',
    "nul_inside": "evt_01h455vb4pex5vsknk084sn02q\0b",
    "nan_inside": {"a": [math.nan]},
    "infinity_inside": {"a": math.inf},
    "function_inside": {"a": payload_of_size},
    "instance_inside": {"a": Instance()},
    "date_inside": {"a": {"b": EPOCH}},
    "set_inside": {"a": {"b"}},
    "bytes_inside": {"a": b"b"},
    "integer_key": {"a": {1: 2}},
    "cyclic": CYCLIC,
}


# ---- workers ----


class Work:
    """What workers do in a scenario, and when they have done it."""

    def __init__(self, count: int, workers: int = 1, handle_ms: int = 0, fail: str = "") -> None:
        self.left = count  # handlers that are to end
        self.workers = workers
        self.seconds = handle_ms / 1000
        self.fail = fail
        self.begun: list[tc.Delivery] = []
        self.stops: list[Callable[[], None]] = []
        self.lock = threading.Lock()

    def begin(self, delivery: tc.Delivery) -> None:
        with self.lock:
            self.begun.append(delivery)

    def end(self) -> None:
        with self.lock:
            self.left -= 1
            if self.left == 0:
                for stop in self.stops:
                    stop()

    def handle(self, delivery: tc.Delivery) -> None:
        self.begin(delivery)
        delivery.lost.wait(self.seconds)
        self.end()
        if self.fail:
            raise RuntimeError(self.fail)

    async def ahandle(self, delivery: tc.Delivery) -> None:
        self.begin(delivery)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.end()
        if self.fail:
            raise RuntimeError(self.fail)

    def response(self) -> Json:
        return {
            "deliveries": [
                {
                    "event_id": delivery.event.event_id,
                    "attempt": delivery.attempt,
                    "lost": delivery.lost.is_set(),
                }
                for delivery in self.begun
            ]
        }


def work_of(request: dict[str, Json]) -> tuple[Work, dict[str, Json]]:
    """The work, and what is given to the client's worker."""
    given = dict(request)
    names = [name for name in ("count", "workers", "handle_ms", "fail") if name in given]
    work = Work(**{name: given.pop(name) for name in names})
    if "lease_seconds" in given:
        given["lease"] = given.pop("lease_seconds")
    return work, given


# ---- calls ----


def arguments_of(method: str, request: dict[str, Json]) -> dict[str, Json]:
    arguments = dict(request)
    if "/" in method:
        return arguments  # a message's fields
    if "status" in arguments:
        arguments["status"] = NAMED.get(str(arguments["status"]), arguments["status"])
    if "order" in arguments:
        arguments["order"] = NAMED.get(str(arguments["order"]), arguments["order"])
    if "wait_ms" in arguments:
        wait = arguments.pop("wait_ms")
        arguments["wait"] = wait / 1000 if type(wait) is int else wait
    if isinstance(arguments.get("filter"), dict):
        arguments["filter"] = filter_of(arguments["filter"])
    if method == "create_batch" and isinstance(arguments["events"], list):
        events = arguments["events"]
        arguments["events"] = [
            tc.NewEvent(**delivery_of(e)) if isinstance(e, dict) else e for e in events
        ]
    return delivery_of(arguments)


def delivery_of(fields: dict[str, Json]) -> dict[str, Json]:
    """A new event's times as the binding takes them."""
    given = dict(fields)
    if type(given.get("deliver_at")) is int:
        given["deliver_at"] = EPOCH + timedelta(microseconds=given["deliver_at"])
    if "delay_seconds" in given:
        seconds = given.pop("delay_seconds")
        given["delay"] = timedelta(seconds=seconds) if type(seconds) is int else seconds
    return given


def filter_of(fields: dict[str, Json]) -> tc.Filter:
    times = {
        name: EPOCH + timedelta(microseconds=value)
        for name, value in fields.items()
        if name.endswith("_time") and type(value) is int
    }
    return tc.Filter(**{**fields, **times})


NAMED = {member.name: member for member in (*tc.EventStatus, *tc.Order)}
NAMES = {"list": "inbox_page", "list_all": "inbox"}


def start_call(client: Json, method: str, arguments: dict[str, Json]) -> Json:
    """Calls the client's function, or its generic call for methods that it has no function for."""
    options = {name: value for name, value in arguments.items() if name == "timeout"}
    fields = {name: value for name, value in arguments.items() if name != "timeout"}
    if "/" in method:
        service, _, short_name = method.partition("/")
        module = access_pb2 if service == "AccessService" else subscriptions_pb2
        types = module.DESCRIPTOR.services_by_name[service].methods_by_name[short_name]
        message = getattr(module, types.input_type.name)()
        response = getattr(module, types.output_type.name)
        json_format.ParseDict(fields, message)
        return client.call(f"triggers.v1.{method}", message, response, **options)
    if method not in ANY:
        return getattr(client, NAMES.get(method, method))(**arguments)
    name, request, response = ANY[method]
    return client.call(name, request(**fields), response, **options)


ANY: dict[str, tuple[str, Any, type[Message]]] = {
    "check": (
        "triggers.health.v1.Health/Check",
        health_pb2.HealthCheckRequest,
        health_pb2.HealthCheckResponse,
    ),
    "stats": (
        "triggers.stats.v1.StatsService/GetStats",
        stats_pb2.GetStatsRequest,
        stats_pb2.GetStatsResponse,
    ),
}


def in_turn(keys: list[str]) -> Callable[[], str]:
    """A function that gives these keys, the last one again and again."""
    rest = chain(keys, repeat(keys[-1]))
    return lambda: next(rest)


class Blocking:
    """The blocking client, with threads for calls in flight at once."""

    def open(self, options: dict[str, Json]) -> None:
        self.client = tc.Client(**options)

    def close(self) -> None:
        self.client.close()

    def call(self, method: str, arguments: dict[str, Json]) -> Json:
        if method == "follow":
            return self.follow(**arguments)
        if method == "work":
            return self.work(arguments)
        result = start_call(self.client, method, arguments)
        if method == "list_all":
            return {"events": [result_json(event) for event in result]}
        if isinstance(result, list):
            return {"results": [result_json(item) for item in result]}
        return result_json(result)

    def follow(self, count: int, **arguments: Json) -> Json:
        follower = self.client.follow(**arguments)
        events = [result_json(event) for event in islice(follower, count)]
        follower.stop()
        assert not list(follower)
        return {"events": events, "next_after": follower.next_after}

    def work(self, request: dict[str, Json]) -> Json:
        work, options = work_of(request)
        workers = [self.client.worker(handler=work.handle, **options) for _ in range(work.workers)]
        work.stops = [worker.stop for worker in workers]
        with contextlib.ExitStack() as stack:
            for worker in workers:
                stack.enter_context(worker)
            for worker in workers:
                worker.wait()
        return work.response()

    def outcomes(self, times: int, parallel: bool, make: Callable[[], Json]) -> list[Json]:
        with ThreadPoolExecutor(times if parallel else 1) as pool:
            return list(pool.map(lambda _: make(), range(times)))


class Asynchronous(Blocking):
    """The asyncio client; its loop runs on a thread here, so that Blocking's rest applies."""

    def open(self, options: dict[str, Json]) -> None:
        self.loop = asyncio.new_event_loop()
        self.pool = ThreadPoolExecutor(1)
        self.pool.submit(self.loop.run_forever)
        self.aio = tc.AsyncClient(**options)

    def close(self) -> None:
        self.run(self.aio.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.pool.shutdown()

    def run(self, coroutine: Coroutine[Any, Any, Json]) -> Json:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def call(self, method: str, arguments: dict[str, Json]) -> Json:
        return self.run(self.acall(method, arguments))

    async def afollow(self, count: int, **arguments: Json) -> Json:
        follower = self.aio.follow(**arguments)
        events = [result_json(await anext(follower)) for _ in range(count)]
        follower.stop()
        assert not [event async for event in follower]
        return {"events": events, "next_after": follower.next_after}

    async def awork(self, request: dict[str, Json]) -> Json:
        work, options = work_of(request)
        workers = [self.aio.worker(handler=work.ahandle, **options) for _ in range(work.workers)]
        work.stops = [worker.stop for worker in workers]
        await asyncio.gather(*(worker.run() for worker in workers))
        return work.response()

    async def acall(self, method: str, arguments: dict[str, Json]) -> Json:
        if method == "follow":
            return await self.afollow(**arguments)
        if method == "work":
            return await self.awork(arguments)
        result = start_call(self.aio, method, arguments)
        if method == "list_all":
            return {"events": [result_json(event) async for event in result]}
        result = await result
        if isinstance(result, list):
            return {"results": [result_json(item) for item in result]}
        return result_json(result)


def outcome_of(driver: Blocking, method: str, arguments: dict[str, Json]) -> Json:
    start = time.monotonic()
    try:
        outcome = {"code": "OK", "response": driver.call(method, arguments)}
    except tc.TriggersError as error:
        outcome = error_json(error)
    return {**outcome, "elapsed_ms": round((time.monotonic() - start) * 1000)}


# ---- steps ----


class Scenario:
    """One scenario while it runs."""

    def __init__(self, data: Json, driver: Blocking, variables: dict[str, Json]) -> None:
        self.data = data
        self.driver = driver
        self.variables = dict(variables)
        self.opened = False

    def run(self) -> None:
        try:
            for number, step in enumerate(self.data["steps"], 1):
                try:
                    self.step(step)
                except Failure as failure:
                    raise Failure(f"step {number}: {failure}") from None
        finally:
            if self.opened:
                self.driver.close()

    def step(self, step: Json) -> None:
        if "new_ids" in step:
            for name in step["new_ids"]:
                self.variables[name] = tc.new_event_id()
        elif "harness" in step:
            say({"harness": expand(step["harness"], self.variables)})
            answer = json.loads(sys.stdin.readline())
            if not answer["ok"]:
                raise Failure(answer["detail"])
        else:
            self.call(step)

    def open(self) -> None:
        given = expand(self.data.get("client", {"urls": ["$url"]}), self.variables)
        names = ("urls", "ca_file", "api_key")
        options = {name: given[name] for name in names if name in given}
        if "api_keys" in given:
            options["api_key"] = in_turn(given["api_keys"])
        if "api_key_file" in given:
            options["api_key"] = lambda: Path(given["api_key_file"]).read_text().strip()
        if "timeout_ms" in given:
            options["timeout"] = given["timeout_ms"] / 1000
        self.driver.open(options)
        self.opened = True

    def call(self, step: Json) -> None:
        if not self.opened:
            self.open()
        for name in step.get("nonsense", [""]):
            if name and name not in NONSENSE:
                continue
            self.variables["nonsense"] = NONSENSE.get(name)
            try:
                self.call_once(step)
            except Failure as failure:
                raise Failure(f"{name} {failure}".strip()) from None

    def call_once(self, step: Json) -> None:
        method, times = step["call"], step.get("times", 1)
        request = expand(step.get("request", {}), self.variables)
        arguments = arguments_of(method, request)
        if "timeout_ms" in step:
            timeout = expand(step["timeout_ms"], self.variables)
            arguments["timeout"] = timeout if "nonsense" in step else timeout / 1000
        outcomes = self.driver.outcomes(
            times, step.get("parallel", False), lambda: outcome_of(self.driver, method, arguments)
        )
        expected = {"code": "OK", **expand(step.get("expect", {}), self.variables)}
        for outcome in outcomes:
            for path, pattern in expected.items():
                found = look_up(outcome, path.split("."))
                if not fits(pattern, found):
                    raise Failure(
                        f"{method}: {path} is {shorten(found)} instead of {shorten(pattern)} "
                        f"in {shorten(outcome)}"
                    )
        for name, path in step.get("save", {}).items():
            found = [look_up(outcome, path.split(".")) for outcome in outcomes]
            self.variables[name] = found if "times" in step else found[0]


# ---- vectors ----


def fill_request(vector: Json) -> envelope_pb2.Request:
    return envelope_pb2.Request(
        method=vector["method"],
        timeout_ms=vector["timeout_ms"],
        metadata=vector["metadata"],
        body=base64.b64decode(vector["body"]),
    )


def fill_response(vector: Json) -> envelope_pb2.Response:
    response = envelope_pb2.Response(
        message=vector["message"],
        metadata=vector["metadata"],
        body=base64.b64decode(vector["body"]),
    )
    response.code = vector["code"]
    if vector["details"] is not None:
        details = vector["details"]
        response.details.SetInParent()
        response.details.reason = details["reason"]
        response.details.retry_delay_ms = details["retry_delay_ms"]
        for violation in details["field_violations"]:
            response.details.field_violations.add(**violation)
    return response


def same(a: Message, b: Message) -> bool:
    for message in (a, b):
        message.DiscardUnknownFields()
    return a == b


def check_envelopes(folder: Path) -> None:
    vectors = json.loads((folder / "vectors/envelope.json").read_text())
    kinds: list[tuple[str, Any, Any]] = [
        ("requests", envelope_pb2.Request, fill_request),
        ("responses", envelope_pb2.Response, fill_response),
    ]
    for kind, message_type, fill in kinds:
        for vector in vectors[kind]:
            wire, wanted = base64.b64decode(vector["bytes"]), fill(vector)
            if not same(message_type.FromString(wire), wanted):
                raise Failure(f"{vector['name']}: parsed to other fields")
            encoded = wanted.SerializeToString()
            if not vector.get("foreign") and len(encoded) != len(wire):
                raise Failure(f"{vector['name']}: encoded to {len(encoded)} bytes")
            if not same(message_type.FromString(encoded), wanted):
                raise Failure(f"{vector['name']}: did not survive encoding and parsing")
    for vector in vectors["malformed"]:
        try:
            envelope_pb2.Response.FromString(base64.b64decode(vector["bytes"]))
        except DecodeError:
            continue
        raise Failure(f"{vector['name']}: parsed")


def check_typeids(folder: Path) -> None:
    vectors = json.loads((folder / "vectors/typeid.json").read_text())
    for vector in vectors["valid"]:
        value = uuid.UUID(vector["uuid"])
        if tc.parse_event_id(vector["event_id"]) != value:
            raise Failure(f"{vector['name']}: parsed to another UUID")
        if tc.format_event_id(value) != vector["event_id"]:
            raise Failure(f"{vector['name']}: formatted as another text")
    for vector in vectors["invalid"]:
        try:
            tc.parse_event_id(vector["event_id"])
        except ValueError:
            continue
        raise Failure(f"{vector['name']}: {vector['event_id']!r} was accepted")
    made = [tc.new_event_id() for _ in range(1000)]
    if made != sorted(set(made)):
        raise Failure("made ids do not ascend")
    newest = tc.parse_event_id(made[-1])
    if newest.version != 7 or abs((newest.int >> 80) / 1000 - time.time()) > 60:
        raise Failure(f"{newest} is no UUIDv7 of now")


# ---- all of it ----


def say(line: Json) -> None:
    print(json.dumps(line), flush=True)


def report(name: str, check: Callable[[], None]) -> None:
    only = os.environ.get("TRIGGERS_CONFORMANCE_ONLY", "")
    if only and name not in only.split(","):
        return
    detail = ""
    try:
        check()
    except Failure as failure:
        detail = str(failure)
    except Exception as error:  # an unexpected one fails its scenario, not the run
        detail = f"unexpected {error!r}"
    say({"scenario": name, "passed": not detail, "detail": detail})


def main() -> None:
    folder = Path(os.environ["TRIGGERS_CONFORMANCE"])
    variables = json.loads(os.environ["TRIGGERS_CONFORMANCE_VARIABLES"])
    driver = Asynchronous() if "--aio" in sys.argv[1:] else Blocking()
    for path in sorted((folder / "scenarios").glob("*.json")):
        for data in json.loads(path.read_text()):
            report(data["name"], Scenario(data, driver, variables).run)
    report("vectors/envelope", lambda: check_envelopes(folder))
    report("vectors/typeid", lambda: check_typeids(folder))


if __name__ == "__main__":
    main()
