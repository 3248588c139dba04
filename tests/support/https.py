"""The same tests over HTTPS: with TRIGGERS_TEST_HTTPS=1 every bridge that a suite starts serves HTTPS with a
certificate of this run, which httpx and the tests' own sockets believe. Tests of what a bridge does without
TLS, or of what its connections cost, may differ then."""

import atexit
import contextlib
import os
import ssl
import tempfile
from functools import cache
from pathlib import Path

import certifi
import pytest

from support.certificates import make_certificate

# What is raised when the peer has closed.
LOST = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
ASKED = os.environ.get("TRIGGERS_TEST_HTTPS") == "1"


@cache
def certificate_of_run():
    """The paths of the run's certificate and its key."""
    folder = tempfile.TemporaryDirectory(prefix="triggers-https-")
    atexit.register(folder.cleanup)
    return make_certificate(Path(folder.name))


@contextlib.contextmanager
def believed():
    """httpx, which asks certifi or a variable whom to believe, believes the certificate of this run."""
    certificate = str(certificate_of_run()[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certifi, "where", lambda: certificate)
        patch.setenv("SSL_CERT_FILE", certificate)
        yield


def https_settings():
    """Settings that make a bridge serve HTTPS with it."""
    return dict(zip(("API_TLS_CERT", "API_TLS_KEY"), certificate_of_run()))


def secured(bridge, peer):
    """A connected socket, with TLS when the bridge serves HTTPS."""
    if not bridge.url.startswith("https:"):
        return peer
    context = ssl.create_default_context(cafile=bridge.certificate)
    return context.wrap_socket(peer, server_hostname="localhost")
