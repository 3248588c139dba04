"""Who may include whom: the arrows of src/README.md, held. What a folder may include is written below,
its own headers aside; so is what the top level of the project may hold."""

import re
import sys
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
    "src/service": {"base", "rpc", "store", "events", "protobuf"},
    "src/daemon": {"base", "sp", "rpc", "net", "store", "events", "service"},
    "src/import": {"base", "store", "store/postgres", "events", "libpq", "sqlite"},
    "bridge": {"base", "protobuf", "libtriggers", "microhttpd"},
    "clients/c": {"base", "sp", "protobuf", "nng"},
    "clients/cli": {"base", "libtriggers", "sqlite"},
}
LIBRARIES = {
    r".*\.pb-c\.h|protobuf-c/.*": "protobuf",
    r"nng/.*": "nng",
    r"libpq-fe\.h": "libpq",
    r"sqlite3\.h": "sqlite",
    r"microhttpd\.h": "microhttpd",
    r"triggers\.h": "libtriggers",
}
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)


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
    return place if (ROOT / "src" / header).exists() and f"src/{place}" != folder else None


def breaches(folder, text):
    """The headers that a file of the folder includes and may not."""
    return [
        header
        for header in INCLUDE.findall(text)
        if (name := name_of(header, folder)) and name not in MAY_INCLUDE[folder]
    ]


def find_breaches():
    """What is wrong, one line each."""
    top = {path.split("/")[0] for path in tracked("*")}
    found = [f"{name} is not for the top level" for name in top - TOP if not name.startswith(".")]
    for path in tracked("src/*.[ch]", "bridge/*.[ch]", "clients/c/*.[ch]", "clients/cli/*.[ch]"):
        folder = str(Path(path).parent)
        if folder in MAY_INCLUDE:
            found += [f"{path} includes {header}" for header in breaches(folder, (ROOT / path).read_text())]
        elif not {"tests", "examples"} & set(Path(path).parts):
            found.append(f"{path}: tests/analysis/layers.py says nothing of this folder")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(find_breaches()) or 0)
