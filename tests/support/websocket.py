"""A bare SP peer over WebSocket, written from RFC 6455 and the SP mapping: it can die at any byte."""

import base64
import os
import socket
import struct
from urllib.parse import urlsplit


class BarePeer:
    """One connection that sends REQ messages and reads nothing unless told to."""

    def __init__(self, url, timeout=20.0):
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            (
                f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n\r\n"
            ).encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            received = self._socket.recv(1)
            if not received:
                raise ConnectionError(f"closed during the handshake after {answer!r}")
            answer += received
        assert answer.startswith(b"HTTP/1.1 101"), answer

    def send(self, message, number=1):
        """Sends one request with the request id `number`."""
        body = struct.pack(">I", 0x80000000 | number) + message
        size = len(body)
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 65536:
            length = bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            length = bytes([0x80 | 127]) + struct.pack(">Q", size)
        # A mask of zeros is a mask: the body goes as it is.
        self.send_bytes(b"\x82" + length + bytes(4) + body)

    def send_bytes(self, data):
        """Sends bytes as they are, frames or not."""
        self._socket.sendall(data)

    def receive(self):
        """Reads one reply: its request id and message."""
        head = self._read(2)
        size = head[1] & 127
        if size == 126:
            size = struct.unpack(">H", self._read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self._read(8))[0]
        body = self._read(size)
        return struct.unpack(">I", body[:4])[0] & 0x7FFFFFFF, body[4:]

    def _read(self, size):
        data = b""
        while len(data) < size:
            received = self._socket.recv(size - len(data))
            if not received:
                raise ConnectionError("the server closed the connection")
            data += received
        return data

    def die(self):
        """Closes with a reset, as the kernel does for a killed process with unread data."""
        linger = struct.pack("ii", 1, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    def close(self):
        self._socket.close()
