"""Peers of the client on nng, which pynng brings, so that framing is tested against another's."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynng
import pytest

from triggers_client.proto.triggers.rpc.v1 import envelope_pb2
from triggers_client.proto.triggers.v1 import events_pb2

PATIENCE = 20.0  # seconds, far more than anything here takes
Answer = Callable[[bytes], bytes | None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Peer:
    """A REP of nng: `answer` makes replies of requests, None for none at all."""

    def __init__(self, url: str, answer: Answer, tls: Any = None) -> None:  # noqa: ANN401
        self.url = url
        self.pipes: set[int] = set()
        self._answer = answer
        self._socket: Any = pynng.Rep0(recv_max_size=1 << 24, tls_config=tls)
        self._socket.listen(url)
        self._contexts = [self._socket.new_context() for _ in range(8)]
        self._threads = [threading.Thread(target=self._serve, args=(c,)) for c in self._contexts]
        for thread in self._threads:
            thread.start()

    def _serve(self, context: Any) -> None:  # noqa: ANN401
        while True:
            try:
                request = context.recv_msg()
                self.pipes.add(request.pipe.id)
                answer = self._answer(request.bytes)
                if answer is not None:
                    context.send(answer)
            except pynng.NNGException:
                return

    def close(self) -> None:
        self._socket.close()
        for thread in self._threads:
            thread.join()
        for context in self._contexts:
            with contextlib.suppress(pynng.NNGException):
                context.close()


class Core(Peer):
    """Answers creates, but silently keeps those whose source is "slow"."""

    def __init__(self, url: str) -> None:
        self.payloads: list[bytes] = []
        self.metadata: list[dict[str, str]] = []
        self.got_slow = threading.Event()
        super().__init__(url, self._create)

    def _create(self, message: bytes) -> bytes | None:
        request = envelope_pb2.Request.FromString(message)
        create = events_pb2.CreateEventRequest.FromString(request.body)
        if create.source == "slow":
            self.got_slow.set()
            return None
        self.payloads.append(create.payload)
        self.metadata.append(dict(request.metadata))
        answer = events_pb2.CreateEventResponse(event_id=create.event_id)
        answer.created_at.FromNanoseconds(1_700_000_000_123_456_000)
        return envelope_pb2.Response(body=answer.SerializeToString()).SerializeToString()


@pytest.fixture(params=["ws", "tcp"])
def url(request: pytest.FixtureRequest) -> str:
    """Where nobody listens yet."""
    return f"{request.param}://127.0.0.1:{free_port()}" + ("/rpc" if request.param == "ws" else "")


@pytest.fixture
def core() -> Iterator[Core]:
    # Not ws: pynng's nng aborts its process, which is this, now and then as a WebSocket drops.
    core = Core(f"tcp://127.0.0.1:{free_port()}")
    yield core
    core.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "certificate.pem", folder / "key.pem"
    words = "openssl req -x509 -nodes -days 2 -subj /CN=localhost -newkey ec"
    words += " -pkeyopt ec_paramgen_curve:prime256v1"
    words += f" -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout {key} -out {made}"
    subprocess.run(words.split(), check=True, capture_output=True)
    return made, key
