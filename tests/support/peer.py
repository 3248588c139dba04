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

    def die(self):
        """Closes with a reset, as the kernel does for a killed process with unread data."""
        linger = struct.pack("ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()

    def close(self):
        self.socket.close()


class WebSocketPeer(Peer):
    def __init__(self, url, timeout=20.0):
        super().__init__(url, timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        self.send_bytes(
            (
                f"GET {self._parts.path} HTTP/1.1\r\nHost: {self._parts.netloc}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n\r\n"
            ).encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.read(1)
        assert answer.startswith(b"HTTP/1.1 101"), answer

    @staticmethod
    def frame(body):
        size = len(body)
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 65536:
            length = bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            length = bytes([0x80 | 127]) + struct.pack(">Q", size)
        # A mask of zeros is a mask: the body goes as it is.
        return b"\x82" + length + bytes(4) + body

    def receive_body(self):
        body = b""
        final = False
        while not final:
            head = self.read(2)
            final = head[0] & 0x80
            size = head[1] & 127
            if size == 126:
                size = struct.unpack(">H", self.read(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.read(8))[0]
            body += self.read(size)
        return body


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
