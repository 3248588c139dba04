"""The text of a key, as src/access/key_text.h has it: made here, and not by anything of ours."""

import os
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


# With TRIGGERS_TEST_KEYS in the environment cores want a key, and whoever calls in tests has one, unless
# he says otherwise: so suites show that nothing else changes.
KEYED = bool(os.environ.get("TRIGGERS_TEST_KEYS"))
OPERATOR_KEY = make_key("0testsoperat", "of0whoever0runs0the0tests0and0of0nobody0els")
AUTHORIZATION = f"Bearer {OPERATOR_KEY}"
KEY_SETTINGS = {
    "TRIGGERS_AUTH": "required",
    "TRIGGERS_OPERATOR_KEY": OPERATOR_KEY,
    "TRIGGERS_API_KEY": OPERATOR_KEY,
}


def send_with_httpx():
    """Every client of httpx that is made from now on sends the key, unless a request has another."""
    import httpx  # here, as not every program of tests has it

    make = httpx._client.BaseClient.__init__

    def make_with_key(self, *, headers=None, **options):
        make(self, headers={"Authorization": AUTHORIZATION, **dict(headers or {})}, **options)

    httpx._client.BaseClient.__init__ = make_with_key
