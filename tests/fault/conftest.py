"""Fixtures of the fault tests. With TRIGGERS_TEST_LONG set they take their long forms."""

import os

import pytest

from support.ledger import Ledger
from support.network import free_port
from support.program import sanitizer_reports

LONG = bool(os.environ.get("TRIGGERS_TEST_LONG"))


@pytest.fixture
def ledger():
    """A ledger to write every answer into."""
    return Ledger()


@pytest.fixture(scope="session")
def pick():
    """pick(short, long): the size of a test."""
    return lambda short, long: long if LONG else short


@pytest.fixture
def told(record_property):
    """told(text): what was measured, for tests/fault/README.md."""
    return lambda text: record_property("told", text)


def pytest_runtest_logreport(report):
    """Prints what a test told, also from another process than ours."""
    if report.when == "call":
        for _, text in report.user_properties:
            print(f"\n  {text}", flush=True)


@pytest.fixture
def kept(ledger, told):
    """kept(core, what, removes=False): asserts that the core's store holds what the ledger's callers were
    told, but for what it was to remove, and prints what was done."""

    def check(core, what, removes=False):
        with core.client() as rpc:
            wrong = ledger.check(rpc, removes)
        told(f"{what}: {ledger.summary()}; answers {ledger.answers}; {len(wrong)} wrong")
        assert not wrong, f"{len(wrong)} wrong: " + "\n".join(wrong[:20])
        assert any(entry.created_at for entry in ledger.entries.values()), "nothing was created"

    return check


@pytest.fixture
def fixed_address():
    """The setting of a core that is started again and again at one address."""
    return {"TRIGGERS_LISTEN": f"ws://127.0.0.1:{free_port()}/rpc"}


@pytest.fixture
def crash():
    """crash(program): SIGKILL in the middle of everything."""

    def kill(program):
        assert program.running, program.describe()
        program.kill()
        assert not sanitizer_reports(program.report), program.describe()

    return kill
