"""The tools, installed below build/description when they are first needed, and a bridge they may call."""

import sys
from pathlib import Path

import pytest

from support.program import ROOT
from support.tools import install, install_npm

HERE = Path(__file__).parent
FOLDER = ROOT / "build" / "description"


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


@pytest.fixture(scope="session")
def python_tools():
    """The folder of the Python tools' programs."""
    folder = FOLDER / "python"
    listed = HERE / "requirements.txt"
    pip = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "-r", listed]
    return install(folder, listed, [sys.executable, "-m", "venv", folder], pip) / "bin"


@pytest.fixture(scope="session")
def node_tools():
    """The folder with node_modules."""
    return install_npm(FOLDER / "node", HERE / "package.json")
