"""Running one of our programs: its output as lines, its end, and what the sanitizers said."""

import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from support.keys import KEY_SETTINGS, KEYED
from support.network import DEADLINE, wait_until

ROOT = Path(__file__).resolve().parents[2]
# Settings of whoever runs the tests must not reach the programs under test.
OUR_SETTINGS = re.compile("DATABASE_URL|API_.*|CORS_ORIGINS|LOG_.*|TRIGGERS_.*")
# Without it only root may look into /proc of a program.
TEST_SETTINGS = {"TRIGGERS_CORE_DUMPS": "on"}
SANITIZER_EXIT = 86  # no program of ours exits with it


def build_folder():
    """The meson build folder whose programs are tested: TRIGGERS_BUILD, or build/asan."""
    return Path(os.environ.get("TRIGGERS_BUILD") or ROOT / "build" / "asan").resolve()


def program_path(name):
    folders = {"triggersd": "src/daemon", "triggers-import": "src/import"}
    folders |= {"triggers-bridge": "bridge", "triggers": "clients/cli"}
    return build_folder() / folders[name] / name


def sanitizer_environment(report):
    """Makes every sanitizer end the process with SANITIZER_EXIT and write to `report`.PID."""
    common = f"exitcode={SANITIZER_EXIT}:log_path={report}"
    races = ROOT / "tests" / "support" / "tsan.supp"
    return {
        "ASAN_OPTIONS": f"{common}:detect_leaks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": f"{common}:halt_on_error=1:print_stacktrace=1",
        "TSAN_OPTIONS": f"{common}:suppressions={races}:second_deadlock_stack=1",
    }


def without_settings():
    """This process's environment without settings of ours."""
    return {name: value for name, value in os.environ.items() if not OUR_SETTINGS.fullmatch(name)}


def clean_environment(report, settings):
    """This process's environment without our settings, then `settings`; values become text."""
    environment = without_settings()
    environment.update(sanitizer_environment(report))
    settings = {**TEST_SETTINGS, **(KEY_SETTINGS if KEYED else {}), **settings}
    environment.update({name: str(value) for name, value in settings.items()})
    return environment


def sanitizer_reports(report):
    """The text of all sanitizer reports written to `report`."""
    return "\n".join(Path(path).read_text(errors="replace") for path in glob.glob(f"{report}.*"))


class Program:
    """A running process. `folder` is its working directory and keeps its sanitizer reports."""

    _count = 0

    def __init__(self, argv, folder, files=None, **settings):
        """With `files` it may have so many file descriptors, as `ulimit -n` gives them."""
        Program._count += 1
        self.name = Path(argv[0]).name
        self.report = Path(folder) / f"sanitizer-{self.name}-{Program._count}"
        self.stdout = []
        self.stderr = []
        self._terminated = False
        self._changed = threading.Condition()
        limit = ["prlimit", f"--nofile={files}"] if files else []
        self.process = subprocess.Popen(
            [*limit, *(str(word) for word in argv)],
            cwd=folder,
            env=clean_environment(self.report, settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, lines), daemon=True)
            for pipe, lines in ((self.process.stdout, self.stdout), (self.process.stderr, self.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe, lines):
        with pipe:
            for line in pipe:
                with self._changed:
                    lines.append(line.decode(errors="replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process.poll() is None

    @property
    def log(self):
        """The JSON lines on stdout, as dictionaries."""
        entries = []
        for line in list(self.stdout):
            try:
                entries.append(json.loads(line))
            except ValueError:
                pass
        return entries

    @property
    def output(self):
        """All lines written so far, stdout before stderr."""
        return list(self.stdout) + list(self.stderr)

    def describe(self):
        state = "running" if self.running else f"exit status {self.process.returncode}"
        text = "\n".join(self.output[-30:])
        return f"{self.name} ({state})\n{text}\n{sanitizer_reports(self.report)}"

    def wait_for_line(self, text, deadline=DEADLINE):
        """Waits for an output line that holds `text` and returns it; fails when the process ends."""
        end = time.monotonic() + deadline
        with self._changed:
            while True:
                for line in self.output:
                    if text in line:
                        return line
                left = end - time.monotonic()
                ended = not any(reader.is_alive() for reader in self._readers)
                assert left > 0 and not ended, f"no line with {text!r}: {self.describe()}"
                self._changed.wait(min(left, 0.2))

    def descriptors(self):
        """How many file descriptors the process has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def connections(self):
        """How many connections are open at the ports where the process listens. Unlike descriptors(), it
        does not count what a store opens by and by."""
        folder = Path(f"/proc/{self.pid}")
        links = set()
        for name in os.listdir(folder / "fd"):
            with contextlib.suppress(FileNotFoundError):
                links.add(os.readlink(folder / "fd" / name))
        tables = (folder / "net" / name for name in ("tcp", "tcp6"))
        rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
        ours = [(row[1].split(":")[1], row[3]) for row in rows if f"socket:[{row[9]}]" in links]
        listening = {port for port, state in ours if state == "0A"}
        return sum(port in listening and state != "0A" for port, state in ours)

    @contextlib.contextmanager
    def paused(self):
        """A stretch of time in which the process does not run."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            stat = Path(f"/proc/{self.pid}/stat")
            wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "a pause")
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def command_line(self):
        return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()

    def terminate(self):
        """SIGTERM, once: a second one, later, tells the programs to end at once."""
        if not self._terminated and self.running:
            self._terminated = True
            self.process.send_signal(signal.SIGTERM)

    def insist(self, deadline=DEADLINE):
        """SIGTERM until it ends, as one that comes soon after another is no second one; returns the
        exit status."""

        def ended():
            self.process.send_signal(signal.SIGTERM)
            return not self.running

        wait_until(ended, "the end by a second signal", deadline)
        return self.wait()

    def wait(self, deadline=DEADLINE):
        """Waits for the end by itself; returns the exit status. The sanitizers must be silent."""
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {deadline:g} s: {self.describe()}") from None
        for reader in self._readers:
            reader.join(5)
        reports = sanitizer_reports(self.report)
        assert not reports and status != SANITIZER_EXIT, f"sanitizer report: {self.describe()}"
        return status

    def stop(self, deadline=DEADLINE):
        """SIGTERM, then the exit status, which must be 0. Nothing when stopped before."""
        if self.process.returncode is not None:
            return
        self.terminate()
        try:
            status = self.wait(deadline)
        finally:
            self.kill()
        assert status == 0, f"expected exit status 0: {self.describe()}"

    def kill(self):
        """SIGKILL, no questions asked; for ends that are no part of the test."""
        if self.running:
            self.process.kill()
            self.process.wait()


def run(name, *arguments, folder, stdin=b"", deadline=DEADLINE, **settings):
    """Runs a program of ours to its end; returns subprocess.CompletedProcess with text output."""
    Program._count += 1
    report = Path(folder) / f"sanitizer-{name}-{Program._count}"
    done = subprocess.run(
        [str(program_path(name)), *map(str, arguments)],
        cwd=folder,
        env=clean_environment(report, settings),
        input=stdin,
        capture_output=True,
        timeout=deadline,
    )
    done.stdout = done.stdout.decode(errors="replace")
    done.stderr = done.stderr.decode(errors="replace")
    reports = sanitizer_reports(report)
    assert not reports and done.returncode != SANITIZER_EXIT, f"sanitizer report: {reports}"
    return done
