"""One name, one thing: of files, of types with a tag, and of functions that more than one file sees, in src,
bridge, clients/c and clients/cli."""

import re
import sys
from pathlib import Path

from analysis.layers import COMMENT_OR_TEXT, FUNCTION
from support.runner import tracked

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("src/*.[ch]", "bridge/*.[ch]", "clients/c/*.[ch]", "clients/cli/*.[ch]")

# What each program has one of, in its folder; both drivers are one contract kept twice, file by file.
EACH_PROGRAM = {"main.c", "main", "settings.c", "settings.h"}
DRIVERS = {"src/store/postgres", "src/store/sqlite"}

TAG = re.compile(r"^(?:typedef |static )?(?:const )?(?:struct|union|enum) (\w+)\s*\{", re.MULTILINE)


def names_in(path, text):
    """The names that a file gives to things, itself among them."""
    text = COMMENT_OR_TEXT.sub(" ", text)
    functions = (name for static, name in FUNCTION.findall(text) if not static)
    return {Path(path).name, *TAG.findall(text), *functions}


def is_one_thing(name, paths):
    if name in EACH_PROGRAM:
        return True
    return {str(Path(path).parent) for path in paths} == DRIVERS


def find_doubles(files):
    """Of files, path by text: the names that stand for two things, one line each."""
    users = {}
    for path, text in sorted(files.items()):
        for name in names_in(path, text):
            users.setdefault(name, []).append(path)
    doubles = {name: paths for name, paths in users.items() if len(paths) > 1}
    return [
        f"{name} is in {' and '.join(paths)}: one name, one thing"
        for name, paths in sorted(doubles.items())
        if not is_one_thing(name, paths)
    ]


def find_project_doubles():
    paths = [path for path in tracked(*PLACES) if not {"tests", "examples"} & set(Path(path).parts)]
    return find_doubles({path: (ROOT / path).read_text() for path in paths})


if __name__ == "__main__":
    sys.exit("\n".join(find_project_doubles()) or 0)
