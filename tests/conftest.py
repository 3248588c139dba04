"""Fixtures of all Python suites. They run the programs of the build folder TRIGGERS_BUILD (default
build/asan) and assert that every program that they started ended well: exit status 0, no sanitizer
report.

A module may set CORE_SETTINGS and BRIDGE_SETTINGS, dictionaries of environment variables, for the
`core` and `bridge` that its tests share.

With TRIGGERS_REST_PORT, `bridge` is the one that serves 127.0.0.1 on that port, whoever started it; the
tests that need nothing else of ours are run, the others are left out."""

import functools
import inspect
import itertools
import os
import re
import signal

import httpx
import pytest

from support.keys import KEYED, send_with_httpx
from support import https
from support.leftovers import leave_nothing
from support.postgres import PostgresServer
from support.scheduling import ByModuleAndStore, rank
from support.services import Bridge, Core, ForeignBridge

FOREIGN_PORT = os.environ.get("TRIGGERS_REST_PORT")
NEEDS_OURS = {"start_core", "start_bridge", "own_postgres"}


def can_be_foreign(item):
    """Whether a test's only program of ours is the bridge with its default settings."""
    named = set(inspect.signature(item.function).parameters)
    return (
        "bridge" in item.fixturenames
        and not NEEDS_OURS & set(item.fixturenames)
        and not {"core", "rpc", "store_name"} & named
        and not hasattr(item.module, "BRIDGE_SETTINGS")
    )


@functools.cache
def has_own_keys(module):
    """Whether its tests say themselves who has a key, and in which mode the core is."""
    return bool(re.search(r"TRIGGERS_AUTH|support\.keyring", inspect.getsource(module)))


def pytest_collection_modifyitems(config, items):
    if FOREIGN_PORT:
        left_out = [item for item in items if not can_be_foreign(item)]
        items[:] = [item for item in items if can_be_foreign(item)]
        config.hook.pytest_deselected(items=left_out)
    if KEYED:
        for item in items:
            if has_own_keys(item.module):
                item.add_marker(pytest.mark.skip(reason="it has keys of its own"))
    items.sort(key=rank)


def pytest_xdist_make_scheduler(config, log):
    return ByModuleAndStore(config, log)


def pytest_configure():
    leave_nothing()
    if KEYED:
        send_with_httpx()
    # tests/run ends us with SIGTERM: clean up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=https.ASKED)
def over_https():
    """Bridges serve HTTPS: see support/https.py."""
    with https.believed():
        yield


@pytest.fixture(scope="session")
def postgres():
    """The run's PostgreSQL server. Tests that stop it take own_postgres instead."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def own_postgres():
    """A PostgreSQL server for one test, running; it may be stopped, killed and started."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module", params=["foreign"] if FOREIGN_PORT else ["sqlite", "postgresql"])
def store_name(request):
    """Parametrises a module's tests over both stores."""
    return request.param


@pytest.fixture(scope="module")
def new_store_url(store_name, request, tmp_path_factory):
    """Makes the DATABASE_URL of an empty store of the kind under test."""
    if store_name == "postgresql":
        return request.getfixturevalue("postgres").create_database
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('store') / 'triggers.db'}"


@pytest.fixture(scope="module")
def store_url(new_store_url):
    """The DATABASE_URL of the module's store, empty at first."""
    return None if FOREIGN_PORT else new_store_url()


@pytest.fixture(scope="module")
def core(store_url, request, tmp_path_factory):
    """A serving triggersd on the module's store."""
    if FOREIGN_PORT:
        yield None
        return
    settings = {"DATABASE_URL": store_url, **getattr(request.module, "CORE_SETTINGS", {})}
    core = Core(tmp_path_factory.mktemp("core"), **settings)
    try:
        yield core.wait_serving()
    finally:
        core.stop()


@pytest.fixture(scope="module")
def rpc(core):
    """A client of the module's core that is not ours."""
    with core.client() as client:
        yield client


@pytest.fixture(scope="module")
def bridge(core, request, tmp_path_factory):
    """A triggers-bridge for the module's core, ready."""
    if FOREIGN_PORT:
        yield ForeignBridge(int(FOREIGN_PORT))
        return
    settings = getattr(request.module, "BRIDGE_SETTINGS", {})
    bridge = Bridge(tmp_path_factory.mktemp("bridge"), core, **settings)
    try:
        yield bridge.wait_answering("/ready")
    finally:
        bridge.stop()


@pytest.fixture(scope="module")
def http(bridge):
    """An httpx client of the module's bridge."""
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as client:
        yield client


@pytest.fixture
def started():
    """Programs that end with the test: append to it. The last started is stopped first."""
    programs = []
    yield programs
    failures = []
    for program in reversed(programs):
        try:
            program.stop()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.fixture
def start_core(started, tmp_path):
    """start_core(*flags, wait=True, **settings): another triggersd for this test, serving unless
    wait=False. Without DATABASE_URL it has an SQLite file of its own."""
    numbers = itertools.count()

    def start(*flags, wait=True, **settings):
        folder = tmp_path / f"core{next(numbers)}"
        folder.mkdir()
        settings.setdefault("DATABASE_URL", f"sqlite:///{folder / 'triggers.db'}")
        core = Core(folder, flags, **settings)
        started.append(core)
        return core.wait_serving() if wait else core

    return start


@pytest.fixture
def start_bridge(started, tmp_path):
    """start_bridge(core, *flags, wait=True, **settings): another triggers-bridge for this test,
    answering /health unless wait=False. `core` may be None."""
    numbers = itertools.count()

    def start(core, *flags, wait=True, **settings):
        folder = tmp_path / f"bridge{next(numbers)}"
        folder.mkdir()
        bridge = Bridge(folder, core, flags, **settings)
        started.append(bridge)
        return bridge.wait_answering() if wait else bridge

    return start
