"""The programs that serve TLS, as tests of TLS see them: how each is told its certificate, and greets."""

import os
import socket
import ssl
from dataclasses import dataclass

from support.peer import GREETING

RELOADED = "the certificate was read again"
KEPT = "the new certificate cannot be used"
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class Served:
    """A program that serves TLS."""

    name: str
    prefix: str  # of its settings
    hello: bytes  # what a client says first
    greeting: bytes  # how the answer begins
    end: bytes  # and ends
    versions: list  # of TLS

    def settings(self, pair, client_ca=None):
        """Settings with the paths of a certificate and its key, and of the authorities of clients."""
        paths = zip(("CERT", "KEY", "CLIENT_CA"), (*pair, client_ca))
        return {f"{self.prefix}_{word}": path for word, path in paths if path}

    def greet(self, program, context):
        """The first bytes from a program of this kind; raises what TLS and sockets raise."""
        with connect(program, context) as peer:
            return self.greet_on(peer)

    def greet_on(self, peer):
        peer.sendall(self.hello)
        answer = peer.recv(1000)
        while answer and not answer.endswith(self.end):
            piece = peer.recv(1000)
            answer = piece and answer + piece
        return answer[: len(self.greeting)]


V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BRIDGE = Served("triggers-bridge", "API_TLS", HEALTH, b"HTTP/1.1 200", b"}", [V12, V13])
CORE = Served("triggersd", "TRIGGERS_TLS", GREETING % 0x30, GREETING % 0x31, GREETING % 0x31, [V12])


def trusting(certificate):
    return ssl.create_default_context(cafile=certificate)


def connect(program, context, name="localhost"):
    """A TLS connection to the program's port."""
    plain = socket.create_connection(("127.0.0.1", program.port), 20)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def shown(program):
    """The certificate that the program shows, as bytes."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with connect(program, context) as peer:
        return peer.getpeercert(binary_form=True)


def der(certificate):
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


def processor_seconds(program):
    fields = open(f"/proc/{program.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
