"""The Debian packages: built, looked over by lintian, installed with apt on a throw-away copy of this
system, started there by systemd in their sandboxes, and purged. Under `./tests/run --ci` and `--all`."""

import json
import subprocess

import pytest

from support.bindings import extent
from support.program import ROOT

PROGRAMS = ["triggersd", "triggers-bridge", "triggers"]

pytestmark = pytest.mark.skipif(
    not extent(), reason="the Debian packages are built under --ci and --all"
)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The folder with the packages."""
    subprocess.run([ROOT / "deploy/packages", "lintian", "systemd-container"], check=True)
    folder = tmp_path_factory.mktemp("packages")
    subprocess.run([ROOT / "deploy/debian/build", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def test_lintian_finds_nothing(packages):
    words = ["lintian", "--allow-root", "--fail-on", "error,warning", *packages.glob("*.changes")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout, done.stdout


def boot(packages, seen, check, names):
    """What tests/package/boot came to."""
    words = ["unshare", "--mount", "--propagation", "private", ROOT / "tests/package/boot"]
    return subprocess.run([*words, packages, seen, check, *names], capture_output=True, text=True)


CONTROL = """Package: empty
Version: 1
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: nothing
"""


@pytest.fixture(scope="module")
def able(tmp_path_factory):
    """This machine can boot a copy of its system, whatever is installed there: an empty package was."""
    folder = tmp_path_factory.mktemp("able")
    (folder / "empty" / "DEBIAN").mkdir(parents=True)
    (folder / "empty" / "DEBIAN" / "control").write_text(CONTROL)
    (folder / "seen").mkdir()
    subprocess.run(["dpkg-deb", "--build", "empty", "empty_1.deb"], cwd=folder, check=True, capture_output=True)
    done = boot(folder, folder / "seen", ROOT / "tests/package/able", ["empty"])
    if done.returncode == 0:
        return
    why = f"this machine cannot boot a copy of its system: {done.stdout}{done.stderr}"
    if extent() == "all":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def seen(packages, able, tmp_path_factory):
    """What tests/package/boot and check saw, by name."""
    folder = tmp_path_factory.mktemp("seen")
    done = boot(packages, folder, ROOT / "tests/package/check", PROGRAMS)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: path.read_text(errors="replace") for path in folder.iterdir()}


def test_files_are_where_they_belong(seen):
    files = seen["files"].split()
    for program in PROGRAMS:
        assert f"/usr/bin/{program}" in files
        assert f"/usr/share/doc/{program}/copyright" in files
    for program in PROGRAMS[:2]:
        assert f"/etc/default/{program}" in files
        assert any(name.endswith(f"lib/systemd/system/{program}.service") for name in files)
        assert f"/usr/share/man/man8/{program}.8.gz" in files
    assert "/usr/bin/triggers-import" in files and "/usr/share/man/man8/triggers-import.8.gz" in files
    assert "/usr/share/man/man1/triggers.1.gz" in files
    assert "/usr/share/bash-completion/completions/triggers" in files


def test_services_run_in_their_sandboxes(seen):
    assert "restored" in seen, seen["log"] + seen["boot"]
    assert seen["units"].count("ActiveState=active") == 2
    assert seen["units"].count("DynamicUser=yes") == 2
    assert json.loads(seen["created"])["status"] == "received"
    assert json.loads(seen["acknowledged"])["status"] == "acknowledged"
    assert seen["mode"] == "600 triggersd\n"


def test_a_restored_backup_is_served(seen):
    restored = json.loads(seen["restored"])
    assert restored["acknowledged_at"] == json.loads(seen["acknowledged"])["acknowledged_at"]
    assert seen["pending"] == ""  # what came after the backup is not in it


def test_keys_and_https_come_from_credentials(seen):
    assert seen.get("with_keys", seen["log"]).split() == ["401", "200"]


def test_a_wrong_setting_is_not_tried_again(seen):
    found = set(seen["misconfigured"].split())
    assert found == {"ActiveState=failed", "ExecMainStatus=2", "NRestarts=0"}


def test_purging_leaves_nothing(seen):
    assert seen["left"] == ""
