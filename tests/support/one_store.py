"""For modules about bytes, connections and settings, which no store sees: `from support.one_store import store_name`
has their tests on one store, and not on both."""

import os

import pytest


@pytest.fixture(scope="module", params=["foreign"] if os.environ.get("TRIGGERS_REST_PORT") else ["sqlite"])
def store_name(request):
    return request.param
