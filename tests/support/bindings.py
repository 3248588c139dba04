"""The language bindings, and what a machine needs to run each."""

import os
import shutil
from dataclasses import dataclass

from support.program import ROOT, build_folder


def extent():
    """How far this run goes, as tests/run's options say: "" as a run before each change does, "ci" with all that
    this machine can, "all" with what it must be able to."""
    return os.environ.get("TRIGGERS_TEST_EXTENT", "")


@dataclass(frozen=True)
class Binding:
    """A binding and what a machine needs to run it."""

    name: str
    language: str  # the folder in clients
    tools: tuple = ()
    default: bool = False  # part of a plain tests/run
    compiled: bool = False  # its programs are in the meson build
    arguments: tuple = ()  # of its conformance and bench programs

    @property
    def folder(self):
        return ROOT / "clients" / self.language

    def command(self, what, *arguments):
        """The argv of "conformance", "check", "bench" or "examples/run"."""
        if not self.compiled:
            return [self.folder / what, *arguments]
        built = build_folder() / "clients" / self.language
        if what == "examples/run":
            return [built / "examples" / arguments[0]]
        return [built / "tests" / what, *arguments]

    def why_not(self, extent):
        """Why a run of this extent (see `extent` below) leaves it out; "" when it does not."""
        if not self.default and not extent:
            return "only with --ci and --all"
        missing = [tool for tool in self.tools if not shutil.which(tool)]
        # Asked for everything, a machine without a toolchain must not look as if it had passed.
        return f"needs {', '.join(missing)}" if missing and extent != "all" else ""


BINDINGS = [
    Binding("c", "c", default=True, compiled=True),
    Binding("cpp", "cpp", default=True, compiled=True),
    Binding("python", "python", ("python3",), default=True),
    Binding("python-asyncio", "python", ("python3",), default=True, arguments=("--aio",)),
    Binding("typescript", "typescript", ("node", "npm")),
    Binding("go", "go", ("go",)),
    Binding("java", "java", ("javac", "mvn")),
    Binding("rust", "rust", ("cargo", "protoc")),
]
