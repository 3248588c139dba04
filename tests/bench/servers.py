"""The servers of a benchmark, each on a loopback port with its files in a temporary folder."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from support.network import free_port, free_url, wait_until
from support.postgres import USER, PostgresServer
from support.program import ROOT, Program, program_path

HERE = Path(__file__).resolve().parent
BUILD = ROOT / "build" / "bench"
TOOLS = BUILD / "tools"

SOURCE, EVENT_TYPE = "billing", "invoice.paid"
PAYLOAD = json.dumps(
    {
        "invoice": "inv_2026_000184",
        "customer": {"id": 48213, "name": "Nørrebro Cykler ApS", "country": "DK"},
        "amount": {"value": 1249.5, "currency": "DKK"},
        "lines": [{"sku": "chain-11s", "count": 2}, {"sku": "brake-pad", "count": 4}],
        "paid_at": "2026-11-23T18:04:11Z",
    },
    ensure_ascii=False,
    separators=(",", ":"),
)


class BenchmarkFailed(Exception):
    """A contender did not do what it was asked; the figures would be worth nothing."""


class NotHere(Exception):
    """A contender cannot be had on this machine; its rows are left out."""


def run(*words, **environment):
    """Runs a command to its end; returns what it printed."""
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise BenchmarkFailed(
            f"{words[0]} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def build():
    """A release build of the project and, beside it, its load generator."""
    if not (BUILD / "build.ninja").exists():
        run("meson", "setup", BUILD, ROOT, "-Dbuildtype=release")
    run("ninja", "-C", BUILD, "--quiet")
    os.environ["TRIGGERS_BUILD"] = str(BUILD)
    TOOLS.mkdir(exist_ok=True)
    library = BUILD / "clients" / "c"
    compile_when_older(
        TOOLS / "load",
        [HERE / "load.c", ROOT / "src" / "net" / "threads.c"],
        *("cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-I", ROOT / "clients" / "c"),
        *("-I", BUILD / "proto", "-L", BUILD / "proto", "-L", library, f"-Wl,-rpath,{library}"),
        *("-ltriggers", "-lproto", "-lprotobuf-c", "-pthread"),
        headers=[ROOT / "clients" / "c" / "triggers.h"],
    )


def install(*packages):
    """Debian packages that are missing."""
    run(ROOT / "deploy" / "packages", *packages)


def build_echo():
    """The gRPC server and its load generator."""
    install("g++", "libgrpc++-dev", "protobuf-compiler", "protobuf-compiler-grpc")
    plugin = run("which", "grpc_cpp_plugin").strip()
    flags = run("pkg-config", "--cflags", "--libs", "grpc++", "protobuf").split()
    if not (TOOLS / "echo.grpc.pb.cc").exists():
        run(
            *("protoc", "-I", HERE, f"--cpp_out={TOOLS}", f"--grpc_out={TOOLS}"),
            *(f"--plugin=protoc-gen-grpc={plugin}", HERE / "echo.proto"),
        )
    generated = [TOOLS / "echo.pb.cc", TOOLS / "echo.grpc.pb.cc"]
    for name in ("echo_server", "echo_load"):
        sources = [HERE / f"{name}.cc", *generated]
        compile_when_older(TOOLS / name, sources, "c++", "-std=c++17", "-O2", "-I", TOOLS, *flags)


def compile_when_older(program, sources, compiler, *flags, headers=()):
    newest = max(path.stat().st_mtime for path in (*sources, *headers))
    if program.exists() and program.stat().st_mtime > newest:
        return
    run(compiler, *sources, "-o", program, *flags)


class Postgres(PostgresServer):
    """A server whose commits are on the disk before they are answered, otherwise as installed but for
    what a benchmark of minutes needs and a quarter of the memory for its pages, as its manual advises."""

    place = staticmethod(tempfile.gettempdir)
    SETTINGS = f"""
fsync = on
synchronous_commit = on
full_page_writes = on
max_connections = 300
shared_buffers = {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 22}MB
max_wal_size = 8GB
checkpoint_timeout = 30min
"""

    def _initialise(self):
        super()._initialise()
        with open(self.folder / "data" / "postgresql.conf", "a") as configuration:
            configuration.write(self.SETTINGS)

    def pgbench(self, script, clients, seconds, database, *options, **variables):
        """Runs pgbench; returns what it printed and the latencies in microseconds, if logged."""
        defined = [f"-D{name}={value}" for name, value in variables.items()]
        return run(
            *(self.binaries / "pgbench", "-h", "127.0.0.1", "-p", self.port, "-U", USER),
            *("-n", "-M", "prepared", "-c", clients, "-j", min(clients, 2), "-T", max(seconds, 2)),
            *("-f", HERE / "pgbench" / f"{script}.sql", *defined, *options, database),
            PGPASSWORD=self.password,
        )


def pgbench_rate(output):
    rate = re.search(r"tps = ([\d.]+) \(without initial", output)
    if not rate or "number of failed transactions: 0 " not in output:
        raise BenchmarkFailed(f"pgbench: {output}")
    return float(rate[1])


class Redis:
    """A server that has every command on the disk before it is answered."""

    def __init__(self, folder):
        install("redis-server")
        self.port = free_port()
        self.process = subprocess.Popen(
            [
                *("redis-server", "--bind", "127.0.0.1", "--port", str(self.port)),
                *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
                *("--dir", str(folder), "--daemonize", "no"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, "redis-server answering")

    def _answers(self):
        words = ["redis-cli", "-p", str(self.port), "ping"]
        return "PONG" in subprocess.run(words, capture_output=True, text=True).stdout

    def benchmark(self, clients, count):
        """XADD commands a second."""
        output = run(
            *("redis-benchmark", "-h", "127.0.0.1", "-p", self.port, "-c", clients, "-n", count),
            *("--csv", "XADD", "events", "*", "source", SOURCE, "event_type", EVENT_TYPE),
            *("payload", PAYLOAD),
        )
        return float(output.strip().splitlines()[-1].split('","')[-7])

    def empty(self):
        run("redis-cli", "-p", self.port, "del", "events")

    def stop(self):
        self.process.terminate()
        self.process.wait()


class JetStream:
    """NATS JetStream with its stream in files and otherwise as it is by default: jetstream/main.go, which
    Go builds from its module proxy."""

    def __init__(self, folder):
        if not shutil.which("go"):
            raise NotHere("needs go")
        try:
            run("go", "-C", HERE / "jetstream", "build", "-o", TOOLS / "jetstream", ".")
        except BenchmarkFailed as why:
            raise NotHere(str(why).strip().splitlines()[-1]) from None
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen([str(TOOLS / "jetstream"), "serve", self.address, str(folder)])
        wait_until(lambda: listens(port), "JetStream listening")

    def fill(self, count):
        run(TOOLS / "jetstream", "fill", self.address, count, PAYLOAD)

    def work(self, batch, workers, seconds, *confirmed):
        """Events a second that workers fetched and acknowledged."""
        words = TOOLS / "jetstream", "work", self.address, batch, workers, seconds, *confirmed
        return json.loads(run(*words))["per_second"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Echo:
    """The gRPC server of echo.proto."""

    def __init__(self):
        build_echo()
        self.address = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen([str(TOOLS / "echo_server"), self.address])

    def load(self, in_flight, seconds):
        """Calls a second."""
        return float(run(TOOLS / "echo_load", self.address, in_flight, seconds))

    def stop(self):
        self.process.terminate()
        self.process.wait()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Core(Program):
    """A triggersd on ws, tcp and a database. Callers use the one that `over` names."""

    over = "tcp"

    def accepts(self):
        """Whether it takes connections by now."""
        return listens(int(self.tcp_url.rsplit(":", 1)[1]))

    def __init__(self, folder, database, **settings):
        self.ws_url, self.tcp_url = free_url("ws"), free_url("tcp")
        self.url = self.ws_url if self.over == "ws" else self.tcp_url
        settings = {"LOG_LEVEL": "warning", **settings}
        settings.update(DATABASE_URL=database, TRIGGERS_LISTEN=f"{self.ws_url},{self.tcp_url}")
        super().__init__([program_path("triggersd")], folder, **settings)

    def load(self, op, url=None, **options):
        """Runs the load generator; returns its report. Calls that fail are fatal."""
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        words = [str(word).replace("_", "-") if str(word).startswith("--") else word for word in words]
        output = run(
            *(TOOLS / "load", "--url", url or self.url, "--op", op),
            *("--payload", PAYLOAD, *words),
        )
        return json.loads(output)


class Bridge(Program):
    """A triggers-bridge to a core."""

    def __init__(self, folder, core, **settings):
        self.port = free_port()
        settings = {"LOG_LEVEL": "warning", **settings}
        settings.update(API_HOST="127.0.0.1", API_PORT=self.port, TRIGGERS_CORE=core.url)
        super().__init__([program_path("triggers-bridge")], folder, **settings)

    def wrk(self, connections, seconds, path="/", script=None, ids="", threads=2):
        """Runs wrk; returns requests a second and the latency percentiles in microseconds."""
        output = run(
            *("wrk", "-t", min(connections, threads), "-c", connections, "-d", f"{seconds}s", "--latency"),
            *(("-s", HERE / "wrk" / f"{script}.lua") if script else ()),
            f"http://127.0.0.1:{self.port}{path}",
            BENCH_PAYLOAD=PAYLOAD,
            BENCH_IDS=str(ids),
        )
        if "Non-2xx" in output or "Socket errors" in output:
            raise BenchmarkFailed(f"wrk: {output}")
        rate = float(re.search(r"Requests/sec: +([\d.]+)", output)[1])
        latency = dict(re.findall(r"(\d\d)% +([\d.]+[um]?s)", output))
        return rate, {int(share): microseconds(text) for share, text in latency.items()}


def microseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1, "ms": 1000, "s": 1_000_000}[unit]


def resident_megabytes(program):
    """The most memory the process has had at once."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
