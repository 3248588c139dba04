"""A worker of the tests themselves that dies, as pynng may make it: what it had left is run by others."""

import os
import subprocess
import sys

from support.program import ROOT

MODULE = """
import os, pathlib
import pytest

@pytest.mark.parametrize("number", range(3))
def test(number):
    if {last} and number == 1 and not pathlib.Path("died").exists():
        pathlib.Path("died").touch()
        os.abort()
"""
CONFTEST = """
from support.scheduling import ByModuleAndStore

def pytest_xdist_make_scheduler(config, log):
    return ByModuleAndStore(config, log)
"""


def test_the_run_ends(tmp_path):
    """Also when the worker had done much, of which nothing is run again."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    modules = [f"test_{number:02}.py" for number in range(20)]
    for module in modules:
        (tmp_path / module).write_text(MODULE.format(last=module == modules[-1]))
    command = [sys.executable, "-m", "pytest", "-n", "1", "--dist", "loadscope", "--no-loadscope-reorder"]
    command += ["-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "tests"))
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert "1 failed, 60 passed" in done.stdout, done.stdout
