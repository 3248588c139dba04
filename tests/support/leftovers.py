"""What tests start ends with them, whatever ends them: a worker of pytest that is killed, or that the foreign
client's library aborts, cannot stop its programs itself.

It all inherits a mark in its environment, however it is started and by whichever script, and large folders
have it in their names; a watcher, which lives as long as the process that marks, then kills and removes what
bears the mark."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MARKS = "STARTED_BY_TESTS"  # one of each process above that marks
MEMORY = Path("/dev/shm")
PATIENCE = 2.0  # seconds, of a PostgreSQL server that ends
_watchers = []


def leave_nothing():
    """From now on all that this process starts, and what that starts, ends with this process. Once is enough."""
    if _watchers:
        return
    mark = secrets.token_hex(8)
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, mark],
        stdin=subprocess.PIPE,  # no one else has this end: it is closed when we are gone
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not for it
    )
    _watchers.append(watcher)
    os.environ[MARKS] = f"{os.environ.get(MARKS, '')} {mark}".strip()


def make_folder(name, place=None):
    """A temporary folder, in `place` or the usual one, that goes with this process or that above which marks."""
    mark = os.environ.get(MARKS, "").rpartition(" ")[2]
    return Path(tempfile.mkdtemp(prefix=f"triggers-{name}-{mark}-", dir=place))


def bearing(mark):
    """The processes that bear the mark, but for this one."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            pass  # it has ended, or is another user's
    return [pid for pid in found if pid != os.getpid()]


def is_postgres(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except OSError:
        return False


def end_all(mark):
    """Kills what bears the mark, until nothing does. A PostgreSQL server is first told to end at once: killed,
    it would leave its shared memory to the machine."""
    patient_until = time.monotonic() + PATIENCE
    while pids := bearing(mark):
        for pid in pids:
            patient = is_postgres(pid) and time.monotonic() < patient_until
            try:
                os.kill(pid, signal.SIGQUIT if patient else signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.02)


def remove_folders(mark):
    for place in (MEMORY, Path(tempfile.gettempdir())):
        for folder in place.glob(f"triggers-*-{mark}-*"):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_all(sys.argv[1])
    remove_folders(sys.argv[1])
