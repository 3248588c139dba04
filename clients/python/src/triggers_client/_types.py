"""What calls take and return, as plain immutable values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
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
    """Order of a list, by the time of creation."""

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
    given."""

    source: str
    event_type: str
    payload: Payload
    event_id: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Event:
    """An event as stored. Times are in UTC."""

    event_id: str
    source: str
    event_type: str
    payload: bytes  # as it was sent
    status: EventStatus
    created_at: datetime
    acknowledged_at: datetime | None = None

    def json(self) -> dict[str, Any]:
        """The payload decoded by json.loads, which makes floats of numbers with a fraction or an
        exponent."""
        decoded: dict[str, Any] = json.loads(self.payload)
        return decoded


@dataclass(frozen=True)
class Created:
    """A stored event; `created_at` of the first create when this one was a repeat."""

    event_id: str
    created_at: datetime


@dataclass(frozen=True)
class Acknowledged:
    """An acknowledged event and when it was first acknowledged."""

    event_id: str
    acknowledged_at: datetime


CreateResult: TypeAlias = "Created | TriggersError"
AckResult: TypeAlias = "Acknowledged | TriggersError"


@dataclass(frozen=True)
class Page:
    """A page of the inbox. `next_page_token` is "" on the last one."""

    events: tuple[Event, ...]
    next_page_token: str


@dataclass(frozen=True)
class Health:
    """What the core says of itself."""

    status: Serving
    version: str
    store: str  # "sqlite" or "postgresql"
