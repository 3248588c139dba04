"""Where tests keep their files. In memory where there is enough: making a PostgreSQL database is hundreds of
small files, which take a disk's file system ten times as long, and nothing of it has to outlive the run."""

import os
from pathlib import Path

from support.leftovers import MEMORY

GIB = 1 << 30
FILES = 4 * GIB  # a whole run keeps about half of it
AVAILABLE = 8 * GIB  # with those, and the programs


def available_memory():
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":") for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


def in_memory():
    """The folder in memory for temporary files, or None: where it is small, where programs cannot be run
    from it, and where TMPDIR says another."""
    if os.environ.get("TMPDIR") or not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    place = os.statvfs(MEMORY)
    fits = place.f_bavail * place.f_frsize >= FILES and available_memory() >= AVAILABLE
    return MEMORY if fits and not place.f_flag & os.ST_NOEXEC else None
