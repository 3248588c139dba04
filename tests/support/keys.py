"""The text of a key, as src/access/key_text.h has it: made here, and not by anything of ours."""

import secrets
import string
import zlib

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def base62(number, length):
    text = ""
    for _ in range(length):
        number, digit = divmod(number, 62)
        text = DIGITS[digit] + text
    assert number == 0
    return text


def with_checksum(text):
    return text + base62(zlib.crc32(text.encode()), 6)


def make_key(key_id=None, secret=None):
    """A well-formed key, which no store has unless somebody puts it there."""
    key_id = key_id or "".join(secrets.choice(DIGITS) for _ in range(12))
    secret = secret or "".join(secrets.choice(DIGITS) for _ in range(43))
    return with_checksum(f"trg_{key_id}_{secret}")


def id_of(key):
    return key[4:16]


def write_key(folder):
    """A file with a new key for TRIGGERS_OPERATOR_KEY_FILE; returns its path and the key."""
    key = make_key()
    path = folder / "operator.key"
    path.write_text(key + "\n")
    path.chmod(0o600)
    return path, key
