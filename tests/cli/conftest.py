"""Fixtures of the CLI tests: the program run against a core, and the same on a terminal."""

import pytest

from support.program import run


@pytest.fixture
def cli(core, tmp_path):
    """cli(*arguments, stdin=b"", **settings): runs `triggers` against the module's core."""

    def call(*arguments, stdin=b"", **settings):
        settings = {"TRIGGERS_CORE": core.url, **settings}
        return run("triggers", *arguments, folder=tmp_path, stdin=stdin, **settings)

    return call
