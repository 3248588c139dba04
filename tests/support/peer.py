"""Bare SP peers over WebSocket and TCP, written from RFC 6455 and the SP mappings: they can die at any
byte."""

import base64
import os
import socket
import struct
from urllib.parse import urlsplit

GREETING = b"\x00SP\x00\x00%c\x00\x00"
REQUESTER, REPLIER = 0x30, 0x31


class Peer:
    """One connection that sends REQ messages and reads nothing unless told to."""

    def __init__(self, url, timeout=20.0):
        self._parts = urlsplit(url)
        address = (self._parts.hostname, self._parts.port)
        self.socket = socket.create_connection(address, timeout)

    def send(self, message, number=1):
        """Sends one request with the request id `number`."""
        self.send_bytes(self.frame(struct.pack(">I", 0x80000000 | number) + message))

    def send_bytes(self, data):
        """Sends bytes as they are, frames or not."""
        self.socket.sendall(data)

    def receive(self):
        """Reads one reply: its request id and message."""
        body = self.receive_body()
        return struct.unpack(">I", body[:4])[0] & 0x7FFFFFFF, body[4:]

    def read(self, size):
        data = b""
        while len(data) < size:
            received = self.socket.recv(size - len(data))
            if not received:
                raise ConnectionError("the server closed the connection")
            data += received
        return data

    def wait_closed(self):
        """Reads until the other side closes the connection; returns what came."""
        data = b""
        try:
            while received := self.socket.recv(65536):
                data += received
        except ConnectionError:
            pass
        return data

    def die(self):
        """Closes with a reset, as the kernel does for a killed process with unread data."""
        linger = struct.pack("ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "rep.sp.nanomsg.org",
}


def websocket_frame(first, payload, mask=bytes(4)):
    """A client's frame, whose first byte has its opcode and the flags. A mask of zeros is a mask: the
    payload goes as it is."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        length = bytes([0x80 | 127]) + struct.pack(">Q", size)
    if any(mask):
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes([first]) + length + mask + payload


class UngreetedWebSocketPeer(Peer):
    """It has not upgraded its connection."""

    def request(self, **headers):
        """The head of the request to upgrade; with other headers, or without those that are None."""
        key = base64.b64encode(os.urandom(16)).decode()
        wanted = {"Host": self._parts.netloc, "Sec-WebSocket-Key": key, **UPGRADE, **headers}
        lines = [f"{name}: {value}\r\n" for name, value in wanted.items() if value is not None]
        return f"GET {self._parts.path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()

    def read_head(self):
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.read(1)
        return answer

    @staticmethod
    def frame(body):
        return websocket_frame(0x82, body)

    def read_frame(self):
        """The first byte of a frame, and its payload."""
        first, size = self.read(2)
        if size == 126:
            size = struct.unpack(">H", self.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.read(8))[0]
        return first, self.read(size)

    def receive_body(self):
        body = b""
        first = 0
        while not first & 0x80:
            first, part = self.read_frame()
            body += part
        return body


class WebSocketPeer(UngreetedWebSocketPeer):
    def __init__(self, url, timeout=20.0):
        super().__init__(url, timeout)
        self.send_bytes(self.request())
        answer = self.read_head()
        assert answer.startswith(b"HTTP/1.1 101"), answer


class UngreetedTcpPeer(Peer):
    """It has not said which protocol it speaks."""

    @staticmethod
    def frame(body):
        return struct.pack(">Q", len(body)) + body

    def receive_body(self):
        return self.read(struct.unpack(">Q", self.read(8))[0])


class TcpPeer(UngreetedTcpPeer):
    def __init__(self, url, timeout=20.0):
        super().__init__(url, timeout)
        self.send_bytes(GREETING % REQUESTER)
        greeting = self.read(8)
        assert greeting == GREETING % REPLIER, greeting


def connect(url, timeout=20.0):
    """A peer of a ws:// or tcp:// URL."""
    return (WebSocketPeer if url.startswith("ws:") else TcpPeer)(url, timeout)
