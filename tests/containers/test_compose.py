"""The compose files as they stand, by podman-compose, with the images that were built before."""

import json
import os
import shutil
import ssl

import httpx
import pytest

from containers.engine import BASE
from rest.checks import create
from support.certificates import make_certificate
from support.network import free_port, wait_until
from support.program import ROOT

READY_SECONDS = 60
CONTAINER_USER = 10001  # of the images


class Composed:
    """What `podman-compose up` with files of a folder starts, its bridge on a port of its own; over HTTPS
    if there is a certificate to trust."""

    def __init__(self, engine, *files, folder=ROOT / "deploy", certificate=None):
        self.engine = engine
        self.folder = folder
        self.words = ("podman-compose", *(word for file in files for word in ("-f", folder / file)))
        port = free_port()
        self.environment = {"API_PORT": str(port)}
        url = f"https://localhost:{port}" if certificate else f"http://127.0.0.1:{port}"
        trust = ssl.create_default_context(cafile=certificate) if certificate else True
        self.http = httpx.Client(base_url=url, verify=trust, trust_env=False, timeout=20.0)

    def __call__(self, *words):
        done = self.engine.run(*self.words, *words, cwd=self.folder, environment=self.environment)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def up(self):
        self("up", "--detach", "--no-build")
        self.wait_ready()

    def wait_ready(self):
        wait_until(self._ready, "/ready answering 200", READY_SECONDS, 0.1)

    def healthy(self):
        """What the images' own checks say."""
        names = self.engine("ps", "--format", "{{.Names}}").split()
        return len(names) == 2 and all(
            self.engine.run("podman", "healthcheck", "run", name).returncode == 0 for name in names
        )

    def _ready(self):
        try:
            return self.http.get("/ready").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture
def compose(engine, images):
    """compose(*files): what these start, up; gone at the end."""
    engine.build_postgres()
    for program, image in images.items():
        engine("tag", image, program)
    started = []

    def start(*files, **how):
        started.append(Composed(engine, *files, **how))
        started[-1].up()
        return started[-1]

    yield start
    for one in started:
        one.http.close()
    engine.remove_everything()


@pytest.mark.parametrize("file", ["compose.yaml", "compose.sqlite.yaml"])
def test_up_serves_and_down_keeps_the_events(compose, file):
    composed = compose(file)
    event_id = create(composed.http, source="compose")
    composed("down")
    composed.up()
    assert composed.http.get(f"/api/v1/events/{event_id}").json()["source"] == "compose"


def test_keys_and_https_come_from_files_beside_it(compose, engine, images, tmp_path):
    """As the operator's guide says."""
    for file in (ROOT / "deploy").glob("compose*.yaml"):
        shutil.copy(file, tmp_path)
    certificate, private = make_certificate(tmp_path)
    shutil.move(certificate, tmp_path / "tls.crt")
    shutil.move(private, tmp_path / "tls.key")
    key = engine("run", "--rm", "--entrypoint", "triggers", images["triggersd"], "keys", "generate").split()[-1]
    (tmp_path / "operator-key").write_text(key)
    for name in ("operator-key", "tls.crt", "tls.key"):
        os.chown(tmp_path / name, CONTAINER_USER, -1)
        (tmp_path / name).chmod(0o400)
    files = ("compose.sqlite.yaml", "compose.keys.yaml")
    composed = compose(*files, folder=tmp_path, certificate=tmp_path / "tls.crt")
    event = {"source": "crm", "event_type": "lead", "payload": {}}
    refused = composed.http.post("/api/v1/events", json=event)
    assert refused.status_code == 401, refused.text
    composed.http.headers["Authorization"] = f"Bearer {key}"
    made = composed.http.post("/api/v1/events", json=event)
    assert made.status_code == 201, made.text
    wait_until(composed.healthy, "both healthy", READY_SECONDS, 0.5)


def check_restore(composed, copy, restore):
    """What was stored before copy() is there after restore(), what was stored later is not."""
    kept = create(composed.http, source="before")
    copy()
    lost = create(composed.http, source="after")
    composed("stop", "core")
    restore()
    composed("start", "core")
    composed.wait_ready()
    assert composed.http.get(f"/api/v1/events/{kept}").json()["source"] == "before"
    assert composed.http.get(f"/api/v1/events/{lost}").status_code == 404
    assert composed.http.get("/api/v1/inbox").json()["total"] == 1
    create(composed.http, source="restored")


def test_a_copy_of_the_volume_is_restored(compose, engine, images, tmp_path):
    """As the operator's guide says, while the core serves."""
    composed = compose("compose.sqlite.yaml")
    (volume,) = engine("volume", "ls", "--quiet").split()
    volumes = ["--volume", f"{volume}:/data", "--volume", f"{tmp_path}:/backup"]

    def copy():
        backup = ["--user", "0", "--entrypoint", "triggers", images["triggersd"], "backup"]
        copied = engine("run", "--rm", *volumes, *backup, "/data/triggers.db", "/backup/copy.db")
        assert json.loads(copied)["events"] == 1

    def restore():
        replace = "rm -f /data/triggers.db* && cp /backup/copy.db /data/triggers.db && chown 10001:10001 /data/triggers.db"
        engine("run", "--rm", *volumes, BASE, "sh", "-c", replace)

    check_restore(composed, copy, restore)


def test_a_dump_of_postgresql_is_restored(compose, engine, tmp_path):
    """As the operator's guide says, while the core serves."""
    composed = compose("compose.yaml")
    container = engine("ps", "--quiet", "--filter", "label=com.docker.compose.service=postgres")

    def execute(line):
        """By podman itself: podman-compose writes words of its own among the output."""
        done = engine.run("sh", "-c", f"podman exec --interactive {container} {line}", cwd=tmp_path)
        assert done.returncode == 0, f"{line}: {done.stderr}"

    restore = "pg_restore -U triggers -d triggers --clean --if-exists --single-transaction <copy.dump"
    check_restore(
        composed,
        lambda: execute("pg_dump -U triggers -Fc triggers >copy.dump"),
        lambda: execute(restore),
    )
