"""The attacks on heads and framing again, over HTTPS: the filter sees what was decrypted. For the other tests
over HTTPS see support/https.py."""

import pytest

from rest.test_framing import *  # noqa: F403
from rest.test_heads import *  # noqa: F403
from support.https import believed, https_settings
from support.one_store import store_name  # noqa: F401

BRIDGE_SETTINGS = https_settings()


@pytest.fixture(scope="module", autouse=True)
def believing():
    with believed():
        yield
