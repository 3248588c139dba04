"""A second session with PostgreSQL, which holds its locks and transactions from statement to statement."""

import os
import subprocess

DONE = "--done--"


class Session:
    """A psql that stays: `execute` runs SQL and returns its output; `close` ends it, as does leaving."""

    def __init__(self, server, url):
        self.process = subprocess.Popen(
            [server.binaries / "psql", "-XAtq", "-d", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=dict(os.environ, PGCONNECT_TIMEOUT="5"),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self, sql):
        """Sends SQL without waiting for its end; finish() does."""
        self.process.stdin.write(f"{sql};\n\\echo {DONE}\n")
        self.process.stdin.flush()

    def finish(self):
        """Waits for the end of what was started; returns its output."""
        lines = []
        for line in self.process.stdout:
            if line.rstrip("\n") == DONE:
                return "\n".join(lines)
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"psql ended: {lines}")

    def execute(self, sql):
        self.start(sql)
        output = self.finish()
        assert "ERROR" not in output, output
        return output

    def close(self):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.wait()
