"""PgBouncer in front of a PostgresServer, on a loopback port, in transaction mode: a client has a server's
session for the length of a transaction, and another client has it next."""

import contextlib
import shutil
import signal
import subprocess

from support.network import DEADLINE, free_port, wait_until
from support.postgres import USER, make_server_folder, server_owner


class PgBouncer:
    """`start`, `stop` (clients may finish their transactions), `kill`, `close` (kills and removes).
    `sessions` with the server are shared by all clients of a database."""

    def __init__(self, server, sessions=3, **settings):
        self.server = server
        self.port = free_port()
        self.folder = make_server_folder()
        self.process = None
        secret = server.password.replace('"', '""')
        users = {USER: secret, "holder": "pw"}  # the latter is a role of backlog_test.c
        (self.folder / "users").write_text("".join(f'"{u}" "{p}"\n' for u, p in users.items()))
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": self.folder / "users",
            "admin_users": USER,
            "pool_mode": "transaction",
            "default_pool_size": sessions,
            "max_client_conn": 500,
            "server_login_retry": 0.1,
            **settings,
        }
        lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
        where = f"* = host=127.0.0.1 port={server.port}"
        (self.folder / "ini").write_text(f"[databases]\n{where}\n[pgbouncer]\n{lines}\n")

    def start(self):
        """Starts and waits until queries are answered."""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/pgbouncer", self.folder / "ini"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **server_owner(),
            )
        wait_until(self._answers, "PgBouncer answering")
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"PgBouncer ended: {(self.folder / 'log').read_text()}")
        return self.server.run_psql("select 1", "postgres", self.port).returncode == 0

    @contextlib.contextmanager
    def paused(self):
        """Clients stay and wait, without a session of the server."""
        self._command("pause")
        yield
        self._command("resume")

    def _command(self, command):
        done = self.server.run_psql(command, "pgbouncer", self.port)
        assert done.returncode == 0, done.stderr

    def stop(self):
        self._end(signal.SIGINT)

    def kill(self):
        self._end(signal.SIGKILL)

    def _end(self, number):
        if self.process:
            self.process.send_signal(number)
            self.process.wait(DEADLINE)
            self.process = None

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def url(self, direct):
        """The URL through the pooler of a database that `direct` names at the server."""
        return direct.replace(f"127.0.0.1:{self.server.port}/", f"127.0.0.1:{self.port}/")
