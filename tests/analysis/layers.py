"""Who may include whom: the arrows of src/README.md, held. What a folder may include is written below,
its own headers aside; so is what the top level of the project may hold. And within the folders of ONE_WAY
no files include or call each other in a circle: who is told something by a file below it gives that a
callback."""

import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from support.runner import tracked

ROOT = Path(__file__).resolve().parents[2]
TOP = {"bridge", "clients", "deploy", "proto", "src", "tests", "meson.build", "README.md", "LICENSE"}

# Folders of src by their names; libraries by what LIBRARIES calls them.
MAY_INCLUDE = {
    "src/base": set(),
    "src/sp": {"base", "nng"},
    "src/rpc": {"base", "protobuf"},
    "src/net": {"base", "sp", "rpc", "nng"},
    "src/store": {"base"},
    "src/store/migrations": set(),
    "src/store/postgres": {"base", "store", "store/migrations", "libpq"},
    "src/store/sqlite": {"base", "store", "store/migrations", "sqlite"},
    "src/events": {"base", "store"},
    "src/subscriptions": {"base", "store", "events"},
    "src/access": {"base", "store", "events", "protobuf"},
    "src/service": {"base", "rpc", "store", "events", "subscriptions", "access", "protobuf"},
    "src/daemon": {"base", "sp", "rpc", "net", "store", "events", "subscriptions", "access", "service"},
    "src/import": {"base", "store", "store/postgres", "events", "libpq", "sqlite"},
    "bridge": {"base", "protobuf", "libtriggers", "microhttpd", "gnutls"},
    "clients/c": {"base", "sp", "protobuf", "nng"},
    "clients/cli": {"base", "access", "protobuf", "libtriggers", "sqlite"},
}
LIBRARIES = {
    r".*\.pb-c\.h|protobuf-c/.*": "protobuf",
    r"nng/.*": "nng",
    r"libpq-fe\.h": "libpq",
    r"sqlite3\.h": "sqlite",
    r"microhttpd\.h": "microhttpd",
    r"gnutls/.*": "gnutls",
    r"triggers\.h": "libtriggers",
}
ONE_WAY = [
    "bridge",
    "clients/c",
    "clients/cli",
    "src/access",
    "src/base",
    "src/daemon",
    "src/events",
    "src/import",
    "src/net",
    "src/rpc",
    "src/service",
    "src/sp",
    "src/store/postgres",
    "src/store/sqlite",
    "src/subscriptions",
]
# Libraries that only these files of a folder may include.
ONLY = {
    ("bridge", "microhttpd"): {"http.c", "loop.c", "respond.c"},
    ("bridge", "gnutls"): {"certificates.c", "tls.c"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)

COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
# As clang-format writes them, from the start of a line to the brace on one of its own.
FUNCTION = re.compile(r"^(static )?[A-Za-z_][\w *]*?\b(\w+)\([^;{}]*\)\n\{", re.MULTILINE)


def name_of(header, folder):
    """What MAY_INCLUDE calls the place of a header; None when it is the folder itself or the system."""
    if (ROOT / folder / header).exists():
        return None
    for pattern, library in LIBRARIES.items():
        if re.fullmatch(pattern, header):
            return library
    if (ROOT / "clients" / "c" / header).exists():
        return "clients/c"
    place = str(Path(header).parent)
    return place if (ROOT / "src" / header).exists() and f"src/{place}" != str(folder) else None


def may_include(path, name):
    folder = str(path.parent)
    return name in MAY_INCLUDE[folder] and path.name in ONLY.get((folder, name), {path.name})


def breaches(path):
    """The headers that a file includes and may not."""
    headers = INCLUDE.findall((ROOT / path).read_text())
    names = {header: name_of(header, path.parent) for header in headers}
    return [header for header, name in names.items() if name and not may_include(path, name)]


def used_by_calls(sources):
    """Pairs of files, the second of which has a function that the first names."""
    plain = {name: COMMENT_OR_TEXT.sub("", text) for name, text in sources.items() if name.endswith(".c")}
    functions = {name: FUNCTION.findall(text) for name, text in plain.items()}
    owner = {word: name for name, found in functions.items() for static, word in found if not static}
    for name, text in plain.items():
        own = {word for _, word in functions[name]}
        yield from ((name, owner[word]) for word in set(re.findall(r"\w+", text)) - own if word in owner)


def used_by_includes(folder, sources):
    """The same for headers of the folder, which the first includes."""
    for name, text in sources.items():
        for header in INCLUDE.findall(text):
            own = Path(header).name in sources
            if own and (ROOT / folder / Path(header).name) in (ROOT / folder / header, ROOT / "src" / header):
                yield name, header


def find_circle(folder, sources):
    """The first circle of the folder's files, a .c and its .h taken as one, as a list of their names; None
    when there is none. `sources` are the texts of the files by their names."""
    uses = {}
    for user, used in [*used_by_calls(sources), *used_by_includes(folder, sources)]:
        if Path(user).stem != Path(used).stem:
            uses.setdefault(Path(user).stem, set()).add(Path(used).stem)
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return None


def find_circles():
    """One line for each folder of ONE_WAY that has a circle."""
    for folder in ONE_WAY:
        sources = {path.name: path.read_text() for path in (ROOT / folder).glob("*.[ch]")}
        if circle := find_circle(folder, sources):
            yield f"{folder}: {' uses '.join(circle)}"


def find_breaches():
    """What is wrong, one line each."""
    top = {path.split("/")[0] for path in tracked("*")}
    found = [f"{name} is not for the top level" for name in top - TOP if not name.startswith(".")]
    for path in tracked("src/*.[ch]", "bridge/*.[ch]", "clients/c/*.[ch]", "clients/cli/*.[ch]"):
        if str(Path(path).parent) in MAY_INCLUDE:
            found += [f"{path} includes {header}" for header in breaches(Path(path))]
        elif not {"tests", "examples"} & set(Path(path).parts):
            found.append(f"{path}: tests/analysis/layers.py says nothing of this folder")
    return found + list(find_circles())


if __name__ == "__main__":
    sys.exit("\n".join(find_breaches()) or 0)
