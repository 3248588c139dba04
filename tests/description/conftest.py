"""The tools, installed below build/description when they are first needed, and a bridge they may call."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.program import ROOT

HERE = Path(__file__).parent
FOLDER = ROOT / "build" / "description"
NODE = 20  # the first version that the tools run on


@pytest.fixture(scope="module", params=["sqlite"])
def store_name(request):
    """What is described is the bridge; either store will do."""
    return request.param


@pytest.fixture(scope="module")
def document(http, tmp_path_factory):
    """The description as it is served, in a file."""
    path = tmp_path_factory.mktemp("description") / "openapi.json"
    path.write_bytes(http.get("/openapi.json").content)
    return path


def install(folder, listed, *commands):
    """Runs commands that fill a folder with what the file `listed` lists, unless they have."""
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == listed.read_text():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(listed, folder)
    for words in commands:
        subprocess.run(words, check=True)
    stamp.write_text(listed.read_text())
    return folder


@pytest.fixture(scope="session")
def python_tools():
    """The folder of the Python tools' programs."""
    folder = FOLDER / "python"
    listed = HERE / "requirements.txt"
    pip = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "-r", listed]
    return install(folder, listed, [sys.executable, "-m", "venv", folder], pip) / "bin"


def node_version():
    if not shutil.which("npm"):
        return 0
    words = ["node", "-p", "process.versions.node"]
    return int(subprocess.run(words, capture_output=True, text=True).stdout.split(".")[0])


@pytest.fixture(scope="session")
def node_tools():
    """The folder with node_modules."""
    if node_version() < NODE:
        pytest.skip(f"needs npm and Node {NODE}")
    folder = FOLDER / "node"
    npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder]
    return install(folder, HERE / "package.json", npm)
