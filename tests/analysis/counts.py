#!/usr/bin/env python3
"""Counts what a reader of the core has to hold.

Checks: uses of CHECK in 1000 lines of .c and .h files of src, bridge and clients/c, tests left out.

One create, one list: the functions of the core that run for each, from its arrival to its answer, on
a connection that stands, when nothing fails; the files they are in and the types that they name.
For that a build with coverage is run and gcov asked which functions ran once more for one call more:
    meson setup build/coverage -Db_coverage=true -Dbuildtype=debug && ninja -C build/coverage
    build/venv/bin/python tests/analysis/counts.py build/coverage
Left out are base/, sp/ and the drivers of the store, which are used by their contracts alone. With
optimization, small functions that the compiler inlines would not be counted.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

MEASURED = ("src", "bridge", "clients/c")
CORE = {"net", "rpc", "service", "events", "store"}
DEFINITION = re.compile(
    r"^((?:[A-Za-z_][^;={}()\n]*?[ *])?)([A-Za-z_]\w*)\(([^;{}()]*(?:\([^;{}]*)?)\)\n\{\n(.*?)^\}",
    re.M | re.S,
)
TYPE = re.compile(r"\b(?:struct|union|enum) (\w+)")
TEXT = re.compile(r"/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"", re.S)
WAYS = {
    "create": lambda rpc: rpc.create(),
    "list": lambda rpc: rpc.event("ListInbox", page_size=10),
}
FEW, MANY = 10, 110  # calls


def sources(root, folders):
    for folder in folders:
        for path in sorted((root / folder).rglob("*.[ch]")):
            if "tests" not in path.relative_to(root).parts:
                yield path


def count_checks(root):
    for folder in (*MEASURED, None):
        texts = [path.read_text() for path in sources(root, [folder] if folder else MEASURED)]
        lines = sum(text.count("\n") for text in texts)
        checks = sum(len(re.findall(r"^\s.*\bCHECK\w*\(", text, re.M)) for text in texts)
        name = folder or "all"
        print(f"{name}: {checks} checks in {lines} lines, {1000 * checks / lines:.1f} in 1000")


def run_calls(build, call, count):
    """How often each function of the core ran, by its file and name, in a core that served so many."""
    from support.services import Core

    for path in build.rglob("*.gcda"):
        path.unlink()
    with tempfile.TemporaryDirectory() as folder:
        core = Core(Path(folder), LOG_LEVEL="error")
        core.wait_serving()
        with core.client() as rpc:
            for _ in range(count):
                call(rpc)
        core.stop()
    ran = Counter()
    data = [str(path) for path in build.rglob("src/**/*.gcda")]
    told = subprocess.run(["gcov", "-j", "-t", *data], cwd=build, check=True, capture_output=True)
    for line in told.stdout.splitlines():
        for file in json.loads(line)["files"]:
            path = os.path.normpath(build / file["file"])
            for function in file["functions"]:
                ran[path, function["name"]] += function["execution_count"]
    return ran


def is_counted(root, path):
    parts = Path(path).parts[len(root.parts) :]
    return parts[:1] == ("src",) and parts[1] in CORE and len(parts) == 3


def types_of(path, names):
    text = TEXT.sub(" ", Path(path).read_text())
    types = set()
    for kind, name, arguments, body in DEFINITION.findall(text):
        if name.isupper():  # EVENT_HANDLER(create_event, CreateEvent)
            name = "event_service_" + arguments.split(",")[0]
        if name in names:
            types |= set(TYPE.findall(kind + arguments + body))
    return types


def count_way(root, build, way, show):
    few, many = (run_calls(build, WAYS[way], count) for count in (FEW, MANY))
    found = {}
    for (path, name), times in many.items():
        if times - few[path, name] >= MANY - FEW and is_counted(root, path):
            found.setdefault(path, set()).add(name)
    types = set().union(*(types_of(path, names) for path, names in found.items()))
    functions = sum(map(len, found.values()))
    print(f"one {way}: {functions} functions, {len(found)} files, {len(types)} types")
    if show:
        for path, names in sorted(found.items()):
            print(f"    {os.path.relpath(path, root)}: {len(names)}: {' '.join(sorted(names))}")
        print("    " + " ".join(sorted(types)))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--show", action="store_true", help="list what is counted")
    parser.add_argument("build", nargs="?", type=Path, help="with coverage; none: checks alone")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    count_checks(root)
    if arguments.build:
        os.environ["TRIGGERS_BUILD"] = str(arguments.build.resolve())
        for way in WAYS:
            count_way(root, arguments.build.resolve(), way, arguments.show)


if __name__ == "__main__":
    main()
