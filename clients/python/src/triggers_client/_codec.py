"""Values to requests, answers to values. An answer that lacks its content raises ValueError."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Generic, TypeVar

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
    Delivery,
    Erased,
    Event,
    EventStatus,
    Filter,
    Health,
    Kind,
    KindPage,
    LogPage,
    NewEvent,
    Order,
    Page,
    Serving,
)
from triggers_client.proto.triggers.health.v1 import health_pb2
from triggers_client.proto.triggers.rpc.v1 import envelope_pb2
from triggers_client.proto.triggers.v1 import events_pb2, subscriptions_pb2

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


def _stamp(name: str, moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    accepted = "a datetime with a time zone"
    if not isinstance(moment, datetime):
        raise _arguments.wrong_type(name, moment, accepted)
    if moment.tzinfo is None:
        raise _arguments.wrong(name, "has no time zone", accepted)
    seconds, rest = divmod(moment - _EPOCH, timedelta(seconds=1))
    return Timestamp(seconds=seconds, nanos=rest.microseconds * 1000)


def _require(present: bool) -> None:
    if not present:
        raise ValueError("the answer lacks its content")


def read_error(code: int, message: str, details: envelope_pb2.ErrorDetails) -> TriggersError:
    violations = [FieldViolation(v.field, v.description) for v in details.field_violations]
    return TriggersError.of(
        code or 2,
        details.reason,
        message,
        violations,
        details.retry_delay_ms / 1000,
        details.first_sequence,
    )


# ---- create ----


def _create_request(event: NewEvent, path: str = "") -> events_pb2.CreateEventRequest:
    event_id = _arguments.optional_text(f"{path}event_id", event.event_id)
    idempotency_key = _arguments.optional_text(f"{path}idempotency_key", event.idempotency_key)
    if event.event_id is None and not idempotency_key:
        event_id = new_event_id()
    if event.deliver_at is not None and event.delay is not None:
        raise _arguments.wrong(f"{path}delay", "is given with deliver_at", "one of both")
    return events_pb2.CreateEventRequest(
        event_id=event_id,
        idempotency_key=idempotency_key,
        source=_arguments.text(f"{path}source", event.source),
        event_type=_arguments.text(f"{path}event_type", event.event_type),
        payload=_arguments.payload(f"{path}payload", event.payload),
        ordering_key=_arguments.optional_text(f"{path}ordering_key", event.ordering_key),
        deliver_at=_stamp(f"{path}deliver_at", event.deliver_at),
        delay_seconds=_arguments.delay(f"{path}delay", event.delay),
    )


def _batch_request(events: list[NewEvent]) -> events_pb2.BatchCreateEventsRequest:
    for index, event in enumerate(events):
        if not isinstance(event, NewEvent):
            raise _arguments.wrong_type(f"events[{index}]", event, "NewEvent")
    requests = [_create_request(event, f"events[{i}].") for i, event in enumerate(events)]
    return events_pb2.BatchCreateEventsRequest(events=requests)


def _created(message: events_pb2.CreateEventResponse) -> Created:
    _require(bool(message.event_id) and message.HasField("created_at"))
    return Created(message.event_id, _time(message.created_at), message.sequence)


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
        sequence=message.sequence,
        payload_erased=message.payload_erased,
        ordering_key=message.ordering_key,
        deliver_at=_time(message.deliver_at) if message.HasField("deliver_at") else None,
    )


def get(event_id: str) -> Call[events_pb2.GetEventResponse, Event]:
    def read(answer: events_pb2.GetEventResponse) -> Event:
        return _event(answer.event)

    request = events_pb2.GetEventRequest(event_id=_arguments.text("event_id", event_id))
    method = "triggers.v1.EventService/GetEvent"
    response = events_pb2.GetEventResponse
    return Call(method, request, response, read)


def _names(name: str, values: Sequence[str]) -> list[str]:
    given = enumerate(_arguments.elements(name, values))
    return [_arguments.text(f"{name}[{index}]", value) for index, value in given]


def _filter(given: Filter | None) -> events_pb2.EventFilter | None:
    if given is None:
        return None
    if not isinstance(given, Filter):
        raise _arguments.wrong_type("filter", given, "a Filter")
    return events_pb2.EventFilter(
        sources=_names("filter.sources", given.sources),
        event_types=_names("filter.event_types", given.event_types),
        from_time=_stamp("filter.from_time", given.from_time),
        until_time=_stamp("filter.until_time", given.until_time),
    )


def list_inbox(
    status: EventStatus, order: Order, page_size: int, page_token: str, filter: Filter | None
) -> Call[events_pb2.ListInboxResponse, Page]:
    def read(page: events_pb2.ListInboxResponse) -> Page:
        return Page(tuple(_event(event) for event in page.events), page.next_page_token)

    request = events_pb2.ListInboxRequest(
        status=events_pb2.EventStatus.Name(_arguments.member("status", status, EventStatus)),
        order=events_pb2.SortOrder.Name(_arguments.member("order", order, Order)),
        page_size=_arguments.whole_number("page_size", page_size),
        page_token=_arguments.text("page_token", page_token),
        filter=_filter(filter),
    )
    return Call("triggers.v1.EventService/ListInbox", request, events_pb2.ListInboxResponse, read)


def list_events(
    after: int, filter: Filter | None, page_size: int, wait: float
) -> Call[events_pb2.ListEventsResponse, LogPage]:
    def read(page: events_pb2.ListEventsResponse) -> LogPage:
        events = tuple(_event(event) for event in page.events)
        return LogPage(events, page.next_after, page.first_sequence)

    request = events_pb2.ListEventsRequest(
        after_sequence=_arguments.whole_number("after", after, 64),
        filter=_filter(filter),
        page_size=_arguments.whole_number("page_size", page_size),
        wait_ms=round(_arguments.wait("wait", wait) * 1000),
    )
    return Call("triggers.v1.EventService/ListEvents", request, events_pb2.ListEventsResponse, read)


def list_kinds(page_size: int, page_token: str) -> Call[events_pb2.ListKindsResponse, KindPage]:
    def read(page: events_pb2.ListKindsResponse) -> KindPage:
        kinds = tuple(Kind(kind.source, kind.event_type) for kind in page.kinds)
        return KindPage(kinds, page.next_page_token)

    request = events_pb2.ListKindsRequest(
        page_size=_arguments.whole_number("page_size", page_size),
        page_token=_arguments.text("page_token", page_token),
    )
    return Call("triggers.v1.EventService/ListKinds", request, events_pb2.ListKindsResponse, read)


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


# ---- erase ----


def erase(event_id: str) -> Call[events_pb2.EraseEventResponse, Erased]:
    def read(answer: events_pb2.EraseEventResponse) -> Erased:
        _require(bool(answer.event_id))
        return Erased(answer.event_id, answer.sequence)

    request = events_pb2.EraseEventRequest(event_id=_arguments.text("event_id", event_id))
    method = "triggers.v1.EventService/EraseEvent"
    response = events_pb2.EraseEventResponse
    return Call(method, request, response, read)


# ---- work on a subscription ----

_SUBSCRIPTIONS = "triggers.v1.SubscriptionService/"
_SETTLEMENTS = {
    "Ack": (subscriptions_pb2.AckRequest, subscriptions_pb2.AckResponse),
    "Nack": (subscriptions_pb2.NackRequest, subscriptions_pb2.NackResponse),
    "Extend": (subscriptions_pb2.ExtendRequest, subscriptions_pb2.ExtendResponse),
    "Release": (subscriptions_pb2.ReleaseRequest, subscriptions_pb2.ReleaseResponse),
}


def lease_of(name: str) -> Call[subscriptions_pb2.GetSubscriptionResponse, int]:
    """The seconds that a subscription gives to its deliveries."""

    def read(answer: subscriptions_pb2.GetSubscriptionResponse) -> int:
        _require(answer.subscription.lease_seconds > 0)
        return answer.subscription.lease_seconds

    request = subscriptions_pb2.GetSubscriptionRequest(name=name)
    response = subscriptions_pb2.GetSubscriptionResponse
    return Call(_SUBSCRIPTIONS + "GetSubscription", request, response, read)


def _delivery(message: subscriptions_pb2.Delivery) -> Delivery:
    _require(bool(message.ack_id) and message.HasField("lease_expires_at"))
    expires_at = _time(message.lease_expires_at)
    return Delivery(_event(message.event), message.ack_id, message.delivery_attempt, expires_at)


def pull(
    name: str, max_events: int, lease: int, wait: float, pull_id: str
) -> Call[subscriptions_pb2.PullResponse, list[Delivery]]:
    def read(answer: subscriptions_pb2.PullResponse) -> list[Delivery]:
        return [_delivery(delivery) for delivery in answer.deliveries]

    request = subscriptions_pb2.PullRequest(
        name=name,
        max_events=max_events,
        lease_seconds=lease,
        wait_ms=round(wait * 1000),
        pull_id=pull_id,
    )
    return Call(_SUBSCRIPTIONS + "Pull", request, subscriptions_pb2.PullResponse, read)


def release_pull(
    name: str, pull_id: str
) -> Call[subscriptions_pb2.ReleaseResponse, subscriptions_pb2.ReleaseResponse]:
    request = subscriptions_pb2.ReleaseRequest(name=name, pull_id=pull_id)
    response = subscriptions_pb2.ReleaseResponse
    return Call(_SUBSCRIPTIONS + "Release", request, response, lambda answer: answer)


def settle(
    method: str, name: str, ack_ids: Sequence[str], lease: int = 0, reason: str = ""
) -> Call[Any, list[TriggersError | None]]:
    """Ack, Nack (with a reason), Extend (with a lease) or Release: for each why it was not done."""

    def read_result(result: subscriptions_pb2.SettleResult) -> TriggersError | None:
        if not result.HasField("error"):
            return None
        return read_error(result.error.code, result.error.message, result.error.details)

    def read(answer: subscriptions_pb2.AckResponse) -> list[TriggersError | None]:
        _require(len(answer.results) == len(ack_ids))
        return [read_result(result) for result in answer.results]

    request_class, response = _SETTLEMENTS[method]
    request: Any = request_class(name=name, ack_ids=ack_ids)
    if lease:
        request.lease_seconds = lease
    if reason:
        request.reason = reason
    return Call(_SUBSCRIPTIONS + method, request, response, read)


# ---- health ----


def health() -> Call[health_pb2.HealthCheckResponse, Health]:
    def read(answer: health_pb2.HealthCheckResponse) -> Health:
        known = answer.status in (1, 2)
        status = Serving(answer.status) if known else Serving.UNKNOWN
        return Health(status, answer.version, answer.store)

    request, response = health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse
    return Call("triggers.health.v1.Health/Check", request, response, read)
