"""A clock that a test sets: a library, loaded into a program, moves its time of day. Not libfaketime, which
changes waits by the monotonic clock as well, into ones that fail."""

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("fake_clock.c")


class FakeClock:
    """`environment`: of a program that is to go by it. `set(seconds)`: how far it is from the real one."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="triggers-clock-"))
        self.folder.chmod(0o755)  # PostgreSQL is another user
        library = self.folder / "fake_clock.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", SOURCE, "-o", library], check=True)
        self._file = open(self.folder / "offset", "wb", buffering=0)
        self.environment = {"LD_PRELOAD": str(library), "FAKE_CLOCK_FILE": self._file.name}
        self.set(0)

    def set(self, seconds):
        self._file.seek(0)
        self._file.write(struct.pack("q", seconds))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)
