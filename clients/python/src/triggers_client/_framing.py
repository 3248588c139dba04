"""SP's mappings: how messages become bytes and bytes messages, over WebSocket and over a byte
stream. No input or output happens here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from triggers_client._address import Address

_MAX_ANSWER = 16 << 20  # a page has at most 8 MiB of payloads, and what belongs to them
# SP over WebSocket: the sub-protocol is named after the peer, a binary message is a message.
# nng sends frames of this size, and takes none of more than 1 MiB.
_MAX_FRAME = 64 << 10
_SUB_PROTOCOL = Subprotocol("rep.sp.nanomsg.org")
# SP over a byte stream: what each side, a REQ and a REP, opens with. Then every message follows its
# length in 64 bits, on ipc after a byte that says "message".
_HELLO_REQ = b"\0SP\0\0\x30\0\0"
_HELLO_REP = b"\0SP\0\0\x31\0\0"
_IPC_MESSAGE = b"\x01"


class HostRefusedError(ConnectionError):
    """nng that listens on an IP address knows no other Host, so not localhost, for example."""


class Framing(Protocol):
    """What a connection needs of a mapping."""

    opened: bool  # whether the peer's part of the handshake came

    def hello(self) -> bytes: ...

    def encode(self, message: bytes) -> bytes: ...

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The messages that end in these bytes. Raises when the peer went wrong, or away."""

    def unsent(self) -> bytes:
        """What is to be sent because of what was decoded."""


class _Stream:
    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._header_size = len(prefix) + 8
        self._buffer = bytearray()
        self.opened = False

    def hello(self) -> bytes:
        return _HELLO_REQ

    def encode(self, message: bytes) -> bytes:
        return b"".join((self._prefix, len(message).to_bytes(8, "big"), message))

    def decode(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        begin, buffer = 0, self._buffer
        if not self.opened and len(buffer) >= len(_HELLO_REP):
            begin = len(_HELLO_REP)
            if buffer[:begin] != _HELLO_REP:
                raise ConnectionError("the peer does not speak SP as a REP")
            self.opened = True
        while self.opened and len(buffer) >= (body := begin + self._header_size):
            end = body + self._size(buffer[begin:body])
            if len(buffer) < end:
                break
            yield bytes(buffer[body:end])
            begin = end
        del buffer[:begin]

    def _size(self, header: bytearray) -> int:
        size = int.from_bytes(header[-8:], "big")
        if not header.startswith(self._prefix) or size > _MAX_ANSWER:
            raise ConnectionError("the peer sent no message of SP, or one that is too large")
        return size

    def unsent(self) -> bytes:
        return b""


class _WebSocket:
    def __init__(self, url: str, host: str) -> None:
        self._protocol = ClientProtocol(
            parse_uri(url), subprotocols=[_SUB_PROTOCOL], max_size=_MAX_ANSWER
        )
        self._host = host
        self._parts: list[bytes] = []
        self.opened = False

    def hello(self) -> bytes:
        request = self._protocol.connect()
        if self._host:
            del request.headers["Host"]
            request.headers["Host"] = self._host
        self._protocol.send_request(request)
        return self.unsent()

    def encode(self, message: bytes) -> bytes:
        last = len(message) <= _MAX_FRAME
        self._protocol.send_binary(message[:_MAX_FRAME], fin=last)
        for begin in range(_MAX_FRAME, len(message), _MAX_FRAME):
            end = begin + _MAX_FRAME
            self._protocol.send_continuation(message[begin:end], fin=end >= len(message))
        return self.unsent()

    def decode(self, data: bytes) -> Iterator[bytes]:
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        if not self.opened:
            self._check_handshake()
        for event in events:
            if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                self._parts.append(bytes(event.data))
                if event.fin:
                    yield b"".join(self._parts)
                    self._parts.clear()
        if self._protocol.close_expected():
            problem = self._protocol.parser_exc
            raise ConnectionError(str(problem or "the core closed the connection"))

    def _check_handshake(self) -> None:
        problem = self._protocol.handshake_exc
        if isinstance(problem, InvalidStatus) and problem.response.status_code == 404:
            raise HostRefusedError("the server knows no such host or path")
        if problem is not None:
            raise ConnectionError(str(problem)) from problem
        self.opened = self._protocol.state is State.OPEN
        if self.opened and self._protocol.subprotocol != _SUB_PROTOCOL:
            raise ConnectionError(f"the server does not speak {_SUB_PROTOCOL}")

    def unsent(self) -> bytes:
        return b"".join(self._protocol.data_to_send())


def framing_of(address: Address, host: str) -> Framing:
    """`host` is sent in place of the URL's, if given; only WebSocket sends it."""
    if address.scheme in ("ws", "wss"):
        return _WebSocket(address.url, host)
    return _Stream(_IPC_MESSAGE if address.scheme == "ipc" else b"")
