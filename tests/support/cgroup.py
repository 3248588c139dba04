"""A memory cgroup, version 1 or 2, for programs that must not take more than they may."""

import contextlib
import itertools
import os
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")
_numbers = itertools.count()


class Version1:
    parent = ROOT / "memory"
    limit, peak = "memory.limit_in_bytes", "memory.max_usage_in_bytes"
    events = "memory.oom_control"

    @staticmethod
    def prepare():
        """The controller is mounted by itself."""


class Version2:
    parent = ROOT
    limit, peak = "memory.max", "memory.peak"
    events = "memory.events"

    @staticmethod
    def prepare():
        (ROOT / "cgroup.subtree_control").write_text("+memory")


class MemoryGroup:
    """Programs that together may have `limit` bytes; the kernel kills one that takes more. The test is
    skipped where no group can be made."""

    def __init__(self, limit):
        self._version = Version1 if Version1.parent.is_dir() else Version2
        self._path = self._version.parent / f"triggers-test-{os.getpid()}-{next(_numbers)}"
        try:
            self._version.prepare()
            self._path.mkdir()
            (self._path / self._version.limit).write_text(str(limit))
        except OSError as error:
            pytest.skip(f"memory cgroups cannot be made here: {error}")
        for swap in ("memory.memsw.limit_in_bytes", "memory.swap.max"):
            with contextlib.suppress(OSError):
                (self._path / swap).write_text(str(limit if "memsw" in swap else 0))

    def add(self, program):
        """Takes a program in; what it has so far counts elsewhere."""
        (self._path / "cgroup.procs").write_text(str(program.pid))

    def kills(self):
        """How many programs were killed for want of memory."""
        lines = (self._path / self._version.events).read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    def peak(self):
        """The most bytes held so far, with the page cache; 0 where the kernel does not tell."""
        try:
            return int((self._path / self._version.peak).read_text())
        except OSError:
            return 0

    def close(self):
        """After the programs have ended."""
        self._path.rmdir()
