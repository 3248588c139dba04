"""A real PostgreSQL server in a temporary folder, on a loopback port, with password authentication.

Also a command: `python -m support.postgres COMMAND…` runs COMMAND with TRIGGERS_TEST_POSTGRES_URL set to
the URL of such a server, whose role may create databases."""

import atexit
import glob
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from support.leftovers import leave_nothing, make_folder
from support.network import DEADLINE, free_port, wait_until
from support.scratch import in_memory

USER = "tester"
PROTOTYPE = "TRIGGERS_TEST_POSTGRES_PROTOTYPE"


def find_binaries():
    """The folder of the newest installed server's programs."""
    folders = glob.glob("/usr/lib/postgresql/*/bin")
    if not folders:
        raise RuntimeError("no PostgreSQL server in /usr/lib/postgresql/*/bin: install postgresql")
    return Path(max(folders, key=lambda folder: int(folder.split("/")[-2])))


def server_owner():
    """The arguments of subprocess that run something as a user the server accepts: not root."""
    if os.geteuid() != 0:
        return {}
    owner = pwd.getpwnam("postgres")
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def make_server_folder(place=None):
    """A folder of the user whom the server runs as."""
    folder = make_folder("postgres", place)
    owner = server_owner()
    if owner:
        os.chown(folder, owner["user"], owner["group"])
    return folder


def make_prototype():
    """A folder with `data`, as initdb makes it, and `password`; it goes with this process."""
    folder = make_server_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # Characters that a URL must escape: leaks are looked for in both spellings.
    (folder / "password").write_text(f"s3cret/{secrets.token_hex(8)}@:%")
    command = [find_binaries() / "initdb", "-D", folder / "data", "-U", USER, "--no-sync"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]
    command += [f"--pwfile={folder / 'password'}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **server_owner())
    if done.returncode != 0:
        raise RuntimeError(f"initdb: {done.stdout}{done.stderr}")
    return folder


def prototype():
    """The folder that servers begin as copies of, in this process and in those it starts, as initdb
    takes seconds."""
    if PROTOTYPE not in os.environ:
        os.environ[PROTOTYPE] = str(make_prototype())
    return Path(os.environ[PROTOTYPE])


class PostgresServer:
    """`start`, `stop` (clients are cut off), `kill` (as in a crash), `close` (stops and removes)."""

    place = staticmethod(in_memory)

    def __init__(self, environment=None):
        """`environment`: variables of the server besides this process's."""
        self.environment = {**os.environ, **(environment or {})}
        self.binaries = find_binaries()
        self.port = free_port()
        self.password = ""
        self.folder = make_server_folder(self.place())
        self.process = None
        try:
            self._initialise()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _initialise(self):
        self.password = (prototype() / "password").read_text()
        subprocess.run(["cp", "-a", prototype() / "data", self.folder], check=True)
        with open(self.folder / "data" / "postgresql.conf", "a") as configuration:
            configuration.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = ''\n"
                "max_connections = 200\nfsync = off\nfull_page_writes = off\n"
                "min_wal_size = 32MB\nmax_wal_size = 256MB\n"
            )

    def start(self):
        """Starts and waits until queries are answered."""
        if self.process is None:
            with open(self.folder / "log", "ab") as log:
                self.process = subprocess.Popen(
                    [self.binaries / "postgres", "-D", self.folder / "data"],
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self.environment,
                    start_new_session=True,  # Ctrl-C is ours to handle
                    **server_owner(),
                )
            wait_until(self._answers, "PostgreSQL answering")
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended: {(self.folder / 'log').read_text()}")
        return self.run_psql("select 1", "postgres").returncode == 0

    def stop(self):
        """A fast shutdown: clients are cut off, nothing is lost."""
        self._end(signal.SIGINT)

    def kill(self):
        """An immediate shutdown, as in a crash: no goodbye to clients, recovery at the next start."""
        self._end(signal.SIGQUIT)

    def _end(self, number):
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()
        self.process = None

    def save(self):
        """Keeps what the server, which has stopped, has."""
        subprocess.run(["cp", "-a", self.folder / "data", self.folder / "saved"], check=True)

    def restore(self):
        """Loses what was committed since, in a server that has stopped."""
        shutil.rmtree(self.folder / "data")
        (self.folder / "saved").rename(self.folder / "data")

    def close(self):
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def url(self, database="postgres", user=USER, password=None):
        """The URL of a database, which need not exist."""
        password = quote(password or self.password, safe="")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def database_name(self):
        """A name no database has yet."""
        return f"test_{secrets.token_hex(6)}"

    def create_database(self):
        """Creates an empty database; returns its URL."""
        name = self.database_name()
        self.psql(f"create database {name}")
        return self.url(name)

    def psql(self, sql, database="postgres"):
        """Runs SQL as the superuser; returns what it printed, unaligned and without headers."""
        done = self.run_psql(sql, database)
        if done.returncode != 0:
            raise RuntimeError(f"psql: {done.stderr}")
        return done.stdout.strip()

    def run_psql(self, sql, database, port=None):
        """Runs SQL as the superuser, through whatever listens on `port`; returns the ended process."""
        environment = dict(os.environ, PGPASSWORD=self.password, PGCONNECT_TIMEOUT="5")
        command = [self.binaries / "psql", "-h", "127.0.0.1", "-p", str(port or self.port), "-U", USER]
        command += ["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    def use_tls(self, certificate, key):
        """Takes connections with TLS too, a moment after this, by copies of these files."""
        for path, name in ((certificate, "server.crt"), (key, "server.key")):
            copy = shutil.copy(path, self.folder / "data" / name)
            if owner := server_owner():
                os.chown(copy, owner["user"], owner["group"])
        self.psql("alter system set ssl = on")
        self.psql("select pg_reload_conf()")

    def secrets(self):
        """Spellings of the password that must show up nowhere."""
        return [self.password, quote(self.password, safe=""), quote(self.password)]


def main(command):
    leave_nothing()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with PostgresServer() as server:
        environment = dict(os.environ, TRIGGERS_TEST_POSTGRES_URL=server.url())
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
