"""Core and bridge as one Fargate task runs them, beside a PostgreSQL container."""

from pathlib import Path

import httpx

from containers.engine import POSTGRES
from support.network import free_port, wait_until

CPUS = 0.25
MEMORY_MIB = 512
STOP_SECONDS = 30  # between SIGTERM and SIGKILL
READY_SECONDS = 60
SECRET = "s3cret"
# What a task definition says of each container.
CONFINED = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")


class Task:
    """A pod with the limits of the task, in which both programs share one loopback."""

    def __init__(self, podman, images):
        self.podman = podman
        self.images = images
        self.port = free_port()
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=20.0
        )

    def start(self):
        podman = self.podman
        podman("network", "create", "triggers")
        variables = {"USER": "triggers", "PASSWORD": SECRET, "DB": "triggers"}
        variables = [f"--env=POSTGRES_{name}={value}" for name, value in variables.items()]
        podman("run", "--detach", "--name=postgres", "--network=triggers", *variables, POSTGRES)
        limits = [f"--cpus={CPUS}", f"--memory={MEMORY_MIB}m", f"--publish=127.0.0.1:{self.port}:8000"]
        podman("pod", "create", "--name=task", "--network=triggers", *limits)
        self._run("core", "triggersd", f"DATABASE_URL=postgresql://triggers:{SECRET}@postgres/triggers")
        self._run("bridge", "triggers-bridge")
        self.wait_ready()
        return self

    def _run(self, name, program, *settings):
        words = [f"--env={setting}" for setting in settings]
        if name == "core":
            words.append("--env=TRIGGERS_LISTEN=tcp://127.0.0.1:7300")
        words += [*CONFINED, self.images[program]]
        self.podman("run", "--detach", f"--name={name}", "--pod=task", *words)

    def ready(self):
        """The status that /ready answers; None when nobody answers."""
        try:
            return self.http.get("/ready").status_code
        except httpx.HTTPError:
            return None

    def wait_ready(self, status=200):
        wait_until(lambda: self.ready() == status, f"/ready answering {status}", READY_SECONDS, 0.1)

    def healthy(self, name):
        """What the image's own health check says."""
        return self.podman.run("podman", "healthcheck", "run", name).returncode == 0

    def limit(self, name, *files):
        """A limit of the pod, from the kernel: the first of these files above the container's group."""
        pid = self.podman.pid(name)
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":")
            group = Path("/sys/fs/cgroup", *controllers.split(",")[:1], path[1:]).parent
            for file in files:
                if (group / file).exists():
                    return (group / file).read_text().split()[0]
        raise AssertionError(f"no group of {name} has any of {files}")

    def close(self):
        self.http.close()
        self.podman.remove_everything()
