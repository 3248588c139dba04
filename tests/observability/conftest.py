"""Prometheus's own tool, promtool."""

import fcntl
import os
import shutil
import subprocess

import pytest

from support.program import ROOT


def download(folder):
    """Debian's package, taken apart: to install it would start a server."""
    words = ["apt-get", "-qq", "download", "prometheus"]
    if subprocess.run(words, cwd=folder, capture_output=True).returncode != 0:
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        subprocess.run([*sudo, "apt-get", "-qq", "update"], check=True, capture_output=True)
        subprocess.run(words, cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder / "files"], check=True)
    package.unlink()
    (folder / "files/usr/bin/promtool").rename(folder / "promtool")
    shutil.rmtree(folder / "files")


@pytest.fixture(scope="session")
def promtool():
    """promtool(*words, input=None): runs it and returns what it says; asserts that it agrees."""
    folder = ROOT / "build" / "promtool"
    program = shutil.which("promtool") or folder / "promtool"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:  # other workers want it too
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(program):
            download(folder)

    def run(*words, input=None):
        done = subprocess.run([program, *words], input=input, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
