"""What calls take and return, as plain immutable values."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Any, TypeAlias

from triggers_client._errors import TriggersError

Payload: TypeAlias = "bytes | bytearray | str | Mapping[str, Any]"
"""One JSON object: as bytes in UTF-8 or text, which are sent as they are, or as a mapping, which
json.dumps encodes. Everything else is refused, and so is what JSON has no word for inside of a
mapping: NaN, keys that are not str, dates, sets, objects."""


class EventStatus(IntEnum):
    """Where an event is in its life."""

    PENDING = 1
    ACKNOWLEDGED = 2


class Order(IntEnum):
    """Order of a list, by the place in the log."""

    NEWEST_FIRST = 1
    OLDEST_FIRST = 2


class Serving(Enum):
    """Whether the service can do its work now."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2  # the core answers, its store does not


@dataclass(frozen=True)
class NewEvent:
    """An event to create. The client makes `event_id` when neither it nor `idempotency_key` is
    given. Subscriptions that order by key give out one event of an `ordering_key` at a time, and
    an event with `deliver_at` (with a time zone) or `delay` (whole seconds), up to 31 days ahead,
    when it is due; the inbox and the log show it at once. An event has at most one of the three."""

    source: str
    event_type: str
    payload: Payload
    event_id: str | None = None
    idempotency_key: str | None = None
    ordering_key: str | None = None
    deliver_at: datetime | None = None
    delay: timedelta | None = None


@dataclass(frozen=True)
class Event:
    """An event as stored. Times are in UTC."""

    event_id: str
    source: str
    event_type: str
    payload: bytes  # as it was sent; empty once it was erased
    status: EventStatus
    created_at: datetime
    acknowledged_at: datetime | None = None
    sequence: int = 0  # its place in the log, from 1
    payload_erased: bool = False  # the payload was removed for good, and is empty
    ordering_key: str = ""  # subscriptions by key give out one event of a key at a time
    deliver_at: datetime | None = None  # when subscriptions give it out; None: at once

    def json(self) -> dict[str, Any]:
        """The payload decoded by json.loads, which makes floats of numbers with a fraction or an
        exponent. Once it was erased there is none: a ValueError."""
        decoded: dict[str, Any] = json.loads(self.payload)
        return decoded


@dataclass(frozen=True)
class Created:
    """A stored event; time and place in the log are those of the first create when this one was a
    repeat."""

    event_id: str
    created_at: datetime
    sequence: int = 0


@dataclass(frozen=True)
class Acknowledged:
    """An acknowledged event and when it was first acknowledged."""

    event_id: str
    acknowledged_at: datetime


@dataclass(frozen=True)
class Erased:
    """An event whose payload was removed for good, and its place in the log."""

    event_id: str
    sequence: int


CreateResult: TypeAlias = "Created | TriggersError"
AckResult: TypeAlias = "Acknowledged | TriggersError"


@dataclass(frozen=True)
class Page:
    """A page of the inbox. `next_page_token` is "" on the last one."""

    events: tuple[Event, ...]
    next_page_token: str


@dataclass(frozen=True)
class Filter:
    """Which events: those that pass each of these. A name is exact or, with "*" at its end, the
    beginning of one; one of them must fit, and without any all do. Times have a time zone."""

    sources: Sequence[str] = ()
    event_types: Sequence[str] = ()
    from_time: datetime | None = None  # created at this time or later
    until_time: datetime | None = None  # created before this time


@dataclass(frozen=True)
class LogPage:
    """A part of the log, in its order. Whoever goes on after `next_after` misses nothing and gets
    nothing twice. From `first_sequence` on nothing was removed."""

    events: tuple[Event, ...]
    next_after: int
    first_sequence: int


@dataclass(frozen=True)
class Delivery:
    """An event that a subscription gave to a worker, for a time. `lost` is set when that is over
    before the handler has ended: somebody else may have the event now, and whatever becomes of it
    here will not count."""

    event: Event
    ack_id: str
    attempt: int  # how often the event was given out, this time included
    lease_expires_at: datetime  # as it was pulled; the worker extends it
    lost: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)


@dataclass(frozen=True)
class Kind:
    """What events are about."""

    source: str
    event_type: str


@dataclass(frozen=True)
class KindPage:
    """A page of kinds, in the order in which they first came. `next_page_token` is "" on the last
    one."""

    kinds: tuple[Kind, ...]
    next_page_token: str


@dataclass(frozen=True)
class Health:
    """What the core says of itself."""

    status: Serving
    version: str
    store: str  # "sqlite" or "postgresql"
