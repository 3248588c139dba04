"""Event ids as a client of another language makes them: TypeID 0.3 over a UUIDv7 (RFC 9562)."""

import os
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def uuid7():
    """A new UUIDv7 as a 128-bit number."""
    random = int.from_bytes(os.urandom(10), "big")
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | random
    value = value & ~(0xF << 76) | 7 << 76
    return value & ~(0x3 << 62) | 2 << 62


def encode(value):
    """128 bits as 26 characters of Crockford base32."""
    return "".join(ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def new_event_id():
    return "evt_" + encode(uuid7())
