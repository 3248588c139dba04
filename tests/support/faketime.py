"""A clock that a test sets: libfaketime, loaded into a program, whose time of day it then moves. What
measures durations, the monotonic clock, is not touched."""

import fcntl
import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from support.program import ROOT

INSTALLED = "/usr/lib/*/faketime/libfaketime.so.1"


def download(folder):
    """Debian's package, taken apart."""
    words = ["apt-get", "-qq", "download", "libfaketime"]
    if subprocess.run(words, cwd=folder, capture_output=True).returncode != 0:
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        subprocess.run([*sudo, "apt-get", "-qq", "update"], check=True, capture_output=True)
        subprocess.run(words, cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("libfaketime_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder / "files"], check=True)
    package.unlink()


def library():
    """Where libfaketime is."""
    folder = ROOT / "build" / "faketime"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:  # other workers want it too
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not glob.glob(INSTALLED) and not glob.glob(f"{folder}/files{INSTALLED}"):
            download(folder)
    return [*glob.glob(INSTALLED), *glob.glob(f"{folder}/files{INSTALLED}")][0]


class FakeClock:
    """`environment`: of a program that is to go by it. `set(seconds)`: how far it is from the real one."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="triggers-clock-"))
        self.folder.chmod(0o755)  # PostgreSQL is another user
        shutil.copy(library(), self.folder / "libfaketime.so")
        self.environment = {
            "LD_PRELOAD": str(self.folder / "libfaketime.so"),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / "offset"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set(0)

    def set(self, seconds):
        (self.folder / "new").write_text(f"{seconds:+d}")
        (self.folder / "new").rename(self.folder / "offset")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)
