"""Event ids: TypeID 0.3 with the prefix "evt" over a UUIDv7 (RFC 9562)."""

import re
import secrets
import threading
import time
import uuid

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TEXT = re.compile(f"evt_[0-7][{_ALPHABET}]{{25}}")
_lock = threading.Lock()
_last_time = 0


def _next_time() -> int:
    """60 bits of time: milliseconds and 1/4096 of them. Ascends even when the clock does not, so
    that the ids of one process sort as they were made (RFC 9562, 6.2, method 3)."""
    global _last_time
    nanoseconds = time.time_ns()
    now = nanoseconds // 1_000_000 << 12 | nanoseconds % 1_000_000 * 4096 // 1_000_000
    with _lock:
        _last_time = max(now, _last_time + 1)
        return _last_time


def new_event_id() -> str:
    """Makes a new event id, such as evt_01h455vb4pex5vsknk084sn02q. Any thread."""
    moment = _next_time()
    value = (moment >> 12) << 80 | 0x7 << 76 | (moment & 0xFFF) << 64
    return format_event_id(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))


def format_event_id(value: uuid.UUID) -> str:
    """The text of an id."""
    return "evt_" + "".join(_ALPHABET[value.int >> shift & 31] for shift in range(125, -1, -5))


def parse_event_id(text: str) -> uuid.UUID:
    """The UUID in an event id; ValueError when the text is none."""
    if not _TEXT.fullmatch(text):
        raise ValueError('an event id is "evt_" and 26 characters of lower-case base32')
    value = 0
    for character in text[4:]:
        value = value << 5 | _ALPHABET.index(character)
    return uuid.UUID(int=value)
