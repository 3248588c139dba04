from google.protobuf import timestamp_pb2 as _timestamp_pb2
from triggers_client.proto.triggers.api.v1 import options_pb2 as _options_pb2
from triggers_client.proto.triggers.v1 import events_pb2 as _events_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

AFTER_DEAD_LETTER_BLOCK: AfterDeadLetter
AFTER_DEAD_LETTER_SKIP: AfterDeadLetter
AFTER_DEAD_LETTER_UNSPECIFIED: AfterDeadLetter
DESCRIPTOR: _descriptor.FileDescriptor
EMPTY_BECAUSE_MAX_OUTSTANDING: EmptyBecause
EMPTY_BECAUSE_NOTHING_NEW: EmptyBecause
EMPTY_BECAUSE_PAUSED: EmptyBecause
EMPTY_BECAUSE_UNSPECIFIED: EmptyBecause
ORDERING_BY_KEY: Ordering
ORDERING_NONE: Ordering
ORDERING_UNSPECIFIED: Ordering

class AckRequest(_message.Message):
    __slots__ = ["ack_ids", "name"]
    ACK_IDS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ack_ids: _containers.RepeatedScalarFieldContainer[str]
    name: str
    def __init__(self, name: _Optional[str] = ..., ack_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class AckResponse(_message.Message):
    __slots__ = ["results"]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SettleResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SettleResult, _Mapping]]] = ...) -> None: ...

class Backoff(_message.Message):
    __slots__ = ["maximum_seconds", "minimum_seconds"]
    MAXIMUM_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_SECONDS_FIELD_NUMBER: _ClassVar[int]
    maximum_seconds: int
    minimum_seconds: int
    def __init__(self, minimum_seconds: _Optional[int] = ..., maximum_seconds: _Optional[int] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ["dead_at", "delivery_attempts", "event", "first_delivered_at", "reason"]
    DEAD_AT_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    FIRST_DELIVERED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    dead_at: _timestamp_pb2.Timestamp
    delivery_attempts: int
    event: _events_pb2.Event
    first_delivered_at: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, event: _Optional[_Union[_events_pb2.Event, _Mapping]] = ..., delivery_attempts: _Optional[int] = ..., first_delivered_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., dead_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class DeleteDeadLettersRequest(_message.Message):
    __slots__ = ["all", "dry_run", "event_ids", "name"]
    ALL_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    all: bool
    dry_run: bool
    event_ids: _containers.RepeatedScalarFieldContainer[str]
    name: str
    def __init__(self, name: _Optional[str] = ..., event_ids: _Optional[_Iterable[str]] = ..., all: bool = ..., dry_run: bool = ...) -> None: ...

class DeleteDeadLettersResponse(_message.Message):
    __slots__ = ["deleted", "left"]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    left: int
    def __init__(self, deleted: _Optional[int] = ..., left: _Optional[int] = ...) -> None: ...

class DeleteSubscriptionRequest(_message.Message):
    __slots__ = ["name"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteSubscriptionResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class Delivery(_message.Message):
    __slots__ = ["ack_id", "delivery_attempt", "event", "lease_expires_at"]
    ACK_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    ack_id: str
    delivery_attempt: int
    event: _events_pb2.Event
    lease_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, event: _Optional[_Union[_events_pb2.Event, _Mapping]] = ..., ack_id: _Optional[str] = ..., delivery_attempt: _Optional[int] = ..., lease_expires_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExtendRequest(_message.Message):
    __slots__ = ["ack_ids", "lease_seconds", "name"]
    ACK_IDS_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ack_ids: _containers.RepeatedScalarFieldContainer[str]
    lease_seconds: int
    name: str
    def __init__(self, name: _Optional[str] = ..., ack_ids: _Optional[_Iterable[str]] = ..., lease_seconds: _Optional[int] = ...) -> None: ...

class ExtendResponse(_message.Message):
    __slots__ = ["results"]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SettleResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SettleResult, _Mapping]]] = ...) -> None: ...

class GetSubscriptionRequest(_message.Message):
    __slots__ = ["name"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetSubscriptionResponse(_message.Message):
    __slots__ = ["backlog", "backlog_is_estimate", "dead_letters", "delayed", "oldest_unsettled_at", "outstanding", "position", "subscription"]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_IS_ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    DELAYED_FIELD_NUMBER: _ClassVar[int]
    OLDEST_UNSETTLED_AT_FIELD_NUMBER: _ClassVar[int]
    OUTSTANDING_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    backlog: int
    backlog_is_estimate: bool
    dead_letters: int
    delayed: int
    oldest_unsettled_at: _timestamp_pb2.Timestamp
    outstanding: int
    position: int
    subscription: Subscription
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., position: _Optional[int] = ..., backlog: _Optional[int] = ..., backlog_is_estimate: bool = ..., outstanding: _Optional[int] = ..., delayed: _Optional[int] = ..., dead_letters: _Optional[int] = ..., oldest_unsettled_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ["filter", "name", "page_size", "page_token"]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: _events_pb2.EventFilter
    name: str
    page_size: int
    page_token: str
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[_Union[_events_pb2.EventFilter, _Mapping]] = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ["dead_letters", "next_page_token"]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[DeadLetter]
    next_page_token: str
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[DeadLetter, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListSubscriptionsRequest(_message.Message):
    __slots__ = ["page_size", "page_token"]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSubscriptionsResponse(_message.Message):
    __slots__ = ["next_page_token", "subscriptions"]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    next_page_token: str
    subscriptions: _containers.RepeatedCompositeFieldContainer[Subscription]
    def __init__(self, subscriptions: _Optional[_Iterable[_Union[Subscription, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class NackRequest(_message.Message):
    __slots__ = ["ack_ids", "dead_letter", "delay_seconds", "name", "reason"]
    ACK_IDS_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    DELAY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ack_ids: _containers.RepeatedScalarFieldContainer[str]
    dead_letter: bool
    delay_seconds: int
    name: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., ack_ids: _Optional[_Iterable[str]] = ..., delay_seconds: _Optional[int] = ..., reason: _Optional[str] = ..., dead_letter: bool = ...) -> None: ...

class NackResponse(_message.Message):
    __slots__ = ["results"]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SettleResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SettleResult, _Mapping]]] = ...) -> None: ...

class PullRequest(_message.Message):
    __slots__ = ["lease_seconds", "max_bytes", "max_events", "name", "pull_id", "wait_ms"]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_EVENTS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PULL_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    lease_seconds: int
    max_bytes: int
    max_events: int
    name: str
    pull_id: str
    wait_ms: int
    def __init__(self, name: _Optional[str] = ..., max_events: _Optional[int] = ..., max_bytes: _Optional[int] = ..., lease_seconds: _Optional[int] = ..., wait_ms: _Optional[int] = ..., pull_id: _Optional[str] = ...) -> None: ...

class PullResponse(_message.Message):
    __slots__ = ["deliveries", "empty_because"]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    EMPTY_BECAUSE_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    empty_because: EmptyBecause
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., empty_because: _Optional[_Union[EmptyBecause, str]] = ...) -> None: ...

class PutSubscriptionRequest(_message.Message):
    __slots__ = ["acknowledge_in_inbox", "after_dead_letter", "backoff", "description", "filter", "lease_seconds", "max_delivery_attempts", "max_outstanding", "name", "ordering", "paused", "start"]
    ACKNOWLEDGE_IN_INBOX_FIELD_NUMBER: _ClassVar[int]
    AFTER_DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_DELIVERY_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTSTANDING_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORDERING_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    acknowledge_in_inbox: bool
    after_dead_letter: AfterDeadLetter
    backoff: Backoff
    description: str
    filter: SubscriptionFilter
    lease_seconds: int
    max_delivery_attempts: int
    max_outstanding: int
    name: str
    ordering: Ordering
    paused: bool
    start: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., filter: _Optional[_Union[SubscriptionFilter, _Mapping]] = ..., start: _Optional[str] = ..., lease_seconds: _Optional[int] = ..., max_delivery_attempts: _Optional[int] = ..., backoff: _Optional[_Union[Backoff, _Mapping]] = ..., max_outstanding: _Optional[int] = ..., acknowledge_in_inbox: bool = ..., paused: bool = ..., ordering: _Optional[_Union[Ordering, str]] = ..., after_dead_letter: _Optional[_Union[AfterDeadLetter, str]] = ...) -> None: ...

class PutSubscriptionResponse(_message.Message):
    __slots__ = ["created", "subscription"]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    created: bool
    subscription: Subscription
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., created: bool = ...) -> None: ...

class RedriveDeadLettersRequest(_message.Message):
    __slots__ = ["all", "dry_run", "event_ids", "events_per_second", "name"]
    ALL_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    EVENTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    all: bool
    dry_run: bool
    event_ids: _containers.RepeatedScalarFieldContainer[str]
    events_per_second: int
    name: str
    def __init__(self, name: _Optional[str] = ..., event_ids: _Optional[_Iterable[str]] = ..., all: bool = ..., events_per_second: _Optional[int] = ..., dry_run: bool = ...) -> None: ...

class RedriveDeadLettersResponse(_message.Message):
    __slots__ = ["left", "redriven"]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    REDRIVEN_FIELD_NUMBER: _ClassVar[int]
    left: int
    redriven: int
    def __init__(self, redriven: _Optional[int] = ..., left: _Optional[int] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ["ack_ids", "name", "pull_id"]
    ACK_IDS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PULL_ID_FIELD_NUMBER: _ClassVar[int]
    ack_ids: _containers.RepeatedScalarFieldContainer[str]
    name: str
    pull_id: str
    def __init__(self, name: _Optional[str] = ..., ack_ids: _Optional[_Iterable[str]] = ..., pull_id: _Optional[str] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ["results"]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SettleResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SettleResult, _Mapping]]] = ...) -> None: ...

class SeekRequest(_message.Message):
    __slots__ = ["dry_run", "name", "to"]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    name: str
    to: str
    def __init__(self, name: _Optional[str] = ..., to: _Optional[str] = ..., dry_run: bool = ...) -> None: ...

class SeekResponse(_message.Message):
    __slots__ = ["events", "position"]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    events: int
    position: int
    def __init__(self, position: _Optional[int] = ..., events: _Optional[int] = ...) -> None: ...

class SettleResult(_message.Message):
    __slots__ = ["error", "late", "lease_expires_at"]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    error: _events_pb2.ItemError
    late: bool
    lease_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, late: bool = ..., lease_expires_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[_events_pb2.ItemError, _Mapping]] = ...) -> None: ...

class Subscription(_message.Message):
    __slots__ = ["acknowledge_in_inbox", "after_dead_letter", "backoff", "created_at", "description", "filter", "lease_seconds", "max_delivery_attempts", "max_outstanding", "name", "ordering", "paused"]
    ACKNOWLEDGE_IN_INBOX_FIELD_NUMBER: _ClassVar[int]
    AFTER_DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_DELIVERY_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTSTANDING_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORDERING_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    acknowledge_in_inbox: bool
    after_dead_letter: AfterDeadLetter
    backoff: Backoff
    created_at: _timestamp_pb2.Timestamp
    description: str
    filter: SubscriptionFilter
    lease_seconds: int
    max_delivery_attempts: int
    max_outstanding: int
    name: str
    ordering: Ordering
    paused: bool
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., filter: _Optional[_Union[SubscriptionFilter, _Mapping]] = ..., lease_seconds: _Optional[int] = ..., max_delivery_attempts: _Optional[int] = ..., backoff: _Optional[_Union[Backoff, _Mapping]] = ..., max_outstanding: _Optional[int] = ..., acknowledge_in_inbox: bool = ..., paused: bool = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., ordering: _Optional[_Union[Ordering, str]] = ..., after_dead_letter: _Optional[_Union[AfterDeadLetter, str]] = ...) -> None: ...

class SubscriptionFilter(_message.Message):
    __slots__ = ["event_types", "sources"]
    EVENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    event_types: _containers.RepeatedScalarFieldContainer[str]
    sources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sources: _Optional[_Iterable[str]] = ..., event_types: _Optional[_Iterable[str]] = ...) -> None: ...

class Ordering(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class AfterDeadLetter(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class EmptyBecause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
