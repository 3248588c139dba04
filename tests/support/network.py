"""Ports of this machine and waiting for conditions."""

import random
import socket
import time

DEADLINE = 30.0  # seconds; generous, for sanitizer builds on a busy machine


def free_url(scheme):
    """A ws or tcp address that nobody listens on."""
    return f"{scheme}://127.0.0.1:{free_port()}" + ("/rpc" if scheme == "ws" else "")


def free_port():
    """A loopback port nobody listens on, below the range the kernel hands out by itself."""
    for _ in range(1000):
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
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
