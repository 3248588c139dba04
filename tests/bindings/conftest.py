"""Which bindings a run covers, and the table of what they passed."""

import os

import pytest

from bindings.harness import scenario_names
from support.bindings import BINDINGS

EVERYTHING = os.environ.get("TRIGGERS_ALL_BINDINGS") == "1"
ONLY = os.environ.get("TRIGGERS_BINDINGS", "").replace(",", " ").split()


def covered():
    if ONLY:
        return [binding for binding in BINDINGS if binding.name in ONLY]
    return [binding for binding in BINDINGS if not binding.why_not(EVERYTHING)]


class Table:
    """Binding and store → results, and what was left out of a binding's own tests."""

    def __init__(self):
        self.columns = {}
        self.left_out = []

    def add(self, binding, store, results):
        self.columns[binding, store] = results

    def lines(self):
        heads = [f"{binding}/{store}" for binding, store in self.columns]
        names = scenario_names()
        width = max(map(len, names))
        yield " " * width + "  " + "  ".join(heads)
        for name in names:
            marks = [
                ("passed" if results.get(name) == "" else "FAILED").ljust(len(head))
                for head, results in zip(heads, self.columns.values())
            ]
            yield f"{name.ljust(width)}  {'  '.join(marks)}".rstrip()


TABLE = Table()


@pytest.fixture(scope="session")
def table():
    return TABLE


@pytest.fixture(scope="module", params=covered(), ids=lambda binding: binding.name)
def binding(request):
    """Parametrises a module's tests over the bindings that this run covers."""
    return request.param


def pytest_terminal_summary(terminalreporter):
    if TABLE.columns:
        terminalreporter.section("conformance")
        for line in TABLE.lines():
            terminalreporter.write_line(line)
    left_out = [binding for binding in BINDINGS if binding not in covered()]
    for binding in left_out:
        reason = binding.why_not(EVERYTHING) or "not in TRIGGERS_BINDINGS"
        terminalreporter.write_line(f"left out: {binding.name}: {reason}")
    for line in TABLE.left_out:
        terminalreporter.write_line(f"left out: {line}")
