"""podman with a storage of its own below build/containers, in which the base image stands under the name
that the Dockerfile asks for, made by debootstrap: no registry is asked for anything."""

import os
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

from support.program import ROOT

FOLDER = ROOT / "build" / "containers"
TOOLS = ("podman", "podman-compose", "debootstrap", "runc")
BASE = "docker.io/library/debian:13-slim"
POSTGRES = "docker.io/library/postgres:17"
# Without a builder's daemon, and with the network of this machine, which reaches the packages.
BUILD_OPTIONS = ("--isolation", "chroot", "--network", "host")


class CannotRun(Exception):
    """This machine cannot run containers; the text says why."""


class Podman:
    """Call it with the words of a podman command; returns its output."""

    def __init__(self):
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        if os.geteuid() != 0:
            raise CannotRun("not root")
        if missing:
            raise CannotRun(f"not installed: {' '.join(missing)}")
        self.running_folder = Path(f"/run/triggers-{zlib.crc32(str(ROOT).encode()):x}")
        self.environment = {**os.environ, **self._configure()}
        self._make_base()
        try:
            self("run", "--rm", "--network", "none", BASE, "true")
        except AssertionError as error:
            raise CannotRun(str(error)) from None

    def _configure(self):
        """Writes what keeps us apart from other users of podman here; returns where podman finds it."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        storage, containers = FOLDER / "storage.conf", FOLDER / "containers.conf"
        storage.write_text(
            "[storage]\n"
            'driver = "overlay"\n'
            f'graphroot = "{FOLDER / "storage"}"\n'
            f'runroot = "{self.running_folder}"\n'
        )
        containers.write_text(
            "[containers]\n"
            # podman's own wishes may be over the limits of this machine.
            'default_ulimits = ["nofile=8192:8192", "nproc=4096:4096"]\n'
            "[engine]\n"
            'runtime = "runc"\n'
            'cgroup_manager = "cgroupfs"\n'
            'events_logger = "file"\n'
            'lock_type = "file"\n'
            f'tmp_dir = "{self.running_folder / "libpod"}"\n'
            "[network]\n"
            f'network_config_dir = "{FOLDER / "networks"}"\n'
        )
        return {"CONTAINERS_STORAGE_CONF": str(storage), "CONTAINERS_CONF": str(containers)}

    def run(self, *words, environment=None, **options):
        """Runs any command that uses podman in turn; returns subprocess.CompletedProcess."""
        return subprocess.run(
            [str(word) for word in words],
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **options,
        )

    def __call__(self, *words):
        done = self.run("podman", *words)
        assert done.returncode == 0, f"podman {' '.join(map(str, words))}: {done.stderr}"
        return done.stdout.strip()

    def inspect(self, what, template):
        return self("inspect", "--format", template, what)

    def pid(self, container):
        return int(self.inspect(container, "{{.State.Pid}}"))

    def _make_base(self):
        if self.run("podman", "image", "exists", BASE).returncode == 0:
            return
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            root = Path(folder) / "root"
            words = ["debootstrap", "--variant=minbase", "trixie", root, *debian_mirror()]
            done = self.run(*words)
            assert done.returncode == 0, f"debootstrap: {done.stdout[-2000:]}{done.stderr}"
            (root / "etc/apt/apt.conf.d/90host").write_text(apt_settings())
            # As in the official image: files of an image need not be on disk one by one.
            (root / "etc/dpkg/dpkg.cfg.d/90image").write_text("force-unsafe-io\n")
            archive = Path(folder) / "root.tar"
            subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
            self("import", archive, BASE)

    def build_postgres(self):
        """The image of the database."""
        folder = Path(__file__).parent / "postgres"
        self("build", "--format", "docker", *BUILD_OPTIONS, "--tag", POSTGRES, folder)

    def remove_everything(self):
        """But for the images."""
        for words in (
            ("pod", "rm", "--all", "--force", "--time", "0"),
            ("rm", "--all", "--force", "--volumes", "--time", "0"),
            ("volume", "prune", "--force"),
            ("network", "prune", "--force"),
        ):
            self.run("podman", *words)

    def close(self):
        self.remove_everything()
        # podman leaves this mounted, and then nobody could remove the build folder.
        self.run("umount", "--recursive", "--lazy", FOLDER / "storage" / "overlay")


def debian_mirror():
    """Where this machine gets Debian packages, if it does: debootstrap's optional argument."""
    words = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [line.split()[1] for line in listed.splitlines() if line.startswith("Debian ")][:1]


def apt_settings():
    """How this machine's apt reaches its mirror, such as a proxy."""
    words = ["apt-config", "dump", "--no-empty", "Acquire"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
