"""The core and the bridge as running services with their addresses."""

import ssl

import httpx

from support import https
from support.network import DEADLINE, free_port, free_url, wait_until
from support.program import Program, program_path
from support.rpc import BareClient, RpcClient


class Core(Program):
    """A triggersd. Without TRIGGERS_LISTEN it gets a ws address of its own."""

    def __init__(self, folder, arguments=(), **settings):
        settings.setdefault("TRIGGERS_LISTEN", free_url("ws"))
        settings.setdefault("LOG_LEVEL", "debug")
        self.urls = settings["TRIGGERS_LISTEN"].split(",")
        self.url = self.urls[0]
        super().__init__([program_path("triggersd"), *arguments], folder, **settings)

    def wait_serving(self, deadline=DEADLINE):
        """Waits until Health says SERVING."""
        with self._probe() as client:
            wait_until(
                lambda: self._still_runs() and client.serving(), f"{self.url} serving", deadline
            )
        return self

    def wait_answering(self, deadline=DEADLINE):
        """Waits until Health answers at all, be it NOT_SERVING."""
        with self._probe() as client:
            wait_until(
                lambda: self._still_runs() and client.answers(), f"{self.url} answering", deadline
            )
        return self

    def _still_runs(self):
        assert self.running, f"ended while it was waited for: {self.describe()}"
        return True

    def client(self, ca_file=None, key=None):
        """A new client of the first address, whose calls have the key, if one is given; close it."""
        return RpcClient(self.url, ca_file, key=key)

    def _probe(self):
        """A client for one question: not pynng's, which aborts now and then when it is closed."""
        return BareClient(self.url) if self.url.startswith(("ws:", "tcp:")) else self.client()


class Bridge(Program):
    """A triggers-bridge on a port of its own, for one core or a TRIGGERS_CORE setting."""

    def __init__(self, folder, core=None, arguments=(), **settings):
        if core is not None:
            settings.setdefault("TRIGGERS_CORE", core.url)
        settings.setdefault("API_HOST", "127.0.0.1")
        settings.setdefault("API_PORT", free_port())
        settings.setdefault("LOG_LEVEL", "debug")
        if https.ASKED and "API_TLS_CERT" not in settings:
            settings |= https.https_settings()
        self.port = int(settings["API_PORT"])
        self.certificate = settings.get("API_TLS_CERT")
        self.url = f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"
        super().__init__([program_path("triggers-bridge"), *arguments], folder, **settings)

    def wait_answering(self, path="/health", deadline=DEADLINE):
        """Waits until GET `path` answers 200."""
        verify = ssl.create_default_context(cafile=self.certificate) if self.certificate else True
        with httpx.Client(base_url=self.url, trust_env=False, timeout=2.0, verify=verify) as client:

            def answers():
                assert self.running, f"ended while it was waited for: {self.describe()}"
                try:
                    return client.get(path).status_code == 200
                except httpx.HTTPError:
                    return False

            wait_until(answers, f"{self.url}{path} answering 200", deadline)
        return self


class ForeignBridge:
    """The address of a triggers-bridge that somebody else runs on a port of this machine."""

    def __init__(self, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
