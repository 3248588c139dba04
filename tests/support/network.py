"""Ports of this machine and waiting for conditions."""

import collections
import random
import socket
import struct
import time

DEADLINE = 30.0  # seconds; generous, for sanitizer builds on a busy machine
MAX_RESERVATIONS = 200
reservations = collections.deque()  # of ports: names of sockets, which end with the process


def free_url(scheme):
    """A ws or tcp address that nobody listens on."""
    return f"{scheme}://127.0.0.1:{free_port()}" + ("/rpc" if scheme == "ws" else "")


def free_port():
    """A loopback port nobody listens on, below the range the kernel hands out by itself. No other process
    that runs tests gets it before this one has asked for many more or has ended: a server that is started
    again finds its port free."""
    for _ in range(1000):
        port = random.randrange(15000, 32000)
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0triggers-tests-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        reservations.append(reservation)
        if len(reservations) > MAX_RESERVATIONS:
            reservations.popleft().close()
        return port
    raise RuntimeError("no free port on 127.0.0.1")


def wait_until(condition, what, deadline=DEADLINE, interval=0.02):
    """Returns the first true value of condition(); fails with `what` when the deadline passes."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline:g} s")
        time.sleep(interval)


def listeners(port):
    """The addresses that somebody listens on at this port, as the kernel tells them."""
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with open(f"/proc/net/{table}", encoding="ascii") as lines:
            for words in map(str.split, lines):
                host, _, number = words[1].partition(":")
                if words[3] == "0A" and int(number, 16) == port:
                    words = struct.unpack(f">{len(host) // 8}I", bytes.fromhex(host))
                    packed = struct.pack(f"={len(words)}I", *words)
                    found.add(socket.inet_ntop(family, packed))
    return found
