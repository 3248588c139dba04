from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

CALL_FIELD_NUMBER: _ClassVar[int]
DESCRIPTOR: _descriptor.FileDescriptor
SCOPE_AUDIT_READ: Scope
SCOPE_EVENTS_ACK: Scope
SCOPE_EVENTS_READ: Scope
SCOPE_EVENTS_WRITE: Scope
SCOPE_KEYS_MANAGE: Scope
SCOPE_METRICS_READ: Scope
SCOPE_NONE: Scope
SCOPE_OPERATOR: Scope
SCOPE_SUBSCRIPTIONS_CONSUME: Scope
SCOPE_SUBSCRIPTIONS_MANAGE: Scope
SCOPE_UNSPECIFIED: Scope
call: _descriptor.FieldDescriptor

class Call(_message.Message):
    __slots__ = ["body", "hand_made", "http", "repeatable", "scope", "waits"]
    BODY_FIELD_NUMBER: _ClassVar[int]
    HAND_MADE_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    REPEATABLE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    body: str
    hand_made: bool
    http: str
    repeatable: bool
    scope: Scope
    waits: bool
    def __init__(self, http: _Optional[str] = ..., body: _Optional[str] = ..., hand_made: bool = ..., scope: _Optional[_Union[Scope, str]] = ..., repeatable: bool = ..., waits: bool = ...) -> None: ...

class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
