"""Values to requests, answers to values. An answer that lacks its content raises ValueError."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Generic, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from triggers_client import _arguments
from triggers_client._errors import FieldViolation, TriggersError
from triggers_client._ids import new_event_id
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
    Serving,
)
from triggers_client.proto.triggers.health.v1 import health_pb2
from triggers_client.proto.triggers.rpc.v1 import envelope_pb2
from triggers_client.proto.triggers.v1 import events_pb2

MAX_BATCH = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_M = TypeVar("_M", bound=Message)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Call(Generic[_M, _T]):
    """One call: where it goes, what it says, what is answered, and how that is read."""

    method: str
    request: Message
    response: type[_M]
    read: Callable[[_M], _T]


def _time(stamp: Timestamp) -> datetime:
    # Timestamp.ToDatetime changed between releases of protobuf; this is exact in all of them.
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def _require(present: bool) -> None:
    if not present:
        raise ValueError("the answer lacks its content")


def read_error(code: int, message: str, details: envelope_pb2.ErrorDetails) -> TriggersError:
    violations = [FieldViolation(v.field, v.description) for v in details.field_violations]
    return TriggersError.of(
        code or 2, details.reason, message, violations, details.retry_delay_ms / 1000
    )


# ---- create ----


def _create_request(event: NewEvent, path: str = "") -> events_pb2.CreateEventRequest:
    event_id = _arguments.optional_text(f"{path}event_id", event.event_id)
    idempotency_key = _arguments.optional_text(f"{path}idempotency_key", event.idempotency_key)
    if event.event_id is None and not idempotency_key:
        event_id = new_event_id()
    return events_pb2.CreateEventRequest(
        event_id=event_id,
        idempotency_key=idempotency_key,
        source=_arguments.text(f"{path}source", event.source),
        event_type=_arguments.text(f"{path}event_type", event.event_type),
        payload=_arguments.payload(f"{path}payload", event.payload),
    )


def _batch_request(events: list[NewEvent]) -> events_pb2.BatchCreateEventsRequest:
    for index, event in enumerate(events):
        if not isinstance(event, NewEvent):
            raise _arguments.wrong_type(f"events[{index}]", event, "NewEvent")
    requests = [_create_request(event, f"events[{i}].") for i, event in enumerate(events)]
    return events_pb2.BatchCreateEventsRequest(events=requests)


def _created(message: events_pb2.CreateEventResponse) -> Created:
    _require(bool(message.event_id) and message.HasField("created_at"))
    return Created(message.event_id, _time(message.created_at))


def create(event: NewEvent) -> Call[events_pb2.CreateEventResponse, Created]:
    method = "triggers.v1.EventService/CreateEvent"
    response = events_pb2.CreateEventResponse
    return Call(method, _create_request(event), response, _created)


def create_batch(
    events: list[NewEvent],
) -> Call[events_pb2.BatchCreateEventsResponse, list[CreateResult]]:
    def read_result(result: events_pb2.CreateEventResult) -> CreateResult:
        if result.HasField("error"):
            return read_error(result.error.code, result.error.message, result.error.details)
        return _created(result.created)

    def read(answer: events_pb2.BatchCreateEventsResponse) -> list[CreateResult]:
        _require(len(answer.results) == len(events))
        return [read_result(result) for result in answer.results]

    method = "triggers.v1.EventService/BatchCreateEvents"
    response = events_pb2.BatchCreateEventsResponse
    return Call(method, _batch_request(events), response, read)


# ---- read ----


def _event(message: events_pb2.Event) -> Event:
    _require(bool(message.event_id) and message.HasField("created_at"))
    acknowledged = message.HasField("acknowledged_at")
    return Event(
        event_id=message.event_id,
        source=message.source,
        event_type=message.event_type,
        payload=message.payload,
        status=EventStatus(message.status),
        created_at=_time(message.created_at),
        acknowledged_at=_time(message.acknowledged_at) if acknowledged else None,
    )


def get(event_id: str) -> Call[events_pb2.GetEventResponse, Event]:
    def read(answer: events_pb2.GetEventResponse) -> Event:
        return _event(answer.event)

    request = events_pb2.GetEventRequest(event_id=_arguments.text("event_id", event_id))
    method = "triggers.v1.EventService/GetEvent"
    response = events_pb2.GetEventResponse
    return Call(method, request, response, read)


def list_inbox(
    status: EventStatus, order: Order, page_size: int, page_token: str
) -> Call[events_pb2.ListInboxResponse, Page]:
    def read(page: events_pb2.ListInboxResponse) -> Page:
        return Page(tuple(_event(event) for event in page.events), page.next_page_token)

    request = events_pb2.ListInboxRequest(
        status=events_pb2.EventStatus.Name(_arguments.member("status", status, EventStatus)),
        order=events_pb2.SortOrder.Name(_arguments.member("order", order, Order)),
        page_size=_arguments.whole_number("page_size", page_size),
        page_token=_arguments.text("page_token", page_token),
    )
    return Call("triggers.v1.EventService/ListInbox", request, events_pb2.ListInboxResponse, read)


# ---- acknowledge ----


def _acknowledged(message: events_pb2.AckEventResponse) -> Acknowledged:
    _require(bool(message.event_id) and message.HasField("acknowledged_at"))
    return Acknowledged(message.event_id, _time(message.acknowledged_at))


def ack(event_id: str) -> Call[events_pb2.AckEventResponse, Acknowledged]:
    request = events_pb2.AckEventRequest(event_id=_arguments.text("event_id", event_id))
    method = "triggers.v1.EventService/AckEvent"
    response = events_pb2.AckEventResponse
    return Call(method, request, response, _acknowledged)


def ack_batch(event_ids: list[str]) -> Call[events_pb2.BatchAckEventsResponse, list[AckResult]]:
    def read_result(result: events_pb2.AckEventResult) -> AckResult:
        if result.HasField("error"):
            return read_error(result.error.code, result.error.message, result.error.details)
        return _acknowledged(result.acknowledged)

    def read(answer: events_pb2.BatchAckEventsResponse) -> list[AckResult]:
        _require(len(answer.results) == len(event_ids))
        return [read_result(result) for result in answer.results]

    ids = [_arguments.text(f"event_ids[{i}]", each) for i, each in enumerate(event_ids)]
    request = events_pb2.BatchAckEventsRequest(event_ids=ids)
    method = "triggers.v1.EventService/BatchAckEvents"
    response = events_pb2.BatchAckEventsResponse
    return Call(method, request, response, read)


# ---- health ----


def health() -> Call[health_pb2.HealthCheckResponse, Health]:
    def read(answer: health_pb2.HealthCheckResponse) -> Health:
        known = answer.status in (1, 2)
        status = Serving(answer.status) if known else Serving.UNKNOWN
        return Health(status, answer.version, answer.store)

    request, response = health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse
    return Call("triggers.health.v1.Health/Check", request, response, read)
