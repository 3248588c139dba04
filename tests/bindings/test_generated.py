"""What is made from the .proto files is current."""

import filecmp
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.program import ROOT

BUF_VERSION = "1.75.0"


def differences(expected, found):
    """Files that differ or that one side lacks, recursively."""
    compared = filecmp.dircmp(expected, found, ignore=["__pycache__"])
    names = compared.left_only + compared.right_only + compared.diff_files
    for name in compared.common_dirs:
        names += differences(Path(expected) / name, Path(found) / name)
    return names


def test_python_messages(tmp_path):
    subprocess.run([ROOT / "clients/python/generate", tmp_path / "proto"], check=True)
    made = ROOT / "clients/python/src/triggers_client/proto"
    assert not differences(tmp_path / "proto", made), "run clients/python/generate"


def test_protocol_reference(tmp_path):
    script = ROOT / "proto" / "reference.py"
    subprocess.run([sys.executable, script, tmp_path / "REFERENCE.md"], check=True)
    made = (ROOT / "proto" / "REFERENCE.md").read_text()
    assert made == (tmp_path / "REFERENCE.md").read_text(), "run proto/reference.py"


@pytest.fixture(scope="module")
def buf():
    """The command buf, of the npm package, in the build folder."""
    if not shutil.which("npm"):
        pytest.skip("buf needs npm")
    folder = ROOT / "build" / "bindings" / "buf"
    program = folder / "node_modules" / ".bin" / "buf"
    if BUF_VERSION not in installed_version(program):
        folder.mkdir(parents=True, exist_ok=True)
        words = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder]
        subprocess.run([*words, f"@bufbuild/buf@{BUF_VERSION}"], check=True)
    return program


def installed_version(program):
    if not program.exists():
        return ""
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "words",
    [["lint"], ["format", "--diff", "--exit-code"], ["breaking", "--against", "released.binpb"]],
    ids=lambda words: words[0],
)
def test_buf(buf, words):
    """released.binpb is the image of the last release: `buf build -o released.binpb` in proto/ when
    one is made."""
    done = subprocess.run([buf, *words], cwd=ROOT / "proto", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
