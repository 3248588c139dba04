"""Which bindings a run covers, and the table of what they passed."""

import os
import re

import pytest

from bindings.harness import scenario_names
from support.bindings import BINDINGS, extent
from support.scheduling import ByModuleAndStore

LANGUAGES = {binding.language for binding in BINDINGS}
SCENARIO = re.compile(r"::test_scenario\[(?P<column>.*-(sqlite|postgresql))-(?P<scenario>.*)\]")
ONLY = os.environ.get("TRIGGERS_BINDINGS", "").replace(",", " ").split()


def covered():
    if ONLY:
        return [binding for binding in BINDINGS if binding.name in ONLY]
    return [binding for binding in BINDINGS if not binding.why_not(extent())]


class ByLanguage(ByModuleAndStore):
    """One worker runs all tests of a language, which share its build folder, and others as elsewhere."""

    def _split_scope(self, nodeid):
        module, _, test = nodeid.partition("::")
        language = test.partition("[")[2].partition("-")[0].rstrip("]")
        if module.startswith("bindings/") and language in LANGUAGES:
            return language
        return super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config, log):
    return ByLanguage(config, log)


@pytest.fixture(scope="module", params=covered(), ids=lambda binding: binding.name)
def binding(request):
    """Parametrises a module's tests over the bindings that this run covers."""
    return request.param


def conformance(reports):
    """The lines of a table: binding and store → what each scenario came to."""
    columns = {}
    for report in reports:
        found = SCENARIO.search(report.nodeid)
        if found:
            mark = "passed" if report.passed else "FAILED"
            columns.setdefault(found["column"], {})[found["scenario"]] = mark
    names = scenario_names()
    width = max(map(len, names))
    heads = sorted(columns)
    yield " " * width + "  " + "  ".join(heads)
    for name in names:
        marks = [columns[head].get(name, "").ljust(len(head)) for head in heads]
        yield f"{name.ljust(width)}  {'  '.join(marks)}".rstrip()


def pytest_terminal_summary(terminalreporter):
    """What passed by binding and store, and what was left out, also of a binding's own tests."""
    say = terminalreporter.write_line
    reports = [each for kind in ("passed", "failed", "error", "skipped") for each in terminalreporter.getreports(kind)]
    if any(SCENARIO.search(report.nodeid) for report in reports):
        terminalreporter.section("conformance")
        for line in conformance(reports):
            say(line)
    left_out = [binding for binding in BINDINGS if binding not in covered()]
    for binding in left_out:
        reason = binding.why_not(extent()) or "not in TRIGGERS_BINDINGS"
        say(f"left out: {binding.name}: {reason}")
    for report in reports:
        for name, line in report.user_properties:
            if name == "left out":
                say(f"left out: {line}")
