"""Tools of others, installed below build/ when they are first needed."""

import fcntl
import shutil
import subprocess

import pytest

NODE = 20  # the first version that the tools run on


def install(folder, listed, *commands):
    """Runs commands that fill a folder with what the file `listed` lists, unless they have; one worker of
    pytest at a time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return fill(folder, listed, commands)


def fill(folder, listed, commands):
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


def node_version():
    if not shutil.which("npm"):
        return 0
    words = ["node", "-p", "process.versions.node"]
    return int(subprocess.run(words, capture_output=True, text=True).stdout.split(".")[0])


def install_npm(folder, listed):
    """The folder with the node_modules of a package.json; skips the test without Node."""
    if node_version() < NODE:
        pytest.skip(f"needs npm and Node {NODE}")
    npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder]
    return install(folder, listed, npm)
