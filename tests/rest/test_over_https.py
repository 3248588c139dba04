"""The attacks on heads and framing again, over HTTPS: the filter sees what was decrypted. For the other tests
over HTTPS see support/https.py."""

import pytest

from rest.test_framing import *  # noqa: F403
from rest.test_heads import *  # noqa: F403
from support.https import believed, https_settings

BRIDGE_SETTINGS = https_settings()


@pytest.fixture(scope="module", autouse=True)
def believing():
    with believed():
        yield


@pytest.fixture(scope="module", params=["sqlite"])
def store_name(request):
    """One store does: these requests do not reach it."""
    return request.param
