"""A log reader that stops: standard output is a pipe that is full. Nobody waits for it, the programs
end in their time, and when it reads again it is told what is missing."""

import fcntl
import json
import os
import select

import httpx
import pytest

from support.metrics import scrape
from support.network import free_port, wait_until
from support.peer import UngreetedTcpPeer
from support.program import Program, program_path
from support.rpc import RpcClient

GRACE = 30.0  # seconds, as ECS gives
PIPE_BYTES = 4096
HANDSHAKE = b"\0SP\0\0\x30\0\0"
FAULTS = [b"x" * 8, HANDSHAKE + b"\xff" * 8]


class LoggedProgram(Program):
    """A program of ours whose standard output is a pipe that is read when the test says so."""

    def __init__(self, name, folder, **settings):
        pipe = folder / f"{name}.log"
        os.mkfifo(pipe)
        self.pipe = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.path = pipe
        self.text = b""
        command = ["sh", "-c", f'exec "$0" > {pipe}', program_path(name)]
        super().__init__(command, folder, LOG_FORMAT="json", **settings)

    def fill(self):
        """Makes the pipe full; the program's own end still blocks."""
        end = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            while True:
                os.write(end, b"\n")
        except BlockingIOError:
            os.close(end)

    def read_on(self):
        """Reads what there is; False at the end."""
        while select.select([self.pipe], [], [], 0.1)[0]:
            data = os.read(self.pipe, PIPE_BYTES)
            self.text += data
            if not data:
                return False
        return True

    def read_lines(self):
        """All lines after the end of the program, each of them whole."""
        assert not self.running
        while self.read_on():
            pass
        return [json.loads(line) for line in self.text.splitlines() if line]


@pytest.fixture
def start_logged(started, tmp_path):
    """start_logged(name, **settings): a LoggedProgram that ends with the test."""

    def start(name, **settings):
        program = LoggedProgram(name, tmp_path, **settings)
        started.append(program)
        return program

    return start


@pytest.fixture
def core_settings(tmp_path):
    """Settings of a core with a ws and a tcp address."""
    return {
        "DATABASE_URL": f"sqlite:///{tmp_path}/triggers.db",
        "TRIGGERS_LISTEN": f"ws://127.0.0.1:{free_port()}/rpc,tcp://127.0.0.1:{free_port()}",
    }


def test_malformed_connections_while_nobody_reads(start_logged, core_settings):
    """What a peer can make the core log hangs no thread of it, nor its end."""
    core = start_logged("triggersd", LOG_LEVEL="info", **core_settings)
    url, tcp_url = core_settings["TRIGGERS_LISTEN"].split(",")
    with RpcClient(url) as rpc:
        wait_until(rpc.serving, "serving")
        core.read_on()
        core.fill()
        for number in range(6):
            with UngreetedTcpPeer(tcp_url) as peer:
                peer.send_bytes(FAULTS[number % len(FAULTS)])
                peer.wait_closed()
        for _ in range(10):
            assert rpc.create().event_id
        core.stop(GRACE)
    lines = core.read_lines()
    assert lines[0]["message"] == "starting"


def test_flood_of_lines_while_nobody_reads(start_logged, core_settings):
    """Debug lines of both programs: requests go on, lines are dropped and counted, and the reader is
    told how many when it comes back."""
    core = start_logged("triggersd", LOG_LEVEL="debug", **core_settings)
    port = free_port()
    bridge = start_logged(
        "triggers-bridge",
        LOG_LEVEL="debug",
        TRIGGERS_CORE=core_settings["TRIGGERS_LISTEN"].split(",")[0],
        API_HOST="127.0.0.1",
        API_PORT=port,
    )
    dropped = ("triggers_core_log_lines_dropped_total", "triggers_bridge_log_lines_dropped_total")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20.0) as http:

        def ready():
            try:
                return http.get("/ready").status_code == 200
            except httpx.HTTPError:
                return False

        def lost():
            for _ in range(50):
                body = {"source": "crm", "event_type": "lead", "payload": {}}
                assert http.post("/api/v1/events", json=body).status_code == 201
            metrics = scrape(http)
            return all(metrics.value(name) > 0 for name in dropped)

        def told(program):
            program.read_on()
            return b"log lines were dropped" in program.text

        wait_until(ready, "ready", 60)
        wait_until(lost, "lines dropped", 120)
        for program in (core, bridge):
            wait_until(lambda: told(program), "the reader being told")
    for program in (bridge, core):
        program.terminate()
        wait_until(lambda: not program.read_on(), "the end of the log", GRACE)
        assert program.wait() == 0
        lines = program.read_lines()
        assert lines[-1]["message"] == "stopped"
        counts = [line["lines"] for line in lines if "dropped" in line["message"]]
        assert counts and all(count > 0 for count in counts)
