"""What the .proto files say of methods, as their descriptors have it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from triggers_client import _arguments
from triggers_client._errors import InvalidArgumentError
from triggers_client.proto.triggers.api.v1 import options_pb2


@dataclass(frozen=True)
class Method:
    """One method. The members are those of triggers.api.v1.Call; messages by their full names."""

    name: str
    request: str
    response: str
    repeatable: bool  # may be sent again when it is not known what became of it
    waits: bool  # silence up to the deadline is no sign of trouble

    def check(self, request: Message, response: type[Message]) -> None:
        """Refuses messages that are not the method's."""
        if not isinstance(request, Message) or request.DESCRIPTOR.full_name != self.request:
            raise _arguments.wrong_type("request", request, f"a {self.request}")
        descriptor = getattr(response, "DESCRIPTOR", None) if isinstance(response, type) else None
        if getattr(descriptor, "full_name", "") != self.response:
            raise _arguments.wrong("response", f"is {response}", f"the class of {self.response}")


@cache
def find_method(name: str) -> Method:
    """A method by its full name, such as "triggers.v1.EventService/GetEvent"; its generated module
    has been imported by whoever has its messages."""
    try:
        service, _, short = name.partition("/")
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[short]
    except KeyError:
        message = f"no module of messages that is imported has the method {name!r}; "
        message += "methods are named package.Service/Method"
        raise InvalidArgumentError("METHOD_UNKNOWN", message) from None
    options: options_pb2.Call = method.GetOptions().Extensions[options_pb2.call]  # type: ignore[index]
    return Method(
        name,
        method.input_type.full_name,
        method.output_type.full_name,
        options.repeatable,
        options.waits,
    )
