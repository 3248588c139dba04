"""What a call fails with: one exception class for each code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class Code(IntEnum):
    """The numbers of google.rpc.Code."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_RETRYABLE = (Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.ABORTED, Code.DEADLINE_EXCEEDED)


@dataclass(frozen=True)
class FieldViolation:
    """One wrong field: its path in the request, as "events[3].payload", and what is accepted."""

    field: str
    description: str


class TriggersError(Exception):
    """A call, or one item of a batch, failed. `reason` is for programs, `message` for people;
    `retry_delay` are the seconds that the core advises to wait, 0 for no advice; `first_sequence`
    is OutOfRangeError's, else 0."""

    code: Code = Code.UNKNOWN

    def __init__(
        self,
        reason: str,
        message: str,
        violations: Sequence[FieldViolation] = (),
        retry_delay: float = 0.0,
        first_sequence: int = 0,
    ) -> None:
        super().__init__(reason, message, violations, retry_delay, first_sequence)
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.retry_delay = retry_delay
        self.first_sequence = first_sequence

    def __str__(self) -> str:
        return f"{self.code.name} {self.reason}: {self.message}"

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later. Of the other codes CANCELLED, UNKNOWN,
        INTERNAL and DATA_LOSS are not the request's fault either."""
        return self.code in _RETRYABLE

    _classes: ClassVar[dict[int, type[TriggersError]]] = {}

    def __init_subclass__(cls) -> None:
        TriggersError._classes.setdefault(cls.code, cls)  # the first is ours

    @staticmethod
    def of(
        code: int,
        reason: str,
        message: str,
        violations: Sequence[FieldViolation] = (),
        retry_delay: float = 0.0,
        first_sequence: int = 0,
    ) -> TriggersError:
        """The error of a code; of numbers that nobody knows yet, UnknownError."""
        error_class = TriggersError._classes.get(code, UnknownError)
        return error_class(reason, message, violations, retry_delay, first_sequence)


class CancelledError(TriggersError):
    code = Code.CANCELLED


class UnknownError(TriggersError):
    code = Code.UNKNOWN


class InvalidArgumentError(TriggersError):
    code = Code.INVALID_ARGUMENT


class DeadlineExceededError(TriggersError):
    """No answer in time. A write may or may not have happened; sending it again is safe."""

    code = Code.DEADLINE_EXCEEDED


class NotFoundError(TriggersError):
    code = Code.NOT_FOUND


class AlreadyExistsError(TriggersError):
    """The event id is taken by an event with other content."""

    code = Code.ALREADY_EXISTS


class PermissionDeniedError(TriggersError):
    code = Code.PERMISSION_DENIED


class ResourceExhaustedError(TriggersError):
    code = Code.RESOURCE_EXHAUSTED


class FailedPreconditionError(TriggersError):
    code = Code.FAILED_PRECONDITION


class AbortedError(TriggersError):
    code = Code.ABORTED


class OutOfRangeError(TriggersError):
    """Events after the position were removed from the log. `first_sequence` is the first that is
    there: who can do without the others goes on after `first_sequence - 1`."""

    code = Code.OUT_OF_RANGE


class UnimplementedError(TriggersError):
    code = Code.UNIMPLEMENTED


class InternalError(TriggersError):
    code = Code.INTERNAL


class UnavailableError(TriggersError):
    """The core cannot be reached, or cannot reach its store, or is stopping."""

    code = Code.UNAVAILABLE


class DataLossError(TriggersError):
    code = Code.DATA_LOSS


class UnauthenticatedError(TriggersError):
    code = Code.UNAUTHENTICATED
