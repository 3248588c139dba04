"""A streaming replica of a PostgresServer, which can be promoted, and the URL of both."""

import os
import subprocess

from support.network import wait_until
from support.postgres import PostgresServer, server_owner


def two_host_url(first, second):
    """The URL of a database on whichever of two servers takes writes."""
    url = first.create_database()
    hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
    return url.replace(f"127.0.0.1:{first.port}", hosts) + "?target_session_attrs=read-write"


class Replica(PostgresServer):
    """Follows `primary`, on `port` if given."""

    def __init__(self, primary, port=None):
        self.primary = primary
        self._wanted_port = port
        super().__init__()

    def _initialise(self):
        self.password = self.primary.password
        self.port = self._wanted_port or self.port
        command = [self.binaries / "pg_basebackup", "-h", "127.0.0.1", "-U", "tester"]
        command += ["-p", str(self.primary.port), "-D", self.folder / "data"]
        command += ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=dict(os.environ, PGPASSWORD=self.password),
            capture_output=True,
            text=True,
            **server_owner(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"pg_basebackup: {done.stderr}")
        with open(self.folder / "data" / "postgresql.conf", "a") as configuration:
            configuration.write(f"port = {self.port}\n")

    def follow(self, synchronously):
        """Waits until the replica streams; the primary then answers commits only when the replica
        has them too, if `synchronously`."""
        if synchronously:
            self.primary.psql("alter system set synchronous_standby_names = '*'")
            self.primary.psql("select pg_reload_conf()")
        state = "sync" if synchronously else "async"
        wait_until(
            lambda: self.primary.psql("select sync_state from pg_stat_replication") == state,
            f"a replica that follows ({state})",
        )

    def promote(self):
        """Makes it the primary; returns when it takes writes."""
        assert self.psql("select pg_promote()") == "t"
