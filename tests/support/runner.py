"""Builds and runs the suites for tests/run, and adds up what passed and what failed."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from ast import literal_eval
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from support.bindings import BINDINGS, extent
from support.leftovers import leave_nothing, make_folder
from support.pgbouncer import PgBouncer
from support.postgres import PostgresServer, prototype
from support.program import ROOT, sanitizer_environment, sanitizer_reports
from support.scratch import in_memory

TESTS = ROOT / "tests"
SANITIZED = ["-Db_lundef=false", "-Dbuildtype=debug", "-Doptimization=1"]
BUILDS = {  # by folder; two bear the name of the suite that is alone in using them
    "asan": ["-Db_sanitize=address,undefined", *SANITIZED],
    "tsan": ["-Db_sanitize=thread", *SANITIZED],
    "bench": ["-Dbuildtype=release"],
}
FUZZ_SECONDS = 9  # of each target
FUZZ_SECONDS_LONG = 1800
# Tests in Python mostly wait: many more modules at a time than there are processors, of all suites but
# those that need the machine for themselves.
SEVERAL_AT_A_TIME = ("-n", str(3 * (os.cpu_count() or 1)), "--dist", "loadscope", "--no-loadscope-reorder")
ALONE = {"browser", "containers", "package"}
# Suites that run beside those in Python: what mostly waits, too, and what only computes, which is done in
# what all others leave of the processors, as are the builds that later suites need.
WAITING, COMPUTING = ["c"], ["analysis"]
NICE = ("nice", "-n", "19")
CPP_CONFORMANCE = "clients/cpp/tests/conformance"  # no part of a build unless asked for
LEFT_OUT = {
    "browser": "it needs Chromium, and takes minutes",
    "containers": "it builds and runs the images, for minutes",
    "keys": "it is rest and rpc once more, where the core wants keys",
}
NOT_LEFT_OUT = {"ci": {"keys"}, "all": set(LEFT_OUT)}  # by how far a run goes
# How many tests may fail beside others and be run again by themselves.
LATE_TESTS = 5
LOST_WORKER = re.compile(r"worker '\w+' crashed while running ('.*'|\".*\")")
TAP_LINE = re.compile(r"^(not )?ok\b(?!.*# SKIP)(.*)", re.MULTILINE)


@dataclass
class Outcome:
    """How many tests of a suite passed, which failed, and how many said why they cannot run here."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)
    skipped: int = 0
    repeated: list[str] = field(default_factory=list)  # that failed or were lost first, and then passed

    @property
    def failed(self):
        return len(self.failures)

    def add(self, other):
        self.passed += other.passed
        self.failures += other.failures
        self.skipped += other.skipped
        self.repeated += other.repeated


class Runner:
    """Runs commands one at a time in `scratch`, which goes away with the run, as do they. `output` is where
    they and we write; `nice` are the words before each."""

    def __init__(self, scratch, long, output=sys.stdout, nice=()):
        self.scratch = Path(scratch)
        self.long = long
        self.output = output
        self.nice = nice
        self.busy = 0.0  # seconds of processors that ended commands have used
        self.child = None
        self.ended = False
        self.built = {}

    def say(self, text):
        print(text, file=self.output, flush=True)

    def command(self, *words, **environment):
        """Runs to the end with our output; returns the exit status."""
        environment = {**os.environ, "TMPDIR": str(self.scratch), **self.length(), **environment}
        return self.execute(words, self.output, TESTS, environment)

    def execute(self, words, output, folder, environment=None):
        if self.ended:
            return -signal.SIGTERM
        self.child = subprocess.Popen(
            [*self.nice, *(str(word) for word in words)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            return self.wait()
        except KeyboardInterrupt:
            self.child.terminate()
            self.wait()
            raise

    def wait(self):
        _, status, used = os.wait4(self.child.pid, 0)
        self.busy += used.ru_utime + used.ru_stime
        self.child.returncode = os.waitstatus_to_exitcode(status)
        return self.child.returncode

    def end(self):
        """From another thread: what runs is asked to end, and nothing runs any more."""
        self.ended = True
        if self.child and self.child.returncode is None:
            self.child.terminate()

    def length(self):
        return {"TRIGGERS_TEST_LONG": "1"} if self.long else {}

    def build(self, name):
        """Builds build/NAME, once; returns whether that worked."""
        if name not in self.built:
            folder = ROOT / "build" / name
            self.say(f"building {folder.relative_to(ROOT)}")
            done = True
            if not (folder / "build.ninja").exists():
                done = self.quiet("meson", "setup", folder, ROOT, *BUILDS[name])
            self.built[name] = done and self.quiet("ninja", "-C", folder, "--quiet")
        return self.built[name]

    def quiet(self, *words):
        """Runs a command, showing its output only when it fails; returns whether it succeeded."""
        with tempfile.NamedTemporaryFile(dir=self.scratch) as log:
            status = self.execute(words, log, ROOT)
            if status != 0:
                self.say(Path(log.name).read_text(errors="replace"))
        return status == 0

    def check(self, *words):
        """A suite of one test: the command succeeds."""
        return Outcome(1) if self.quiet(*words) else failure(Path(words[0]).name)

    def run_c(self, build):
        """All meson tests of a build, their cases counted one by one."""
        if not self.build(build):
            return failure(f"the build of {build}")
        folder = ROOT / "build" / build
        report = self.scratch / f"c-{build}"
        log = folder / "meson-logs" / "testlog.json"
        with PostgresServer() as server, PgBouncer(server) as pooler:
            log.unlink(missing_ok=True)
            status = self.command(
                *("meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs"),
                *("--timeout-multiplier", "4"),
                **sanitizer_environment(report),
                CMOCKA_MESSAGE_OUTPUT="TAP",
                TRIGGERS_TEST_POSTGRES_URL=server.url(),
                TRIGGERS_TEST_POOLED_URL=pooler.url(server.url()),
            )
        outcome = count_meson(log)
        if sanitizer_reports(report):
            self.say(sanitizer_reports(report))
            outcome.failures = outcome.failures or ["a sanitizer's report"]
        return at_least_one_failure(outcome, status)

    def run_python(self, build, folders, *options, **environment):
        """pytest on folders of tests against a build's programs."""
        if not self.build(build):
            return failure(f"the build of {build}")
        prototype()  # for the workers of all suites
        report = self.scratch / f"pytest-{build}.xml"
        words = [sys.executable, "-m", "pytest", "-q", "--durations=5", f"--junit-xml={report}"]
        words += ["--basetemp", self.scratch / "pytest", *options, *folders]
        for attempt in range(2):
            report.unlink(missing_ok=True)
            status = self.command(*words, TRIGGERS_BUILD=str(ROOT / "build" / build), **environment)
            if status >= 0:
                break
            # The foreign client's nng (1.11, in pynng) aborts at one in some thousand closes of a
            # WebSocket. It is not what is tested. pytest-xdist does what a lost worker left itself.
            self.say(f"pytest itself was ended by a signal, attempt {attempt + 1} of 2")
        for line in folders_told(report):
            self.say(line)
        outcome = at_least_one_failure(count_junit(report), status)
        late = late_tests(report)
        if set(SEVERAL_AT_A_TIME) <= set(options) and 0 < outcome.failed == len(late) <= LATE_TESTS:
            self.say(f"run again by themselves, as they may have been late beside others: {', '.join(late)}")
            again = self.run_python(build, late, **environment)
            again.repeated += [test for test in outcome.failures if test not in again.failures]
            outcome.failures = []
            outcome.add(again)
        return outcome

    def run_fuzzers(self):
        """Every fuzz target for a while, one test each."""
        report = self.scratch / "fuzz.xml"
        seconds = FUZZ_SECONDS_LONG if self.long else FUZZ_SECONDS
        words = [sys.executable, "-m", "fuzz.suite", f"--junit-xml={report}"]
        status = self.command(*words, f"--seconds={seconds}")
        return at_least_one_failure(count_junit(report), status)

    def run_analysis(self):
        """clang-tidy and gcc's analyzer over the programs, one test each; under --all they look further."""
        if not self.build("asan"):
            return failure("the build of asan")
        report = self.scratch / "analysis.xml"
        words = [sys.executable, "-m", "analysis.suite", f"--junit-xml={report}"]
        words += ["--deep"] if extent() == "all" else []
        status = self.command(*words, ROOT / "build" / "asan")
        return at_least_one_failure(count_junit(report), status)


def failure(name):
    """The outcome of something that could not even begin, or that is one test."""
    return Outcome(failures=[name])


def at_least_one_failure(outcome, status):
    """The outcome of a command: one that did not exit with 0 has failed whatever it counted, unless that
    was for tests that passed when they were repeated."""
    if status != 0 and not outcome.failures and not outcome.repeated:
        outcome.failures.append(f"exit status {status}")
    return outcome


def count_meson(log):
    """Counts a meson test log. A test without TAP lines is one case; one that failed though its
    cases passed (a crash at the end, a leak) is one failure more."""
    if not log.exists():
        return failure("meson test")
    outcome = Outcome()
    for line in log.read_text(errors="replace").splitlines():
        test = json.loads(line)
        if test["result"] == "SKIP":
            continue
        good = test["result"] in ("OK", "EXPECTEDFAIL")
        cases = TAP_LINE.findall(test.get("stdout", ""))
        failures = [f"{test['name']}:{case}" for bad, case in cases if bad]
        if not good and not failures:
            failures = [f"{test['name']}: {test['result']}"]
        passed = sum(not bad for bad, _ in cases) if cases else int(good)
        outcome.add(Outcome(passed, failures))
    return outcome


def count_junit(report):
    """Counts pytest's report; an error in a fixture is a failure. So is a test that was lost with its
    worker, unless it then passed on another."""
    if not report.exists():
        return failure("pytest itself")
    outcome = Outcome()
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    faulty = [case for case in cases if faults_of(case)]
    skipped = [case for case in cases if case.find("skipped") is not None and not faults_of(case)]
    passed = {case.get("name") for case in cases if case not in faulty and case not in skipped}
    for case in faulty:
        if lost_test(case) in passed:
            outcome.repeated.append(lost_test(case))
        else:
            outcome.failures.append(f"{case.get('classname')}: {case.get('name')}")
    outcome.skipped = len(skipped)
    outcome.passed = len(cases) - len(faulty) - len(skipped)
    return outcome


def late_tests(report):
    """The tests in a report that failed in their own words, each as pytest's id: not in a fixture, which
    is how programs that ended badly are told, nor with their worker, nor with a sanitizer's report."""
    cases = ElementTree.parse(report).getroot().iter("testcase") if report.exists() else ()
    return [
        f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}"
        for case in cases
        if [fault.tag for fault in faults_of(case)] == ["failure"]
        and not lost_test(case)
        and "Sanitizer" not in ElementTree.tostring(case, "unicode")
    ]


def folders_told(report):
    """A line of each folder: how many of its tests ran, and the seconds that they took one after the other."""
    cases = ElementTree.parse(report).getroot().iter("testcase") if report.exists() else ()
    folders = {}
    for case in cases:
        folders.setdefault(case.get("classname").split(".")[0], []).append(float(case.get("time")))
    for name, times in sorted(folders.items()):
        yield f"   {name}: {len(times)} tests, {sum(times):.0f} s"


def faults_of(case):
    return case.findall("failure") + case.findall("error")


def lost_test(case):
    """The name of the test that an entry says a worker of pytest-xdist died in; None without one."""
    for fault in faults_of(case):
        died = LOST_WORKER.search(fault.get("message", ""))
        if died:
            return literal_eval(died[1]).split("::", 1)[1]
    return None


def tracked(*patterns):
    """Files of the project that match, tracked by git or about to be."""
    words = ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")
    return sorted(name for name in listed if name and (ROOT / name).exists())


def shell_scripts():
    names = tracked("deploy/*", "tests/run", "tests/package/*", "tests/containers/postgres/*", ".ci/*")
    names += tracked("clients/*/*", "clients/*/examples/run")
    first_lines = [(name, (ROOT / name).open("rb").readline()) for name in names]
    return [name for name, line in first_lines if line.startswith(b"#!") and b"sh" in line]


def run_tsan(runner):
    """The C tests and, at the same time, the concurrent Python tests under the thread sanitizer."""
    if not runner.build("tsan"):
        return failure("the build of tsan")
    with Beside(runner, lambda other: other.run_c("tsan")) as c:
        # Only their files: all workers load each file that they are given.
        files = [path for path in sorted(TESTS.glob("*/test_*.py")) if "mark.concurrent" in path.read_text()]
        outcome = runner.run_python("tsan", files, "-m", "concurrent", *SEVERAL_AT_A_TIME)
    outcome.add(c.outcome)
    return outcome


def run_bench(runner):
    """That the benchmarks run, not how fast: under --all every row that does not take minutes."""
    script = TESTS / "bench" / "run"
    asked = "all" if extent() == "all" else ""
    rows = () if asked else ("--rows", "1,5,9")
    outcome = runner.check(script, "--smoke", *rows)
    bindings = [each.name for each in BINDINGS if not each.why_not(asked)]
    outcome.add(runner.check(script, "--smoke", "clients", "--bindings", ",".join(bindings)))
    return outcome


def run_together(runner, names):
    """Suites in Python at once. C++'s runner of the bindings' scenarios is built for them alone."""
    folder = ROOT / "build" / "asan"
    if "bindings" in names:
        if not runner.build("asan") or not runner.quiet("ninja", "-C", folder, CPP_CONFORMANCE):
            return failure("the build of C++'s runner")
    return runner.run_python("asan", [TESTS / name for name in names], *SEVERAL_AT_A_TIME)


def run_browser(runner):
    """Chromium is installed for these tests alone; without it they say so."""
    runner.quiet(ROOT / "deploy" / "packages", "chromium")
    return runner.run_python("asan", [TESTS / "browser"])


def run_containers(runner):
    """What only these tests need is installed for them alone; without it they say so."""
    runner.quiet(ROOT / "deploy" / "packages", "containers")
    return runner.run_python("asan", [TESTS / "containers"])


def run_keys(runner):
    """REST and the binary protocol where the core wants keys (support/keys.py), on one store: which it is makes
    no difference to a key, and tests of keys themselves run on both."""
    folders = [TESTS / "rest", TESTS / "rpc"]
    return runner.run_python("asan", folders, "-k", "not postgresql", *SEVERAL_AT_A_TIME, TRIGGERS_TEST_KEYS="1")


def python_folders():
    return sorted({path.parent for path in TESTS.glob("*/test_*.py")})


def find_suites():
    """Every suite's name and how to run it, in the order of running."""
    suites = {
        "format": lambda runner: runner.check(
            "clang-format", "--dry-run", "-Werror", *tracked("*.c", "*.h", "*.cc", "*.cpp")
        ),
        "shell": lambda runner: runner.check("shellcheck", *shell_scripts()),
        "analysis": lambda runner: runner.run_analysis(),
        "c": lambda runner: runner.run_c("asan"),
    }
    for folder in python_folders():
        suites[folder.name] = lambda runner, folder=folder: runner.run_python("asan", [folder])
    suites["keys"] = run_keys
    suites["browser"] = run_browser
    suites["containers"] = run_containers
    suites["bench"] = run_bench
    suites["tsan"] = run_tsan
    suites["fuzz"] = lambda runner: runner.run_fuzzers()
    return suites


def in_python(names):
    """Those that run together."""
    return [folder.name for folder in python_folders() if folder.name in set(names) - ALONE]


def run_all(names, suites, runner, total):
    """The suites in turn; those in Python together, where the first of them was, with others beside them.
    Adds up in `total`."""
    together = in_python(names)
    beside = [name for name in WAITING + COMPUTING if name in names and together]

    def run_several(some, one):
        outcome = Outcome()
        for name in some:
            outcome.add(run_suite(name, suites[name], one))
        return outcome

    def compute(one):
        outcome = run_several([name for name in beside if name in COMPUTING], one)
        build_ahead(names, one)
        return outcome

    for name in names:
        if together and name == next(each for each in names if each in together):
            runner.build("asan")
            with (
                Beside(runner, compute, NICE) as computing,
                Beside(runner, lambda one: run_several([each for each in beside if each in WAITING], one)) as waiting,
            ):
                total.add(run_suite(" ".join(together), lambda one: run_together(one, together), runner))
            total.add(waiting.outcome)
            total.add(computing.outcome)
        elif name not in together and name not in beside:
            total.add(run_suite(name, suites[name], runner))


def build_ahead(names, runner):
    """What suites that follow those in Python build first; they say so when it fails."""
    for name in BUILDS:
        if name in names:
            runner.build(name)
    if "fuzz" in names:
        runner.command(sys.executable, "-m", "fuzz.suite", "--build")


class Beside:
    """Does work, with a runner of its own, in a thread while something else runs; then prints what it said."""

    def __init__(self, runner, work, nice=()):
        self.outcome = Outcome()
        self._work = work
        self._log = tempfile.TemporaryFile("w+", dir=runner.scratch, errors="replace")
        self._runner = Runner(runner.scratch, runner.long, self._log, nice)
        self._runner.built = runner.built
        self._used_by = runner
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            self.outcome = self._work(self._runner)
        except Exception as error:  # noqa: BLE001 - the run goes on, and fails
            self.outcome = failure(f"the runner: {error!r}")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, error, *_):
        if error:
            self._runner.end()
        self._thread.join()
        self._used_by.busy += self._runner.busy
        self._log.seek(0)
        self._used_by.say(self._log.read().rstrip("\n"))
        self._log.close()


def parse_arguments(suites):
    """tests/run has checked them, and answered --help, before anything was installed."""
    parser = argparse.ArgumentParser(prog="tests/run", add_help=False)
    parser.add_argument("suite", nargs="*")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--ci", dest="extent", action="store_const", const="ci", default="")
    parser.add_argument("--all", dest="extent", action="store_const", const="all")
    options = parser.parse_args()
    runs = NOT_LEFT_OUT.get(options.extent, set())
    options.left_out = [name for name in LEFT_OUT if name not in runs and not options.suite]
    options.suite = options.suite or [name for name in suites if name not in options.left_out]
    return options


def run_suite(name, suite, runner):
    runner.say(f"== {name}")
    start, busy = time.monotonic(), runner.busy
    outcome = suite(runner)
    if outcome.passed + outcome.failed + outcome.skipped == 0:
        outcome.failures.append("no test ran")
    seconds, busy = time.monotonic() - start, runner.busy - busy
    counted = f"{outcome.passed} passed, {outcome.failed} failed"
    runner.say(f"== {name}: {counted} in {seconds:.0f} s, {busy:.0f} s of processors\n")
    outcome.failures = [f"{name}: {which}" for which in outcome.failures]
    return outcome


def main():
    suites = find_suites()
    options = parse_arguments(suites)
    leave_nothing()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    total = Outcome()
    scratch = make_folder("tests", in_memory())
    os.chmod(scratch, 0o711)  # the PostgreSQL server of another user lives below it
    tempfile.tempdir = str(scratch)
    try:
        os.environ["TRIGGERS_TEST_EXTENT"] = options.extent
        runner = Runner(scratch, options.long)
        if options.extent == "all":  # for a browser test of the TypeScript binding, which is left out without
            runner.quiet(ROOT / "deploy" / "packages", "chromium")
        for name in options.left_out:
            print(f"left out: {name}, for {LEFT_OUT[name]}; --all or its name runs it\n", flush=True)
        run_all(options.suite, suites, runner, total)
    except KeyboardInterrupt:
        total.failures.append("interrupted")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for which in total.repeated:
        print(f"passed when run again: {which}", flush=True)
    for which in total.failures:
        print(f"failed: {which}", flush=True)
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
