"""HTTP as bytes: for requests that no client library would send, and answers as they are."""

import re
import socket

from support.https import secured
from support.keys import AUTHORIZATION, KEYED

FIRST_LINE = re.compile(rb" HTTP/1\.[01]\r\n")
KEY_LINE = f"Authorization: {AUTHORIZATION}\r\n".encode()


def with_key(data):
    """Requests as bytes, with the key in runs that have one."""
    return FIRST_LINE.sub(rb"\g<0>" + KEY_LINE, data) if KEYED else data


def in_pieces(text, size):
    """Requests as text, cut into pieces of `size` bytes for Wire.send_piece, with the key in runs that have one."""
    data = with_key(text.encode("latin-1"))
    return [data[at : at + size] for at in range(0, len(data), size)]


class Answer:
    """One response: status, headers with lower-case names (several values are joined), body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body!r}"


class Wire:
    """One connection to a bridge."""

    def __init__(self, bridge, timeout=30.0):
        peer = socket.create_connection(("127.0.0.1", bridge.port), timeout)
        self.socket = secured(bridge, peer)
        self._file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._file.close()
        self.socket.close()

    def send(self, *parts):
        for part in parts:
            data = part if isinstance(part, bytes) else part.encode("latin-1")
            self.socket.sendall(with_key(data))

    def send_piece(self, data):
        """Bytes of a request that may begin anywhere."""
        self.socket.sendall(data)

    def read(self, body=True):
        """The next response; None when the peer closed instead. body=False after a HEAD."""
        line = self._file.readline()
        while line.startswith(b"HTTP/1.1 100"):
            assert self._file.readline() == b"\r\n"
            line = self._file.readline()
        if not line:
            return None
        headers = {}
        for header in iter(self._file.readline, b"\r\n"):
            name, _, value = header.decode("latin-1").rstrip("\r\n").partition(": ")
            name = name.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        size = int(headers.get("content-length", 0)) if body else 0
        return Answer(int(line.split()[1]), headers, self._file.read(size))

    def drain(self):
        """Everything until the peer closes."""
        text = b""
        try:
            while piece := self._file.read1(65536):
                text += piece
        except ConnectionResetError:
            pass
        return text

    def closed(self):
        """Whether the peer closes now, without sending more."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True


def exchange(bridge, *parts):
    """Sends the parts on a new connection and returns the answer, None when there is none."""
    with Wire(bridge) as wire:
        wire.send(*parts)
        return wire.read()


def get(path, *headers):
    """A GET as text."""
    return f"GET {path} HTTP/1.1\r\n" + "\r\n".join(["Host: localhost", *headers]) + "\r\n\r\n"
