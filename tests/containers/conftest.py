"""Fixtures of the container tests: podman, the images built by deploy/images/build, and a task."""

import functools

import pytest

from containers.engine import BUILD_OPTIONS, CannotRun, Podman
from containers.task import Task
from support.program import ROOT


@functools.cache
def find_podman():
    """podman, or the exception that says why there is none."""
    try:
        return Podman()
    except (CannotRun, AssertionError) as reason:
        return reason


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Where no containers run, every test is skipped under its own name."""
    found = find_podman()
    if isinstance(found, CannotRun):
        pytest.skip(f"{item.name}: this machine cannot run containers: {found}")
    if isinstance(found, AssertionError):
        raise found


@pytest.fixture(scope="session")
def engine():
    """podman, with nothing left of an earlier run but the images."""
    podman = find_podman()
    podman.remove_everything()
    try:
        yield podman
    finally:
        podman.close()


@pytest.fixture(scope="session")
def images(engine):
    """Program → the image that deploy/images/build tagged."""
    done = engine.run(ROOT / "deploy/images/build", "--engine", "podman", "--", *BUILD_OPTIONS)
    assert done.returncode == 0, done.stderr[-4000:]
    return {line.split(":")[0]: line for line in done.stdout.split()}


@pytest.fixture(scope="module")
def task(engine, images):
    """A running task, ready."""
    engine.build_postgres()
    task = Task(engine, images)
    try:
        yield task.start()
    finally:
        task.close()
