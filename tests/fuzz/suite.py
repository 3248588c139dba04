"""Builds the fuzz targets with clang in build/fuzz and runs them, several at a time. What a target
finds is kept in build/fuzz/found and told with the command that repeats it."""

import argparse
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

from support.leftovers import leave_nothing

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "fuzz"
BUILD = ROOT / "build" / "fuzz"
FOUND = BUILD / "found"
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.c"))
# Corpora that are not ours to commit, used where they are.
SHARED = {"json": ROOT.parent / "shared" / "data" / "json"}
OPTIONS = [
    "-Db_sanitize=address,undefined",
    "-Db_lundef=false",
    "-Dc_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined",
    "-Dwerror=false",  # gcc's warnings are the rule; clang has others
]
INPUT_SECONDS = 20  # an input that takes longer hangs
MEMORY_MIB = 1024
MAX_INPUT = 16384  # bytes
GRACE_SECONDS = 120  # beyond its time, for loading the corpus and for a last slow input


running = set()


def run_logged(words, log, seconds=None, **environment):
    """Runs a command with its output in `log`; returns the exit status. It is killed when it takes
    longer than `seconds`, or when we end."""
    with open(log, "wb") as output:
        child = subprocess.Popen(
            [str(word) for word in words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **environment},
        )
    running.add(child)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
    finally:
        running.discard(child)


def build():
    """Returns whether all targets were built."""
    BUILD.mkdir(parents=True, exist_ok=True)
    log = BUILD / "build.log"
    steps = [["ninja", "-C", BUILD, "fuzzers"]]
    if not (BUILD / "build.ninja").exists():
        steps.insert(0, ["meson", "setup", BUILD, ROOT, *OPTIONS])
    for step in steps:
        if run_logged(step, log, CC="clang") != 0:
            print(log.read_text(errors="replace"), flush=True)
            return False
    return True


def program(target):
    return BUILD / "tests" / "fuzz" / f"fuzz_{target}"


def command(target, seconds):
    """The target on its corpora: first its own growing one, then those that are only read."""
    grown = BUILD / "corpus" / target
    grown.mkdir(parents=True, exist_ok=True)
    words = [program(target), f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS}"]
    words += [f"-rss_limit_mb={MEMORY_MIB}", f"-max_len={MAX_INPUT}", "-print_final_stats=1"]
    words += [f"-artifact_prefix={FOUND}/{target}-"]
    dictionary = HERE / "dictionaries" / target
    if dictionary.exists():
        words.append(f"-dict={dictionary}")
    words += [grown, HERE / "corpus" / target]
    if target in SHARED and SHARED[target].is_dir():
        words.append(SHARED[target])
    return words


def summary(text):
    """What libFuzzer counted: inputs run, and how much of the program they reached."""
    runs = [line.split()[-1] for line in text.splitlines() if "number_of_executed_units" in line]
    reach = [line.split("cov: ")[1].split()[0] for line in text.splitlines() if "cov: " in line]
    return f"{(runs or ['no'])[-1]} inputs, {(reach or ['0'])[-1]} edges"


def tell_failure(target, log, before):
    text = log.read_text(errors="replace")
    lines = [line for line in text.splitlines() if not line.startswith(("#", "\t"))]
    print("\n".join(lines[-60:]))
    for path in sorted(set(FOUND.glob(f"{target}-*")) - before):
        print(f"repeat with: {program(target)} {path}")


def run_target(target, seconds):
    """Runs one target; returns whether nothing was found."""
    log = BUILD / f"{target}.log"
    before = set(FOUND.glob(f"{target}-*"))
    start = time.monotonic()
    limit = seconds + GRACE_SECONDS
    status = run_logged(command(target, seconds), log, limit, UBSAN_OPTIONS="print_stacktrace=1")
    took = time.monotonic() - start
    if status != 0:
        tell_failure(target, log, before)
    result = "ok" if status == 0 else "not ok"
    counted = summary(log.read_text(errors="replace"))
    print(f"{result} {target}: {counted} in {took:.0f} s", flush=True)
    return status == 0


def run_all(targets, seconds, jobs):
    """Whether each was good, by name."""
    pool = ThreadPoolExecutor(jobs)
    try:
        good = list(pool.map(lambda target: run_target(target, seconds), targets))
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in list(running):
            child.kill()
        raise
    return dict(zip(targets, good))


def write_report(path, results):
    """JUnit's form, which the runner counts."""
    failed = sum(not good for good in results.values())
    suite = ElementTree.Element(
        "testsuite", name="fuzz", tests=str(len(results)), failures=str(failed), errors="0", skipped="0"
    )
    for target, good in results.items():
        case = ElementTree.SubElement(suite, "testcase", classname="fuzz", name=target)
        if not good:
            ElementTree.SubElement(case, "failure", message="see the log")
    ElementTree.ElementTree(suite).write(path)


def main():
    parser = argparse.ArgumentParser(prog="python -m fuzz.suite", description=__doc__)
    parser.add_argument("target", nargs="*", metavar="TARGET", help=f"of: {' '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=13, help="time of each target")
    jobs = 2 * (os.cpu_count() or 1)  # their time is the clock's: fewer inputs, but less to wait
    parser.add_argument("--jobs", type=int, default=jobs, help="targets at a time")
    parser.add_argument("--build", action="store_true", help="only build them")
    parser.add_argument("--junit-xml", help="where to write what passed and failed")
    options = parser.parse_args()
    targets = options.target or TARGETS
    for target in targets:
        if target not in TARGETS:
            parser.error(f"no target is called {target!r}; there are: {' '.join(TARGETS)}")
    if not build():
        return 1
    if options.build:
        return 0
    FOUND.mkdir(parents=True, exist_ok=True)
    results = run_all(targets, options.seconds, options.jobs)
    if options.junit_xml:
        write_report(options.junit_xml, results)
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    leave_nothing()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(1)
