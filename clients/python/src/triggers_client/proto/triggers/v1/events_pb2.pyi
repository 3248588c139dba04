from google.protobuf import timestamp_pb2 as _timestamp_pb2
from triggers_client.proto.triggers.api.v1 import options_pb2 as _options_pb2
from triggers_client.proto.triggers.rpc.v1 import envelope_pb2 as _envelope_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
EVENT_STATUS_ACKNOWLEDGED: EventStatus
EVENT_STATUS_PENDING: EventStatus
EVENT_STATUS_UNSPECIFIED: EventStatus
SORT_ORDER_NEWEST_FIRST: SortOrder
SORT_ORDER_OLDEST_FIRST: SortOrder
SORT_ORDER_UNSPECIFIED: SortOrder

class AckEventRequest(_message.Message):
    __slots__ = ["event_id"]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    def __init__(self, event_id: _Optional[str] = ...) -> None: ...

class AckEventResponse(_message.Message):
    __slots__ = ["acknowledged_at", "event_id"]
    ACKNOWLEDGED_AT_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    acknowledged_at: _timestamp_pb2.Timestamp
    event_id: str
    def __init__(self, event_id: _Optional[str] = ..., acknowledged_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AckEventResult(_message.Message):
    __slots__ = ["acknowledged", "error"]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    acknowledged: AckEventResponse
    error: ItemError
    def __init__(self, acknowledged: _Optional[_Union[AckEventResponse, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class BatchAckEventsRequest(_message.Message):
    __slots__ = ["event_ids"]
    EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    event_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, event_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class BatchAckEventsResponse(_message.Message):
    __slots__ = ["results"]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[AckEventResult]
    def __init__(self, results: _Optional[_Iterable[_Union[AckEventResult, _Mapping]]] = ...) -> None: ...

class BatchCreateEventsRequest(_message.Message):
    __slots__ = ["events"]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[CreateEventRequest]
    def __init__(self, events: _Optional[_Iterable[_Union[CreateEventRequest, _Mapping]]] = ...) -> None: ...

class BatchCreateEventsResponse(_message.Message):
    __slots__ = ["results"]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CreateEventResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CreateEventResult, _Mapping]]] = ...) -> None: ...

class CreateEventRequest(_message.Message):
    __slots__ = ["delay_seconds", "deliver_at", "event_id", "event_type", "idempotency_key", "ordering_key", "payload", "source"]
    DELAY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DELIVER_AT_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ORDERING_KEY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    delay_seconds: int
    deliver_at: _timestamp_pb2.Timestamp
    event_id: str
    event_type: str
    idempotency_key: str
    ordering_key: str
    payload: bytes
    source: str
    def __init__(self, event_id: _Optional[str] = ..., source: _Optional[str] = ..., event_type: _Optional[str] = ..., payload: _Optional[bytes] = ..., idempotency_key: _Optional[str] = ..., ordering_key: _Optional[str] = ..., deliver_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., delay_seconds: _Optional[int] = ...) -> None: ...

class CreateEventResponse(_message.Message):
    __slots__ = ["created_at", "event_id", "sequence"]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    created_at: _timestamp_pb2.Timestamp
    event_id: str
    sequence: int
    def __init__(self, event_id: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

class CreateEventResult(_message.Message):
    __slots__ = ["created", "error"]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    created: CreateEventResponse
    error: ItemError
    def __init__(self, created: _Optional[_Union[CreateEventResponse, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class EraseEventRequest(_message.Message):
    __slots__ = ["event_id"]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    def __init__(self, event_id: _Optional[str] = ...) -> None: ...

class EraseEventResponse(_message.Message):
    __slots__ = ["event_id", "sequence"]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    sequence: int
    def __init__(self, event_id: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ["acknowledged_at", "created_at", "deliver_at", "event_id", "event_type", "ordering_key", "payload", "payload_erased", "sequence", "source", "status"]
    ACKNOWLEDGED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DELIVER_AT_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ORDERING_KEY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_ERASED_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    acknowledged_at: _timestamp_pb2.Timestamp
    created_at: _timestamp_pb2.Timestamp
    deliver_at: _timestamp_pb2.Timestamp
    event_id: str
    event_type: str
    ordering_key: str
    payload: bytes
    payload_erased: bool
    sequence: int
    source: str
    status: EventStatus
    def __init__(self, event_id: _Optional[str] = ..., source: _Optional[str] = ..., event_type: _Optional[str] = ..., payload: _Optional[bytes] = ..., status: _Optional[_Union[EventStatus, str]] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., acknowledged_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., sequence: _Optional[int] = ..., payload_erased: bool = ..., ordering_key: _Optional[str] = ..., deliver_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EventFilter(_message.Message):
    __slots__ = ["event_types", "from_time", "sources", "until_time"]
    EVENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    event_types: _containers.RepeatedScalarFieldContainer[str]
    from_time: _timestamp_pb2.Timestamp
    sources: _containers.RepeatedScalarFieldContainer[str]
    until_time: _timestamp_pb2.Timestamp
    def __init__(self, sources: _Optional[_Iterable[str]] = ..., event_types: _Optional[_Iterable[str]] = ..., from_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., until_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EventKind(_message.Message):
    __slots__ = ["event_type", "source"]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    event_type: str
    source: str
    def __init__(self, source: _Optional[str] = ..., event_type: _Optional[str] = ...) -> None: ...

class GetEventRequest(_message.Message):
    __slots__ = ["event_id"]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    def __init__(self, event_id: _Optional[str] = ...) -> None: ...

class GetEventResponse(_message.Message):
    __slots__ = ["event"]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ["code", "details", "message"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: _envelope_pb2.Code
    details: _envelope_pb2.ErrorDetails
    message: str
    def __init__(self, code: _Optional[_Union[_envelope_pb2.Code, str]] = ..., message: _Optional[str] = ..., details: _Optional[_Union[_envelope_pb2.ErrorDetails, _Mapping]] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ["after_sequence", "filter", "page_size", "wait_ms"]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    after_sequence: int
    filter: EventFilter
    page_size: int
    wait_ms: int
    def __init__(self, after_sequence: _Optional[int] = ..., filter: _Optional[_Union[EventFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ["events", "first_sequence", "next_after"]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    first_sequence: int
    next_after: int
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., next_after: _Optional[int] = ..., first_sequence: _Optional[int] = ...) -> None: ...

class ListInboxRequest(_message.Message):
    __slots__ = ["filter", "order", "page_size", "page_token", "status"]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    filter: EventFilter
    order: SortOrder
    page_size: int
    page_token: str
    status: EventStatus
    def __init__(self, status: _Optional[_Union[EventStatus, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., order: _Optional[_Union[SortOrder, str]] = ..., filter: _Optional[_Union[EventFilter, _Mapping]] = ...) -> None: ...

class ListInboxResponse(_message.Message):
    __slots__ = ["events", "next_page_token"]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListKindsRequest(_message.Message):
    __slots__ = ["page_size", "page_token"]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListKindsResponse(_message.Message):
    __slots__ = ["kinds", "next_page_token"]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedCompositeFieldContainer[EventKind]
    next_page_token: str
    def __init__(self, kinds: _Optional[_Iterable[_Union[EventKind, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class EventStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class SortOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
