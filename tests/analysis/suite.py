"""Static analysis of src, bridge and clients: who includes whom (layers.py), names that stand for two
things (names.py), clang-tidy with the checks of .clang-tidy, and gcc's -fanalyzer. Each is one test. Takes the commands from a build folder's
compile_commands.json."""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

from analysis.layers import find_breaches
from analysis.names import find_project_doubles
from support.leftovers import leave_nothing

ROOT = Path(__file__).resolve().parents[2]
# States of a function that clang looks at, at most; its default, 225000, takes three times as long.
QUICK = "max-nodes=50000"
FOLDERS = [ROOT / "src", ROOT / "bridge", ROOT / "clients"]


def read_commands(folder):
    """One compile command for each C source of the programs: (folder it runs in, file, words). What
    tests and shows them is left out: it may end where something is wrong."""
    entries = {}
    for entry in json.loads((folder / "compile_commands.json").read_text()):
        path = Path(entry["directory"], entry["file"]).resolve()
        if path.suffix != ".c" or not any(path.is_relative_to(part) for part in FOLDERS):
            continue
        if not {"tests", "examples"} & set(path.relative_to(ROOT).parts):
            words = shlex.split(entry["command"])
            words = words[words[0].endswith("ccache"):]  # where it is installed, meson uses it
            entries.setdefault(path, (entry["directory"], path, words))
    return [entries[path] for path in sorted(entries)]


def analyzer_words(words):
    """The command without output, dependencies, warnings of its own and sanitizers, whose checks
    the analyzer would take for ours. -O1 decides what is inlined, and so how far it sees. gcc 12 takes
    what lies in lists and arenas for lost: leaks are left to clang's analyzer and the leak sanitizer."""
    kept = ["gcc"]
    skip = False
    for word in words[1:]:
        if skip or word in ("-o", "-MF", "-MQ"):
            skip = not skip
        elif not word.startswith(("-W", "-fsanitize", "-MD", "-O")):
            kept.append(word)
    return kept + ["-O1", "-fanalyzer", "-Werror", "-Wno-analyzer-malloc-leak", "-o", "/dev/null"]


def run_gcc(build, command, deep):
    folder, _, words = command
    return run(analyzer_words(words), folder)


def run_clang_tidy(build, command, deep):
    # gcc's warnings are not all clang's; one file at a time, as its va_list check remembers too much
    words = ["clang-tidy", "-p", build, "--quiet", "--extra-arg=-Wno-unknown-warning-option"]
    if not deep:
        words += [f"--extra-arg={word}" for word in ("-Xclang", "-analyzer-config", "-Xclang", QUICK)]
    return run([*words, command[1]], ROOT)


def run(words, folder):
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return done.returncode == 0, done.stdout + (done.stderr if done.returncode else "")


TOOLS = {"gcc": run_gcc, "clang-tidy": run_clang_tidy}


def analyse(name, build, commands, deep, jobs):
    """Whether the tool finds nothing; what it finds is printed."""
    start = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda command: TOOLS[name](build, command, deep), commands))
    for good, output in results:
        if not good:
            print(output)
    bad = sum(not good for good, _ in results)
    took = time.monotonic() - start
    print(f"{name}: {bad} of {len(results)} files with findings in {took:.0f} s", flush=True)
    return bad == 0 and len(results) > 0


def hold(name, found):
    """Whether nothing was found; what was is printed."""
    print("".join(f"{line}\n" for line in found), end="")
    print(f"{name}: {len(found)} findings", flush=True)
    return not found


def write_report(path, results):
    """JUnit's form, which the runner counts."""
    failed = sum(not good for good in results.values())
    suite = ElementTree.Element(
        "testsuite", name="analysis", tests=str(len(results)), failures=str(failed), errors="0", skipped="0"
    )
    for name, good in results.items():
        case = ElementTree.SubElement(suite, "testcase", classname="analysis", name=name)
        if not good:
            ElementTree.SubElement(case, "failure", message="see the log")
    ElementTree.ElementTree(suite).write(path)


def main():
    parser = argparse.ArgumentParser(prog="python -m analysis.suite", description=__doc__)
    parser.add_argument("build", type=Path, help="build folder, built with gcc")
    parser.add_argument("--deep", action="store_true", help="follow paths as far as clang does by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="files at a time")
    parser.add_argument("--junit-xml", help="where to write what passed and failed")
    options = parser.parse_args()
    build = options.build.resolve()
    commands = read_commands(build)
    results = {"layers": hold("layers", find_breaches())}
    results["names"] = hold("names", find_project_doubles())
    results |= {name: analyse(name, build, commands, options.deep, options.jobs) for name in TOOLS}
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
