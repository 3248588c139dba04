"""Fixtures of the CLI tests: the program run against a core, and the same on a terminal."""

import pytest

from support.program import Program, program_path, run


@pytest.fixture
def cli(core, tmp_path):
    """cli(*arguments, stdin=b"", **settings): runs `triggers` against the module's core."""

    def call(*arguments, stdin=b"", **settings):
        settings = {"TRIGGERS_CORE": core.url, **settings}
        return run("triggers", *arguments, folder=tmp_path, stdin=stdin, **settings)

    return call


@pytest.fixture
def follow(started, tmp_path):
    """follow(core, *words): `triggers` with these words, running, with its events in `log`."""

    def start(core, *words):
        program = Program([program_path("triggers"), *words], tmp_path, TRIGGERS_CORE=core.url)
        started.append(program)
        return program

    return start
