"""Checks of what callers give: nonsense is an error that names it, before anything is sent."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Set
from datetime import timedelta
from enum import IntEnum
from typing import Any

from triggers_client._errors import FieldViolation, InvalidArgumentError

LONGEST_DELAY = 31 * 86400  # seconds
LONGEST_WAIT = 20.0  # seconds; a core waits no longer
_PAYLOAD = "one JSON object as str, bytes or bytearray, or as a Mapping with keys that are str"
_JSON = "None, bool, int, float, str, and list, tuple and dict of such"


def wrong(name: str, problem: str, accepted: str) -> InvalidArgumentError:
    """The error of an argument, such as "source", or of a part, such as "events[3].payload.a"."""
    argument = re.sub(r"^events\[\d+\]\.|^(event_id)s", r"\1", name)
    reason = re.split(r"[.\[]", argument)[0].upper() + "_INVALID"
    violation = FieldViolation(name, f"accepted is {accepted}")
    return InvalidArgumentError(reason, f"{name} {problem}; accepted is {accepted}", [violation])


def wrong_type(name: str, value: object, accepted: str) -> InvalidArgumentError:
    return wrong(name, f"is of the type {type(value).__name__}", accepted)


def _encode(name: str, value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise wrong(name, "has half of a surrogate pair", "what UTF-8 can express") from None


def text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(name, value, "str")
    _encode(name, value)
    return value


def api_key(name: str, value: str) -> str:
    """The text of a key, which no error shows."""
    accepted = "the text of a key, visible characters of ASCII, or a function that gives it"
    if not isinstance(value, str):
        raise wrong_type(name, value, accepted)
    if not re.fullmatch("[!-~]+", value):
        raise wrong(name, "is none", accepted)
    return value


def optional_text(name: str, value: str | None) -> str:
    return "" if value is None else text(name, value)


def texts(name: str, values: Mapping[str, str]) -> Mapping[str, str]:
    """Metadata."""
    if not isinstance(values, Mapping):
        raise wrong_type(name, values, "a Mapping of str to str")
    for key, value in values.items():
        text(name, key)
        text(f"{name}.{key}", value)
    return values


def seconds(name: str, value: float) -> float:
    """A time to wait."""
    accepted = "a number of seconds over 0"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, value, accepted)
    if not 0 < value < math.inf:
        raise wrong(name, f"is {value}", accepted)
    return value


def wait(name: str, value: float) -> float:
    """Seconds that a call may be parked; longer ones are as the longest."""
    accepted = "a number of seconds, 0 or more"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, value, accepted)
    if not 0 <= value < math.inf:
        raise wrong(name, f"is {value}", accepted)
    return min(value, LONGEST_WAIT)


def delay(name: str, value: timedelta | None) -> int | None:
    """The seconds by which an event is delayed."""
    accepted = "a timedelta of whole seconds, 0 to 31 days"
    if value is None:
        return None
    if not isinstance(value, timedelta):
        raise wrong_type(name, value, accepted)
    count, rest = divmod(value, timedelta(seconds=1))
    if rest or not 0 <= count <= LONGEST_DELAY:
        raise wrong(name, f"is {value}", accepted)
    return count


def whole_number(name: str, value: int, bits: int = 32) -> int:
    accepted = f"a whole number of {bits} bits"
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, value, accepted)
    if abs(value) >= 2 ** (bits - 1):
        raise wrong(name, f"is {value}", accepted)
    return value


def member(name: str, value: IntEnum, kind: type[IntEnum]) -> int:
    if not isinstance(value, kind):
        raise wrong_type(name, value, f"a member of {kind.__name__}")
    return int(value)


def elements(name: str, items: Iterable[Any]) -> list[Any]:
    """What a batch is of. A text iterates over its characters, and a set in no order."""
    if not isinstance(items, Iterable) or isinstance(
        items, str | bytes | bytearray | Mapping | Set
    ):
        raise wrong_type(name, items, "a list")
    return list(items)


# ---- payloads ----


def payload(name: str, value: bytes | bytearray | str | Mapping[str, Any]) -> bytes:
    """The bytes of a payload."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, str):
        return _encode(name, value)
    if not isinstance(value, Mapping):
        raise wrong_type(name, value, _PAYLOAD)
    try:
        _check_json(name, dict(value))
        encoded = json.dumps(dict(value), ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise wrong(name, "is nested too deeply, or contains itself", _PAYLOAD) from None
    except ValueError as error:  # such as an integer with more digits than Python writes
        raise wrong(name, f"cannot be written as JSON: {error}", _PAYLOAD) from error
    return _encode(name, encoded)


def _check_json(name: str, value: object) -> None:
    """Refuses what json.dumps would refuse or turn into something else. A named tuple, which would
    lose its names, is no tuple here."""
    if value is None or isinstance(value, str | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise wrong(name, f"is {value}", _JSON)
    elif isinstance(value, dict):
        for key, element in value.items():
            if not isinstance(key, str):
                kind = type(key).__name__
                raise wrong(name, f"has a key of the type {kind}", "keys that are str")
            _check_json(f"{name}.{key}", element)
    elif isinstance(value, list) or type(value) is tuple:
        for index, element in enumerate(value):
            _check_json(f"{name}[{index}]", element)
    else:
        raise wrong_type(name, value, _JSON)
