#!/usr/bin/env python3
"""Counts what a reader of the core has to hold.

Checks: uses of CHECK in 1000 lines of .c and .h files of src, bridge and clients/c, tests left out.

One create, one list: the functions that a call may go through in the core, from its arrival to its
answer, and the files and types of these. It is the closure of the static call graph, read from the
text: a function leads to every function of the tree that its body names, called or handed on, and a
call through a member (`driver->write(`) to every function that an initialiser gives to a member of
that name. So it counts the paths of failures too, and is an upper bound. Left out are base/,
sp/ and the drivers of the store, which are used by their contracts alone, and generated code. Types
are the structs, unions and enums that the counted functions name.
"""

import argparse
import re
from pathlib import Path

MEASURED = ("src", "bridge", "clients/c")
CORE = {"net", "rpc", "service", "events", "store"}
DEFINITION = re.compile(
    r"^((?:[A-Za-z_][^;={}()\n]*?[ *])?)([A-Za-z_]\w*)\(([^;{}()]*(?:\([^;{}]*)?)\)\n\{\n(.*?)^\}",
    re.M | re.S,
)
INITIALISER = re.compile(r"\.(\w+) = &?(\w+)\b")
MEMBER_CALL = re.compile(r"(?:->|\.)(\w+)\(")
TYPE = re.compile(r"\b(?:struct|union|enum) (\w+)")
TEXT = re.compile(r"/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"", re.S)
# Where a way begins: as a request arrives, in its handler, which only generated code names, and in
# the thread that it is handed to.
WAYS = {
    "create": ("on_received", "create_event", "worker_main"),
    "list": ("on_received", "list_inbox", "worker_main"),
}
# Files that are on other ways only.
ELSEWHERE = {
    "create": {"event_reads.c", "readers.c", "backlog.c"},
    "list": {"event_writes.c", "writer.c", "backlog.c"},
}


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


class Function:
    def __init__(self, path, signature, body):
        self.path = path
        self.words = set(re.findall(r"\w+", body))
        self.members = set(MEMBER_CALL.findall(body))
        self.types = set(TYPE.findall(signature + body))


def read_core(root):
    functions, members = {}, {}
    for path in sources(root, ["src"]):
        parts = path.relative_to(root / "src").parts
        if parts[0] not in CORE or len(parts) > 2:
            continue
        text = TEXT.sub(lambda match: '""' if match[0][0] == '"' else " ", path.read_text())
        for kind, name, arguments, body in DEFINITION.findall(text):
            if name.isupper():  # EVENT_HANDLER(create_event, CreateEvent)
                name = arguments.split(",")[0]
            functions.setdefault((path, name), Function(path, kind + arguments, body))
        for member, value in INITIALISER.findall(text):
            members.setdefault(member, set()).add(value)
    return functions, members


def walk(functions, members, way):
    """A name means the function of the same file first: many static ones share theirs."""
    by_name = {}
    for path, name in functions:
        by_name.setdefault(name, []).append((path, name))
    found = set()
    left = [key for start in WAYS[way] for key in by_name.get(start, [])]
    while left:
        key = left.pop()
        if key in found:
            continue
        found.add(key)
        function = functions[key]
        led = {value for member in function.members for value in members.get(member, ())}
        for name in function.words | led:
            places = [place for place in by_name.get(name, ()) if place[0].name not in ELSEWHERE[way]]
            left += [place for place in places if place[0] == key[0]] or places[:1]
    return found


def count_way(root, way, show):
    functions, members = read_core(root)
    found = walk(functions, members, way)
    files = {path for path, _ in found}
    types = set().union(*(functions[key].types for key in found)) if found else set()
    print(f"one {way}: {len(found)} functions, {len(files)} files, {len(types)} types")
    if show:
        for path, name in sorted(found):
            print(f"    {path.relative_to(root)}: {name}")
        print("    " + " ".join(sorted(types)))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--show", action="store_true", help="list what is counted")
    parser.add_argument("tree", nargs="?", type=Path, default=Path(__file__).parents[2])
    arguments = parser.parse_args()
    root = arguments.tree.resolve()
    if not (root / "src").is_dir():
        parser.error(f"{root} is no tree of this project")
    count_checks(root)
    for way in WAYS:
        count_way(root, way, arguments.show)


if __name__ == "__main__":
    main()
