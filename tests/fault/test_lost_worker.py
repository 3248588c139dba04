"""A worker of the tests themselves that dies, as pynng may make it: what it had left is run by others, and
what it had started ends."""

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


STARTER = """
import os, signal, subprocess, sys
from pathlib import Path

from support.network import wait_until
from support.pgbouncer import PgBouncer

TOKEN = os.environ["TOKEN"].encode()

def alive():
    '''Of what bears this run's token: the words of each process that was started, here or by those.'''
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and TOKEN in (folder / "environ").read_bytes():
                words = (folder / "cmdline").read_bytes().split(b"\\0")
                yield int(folder.name), os.path.basename(words[0].decode())
        except OSError:
            pass

def test_start(request):
    if Path("started").exists():  # in the worker after the one that was lost
        started = {int(line.split()[0]) for line in open("started")}
        wait_until(lambda: not started & {pid for pid, _ in alive()}, "the end of what was started")
        wait_until(lambda: not os.path.exists(Path("folder").read_text()), "the end of the server's folder")
        return
    server = request.getfixturevalue("own_postgres")
    core = request.getfixturevalue("start_core")(DATABASE_URL=server.create_database())
    request.getfixturevalue("start_bridge")(core)
    PgBouncer(server).start()
    subprocess.Popen(["sh", "-c", "setsid sleep 1000 & sleep 1001"])
    wait_until(lambda: [name for _, name in alive()].count("sleep") == 2, "a script's programs")
    found = [(pid, name) for pid, name in alive() if "python" not in name]
    Path("started").write_text("\\n".join(f"{pid} {name}" for pid, name in found))
    Path("folder").write_text(str(server.folder))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_lost_worker_started_ends(tmp_path):
    (tmp_path / "test_start.py").write_text(STARTER)
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-n", "1", "-p", "no:cacheprovider"]
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "tests"), TOKEN=f"token of {tmp_path}")
    done = subprocess.run(
        [*command, "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    names = {line.split(maxsplit=1)[1] for line in (tmp_path / "started").read_text().splitlines()}
    assert names >= {"triggersd", "triggers-bridge", "postgres", "pgbouncer", "sh", "sleep"}
