"""The same tests over HTTPS: with TRIGGERS_TEST_HTTPS=1 every bridge that a suite starts serves HTTPS with a
certificate of this run, which httpx and the tests' own sockets believe. Tests of what a bridge does without
TLS, or of what its connections cost, may differ then."""

import os
import ssl
import tempfile
from functools import cache
from pathlib import Path

import certifi

from support.certificates import make_certificate

# What is raised when the peer has closed.
LOST = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
ASKED = os.environ.get("TRIGGERS_TEST_HTTPS") == "1"


@cache
def certificate_of_run():
    """The paths of the run's certificate and its key."""
    pair = make_certificate(Path(tempfile.mkdtemp(prefix="triggers-https-")))
    certifi.where = lambda: str(pair[0])  # httpx asks it whom to believe, or this variable
    os.environ["SSL_CERT_FILE"] = str(pair[0])
    return pair


def settings():
    """Settings that make a bridge serve HTTPS; none when nobody has asked for it."""
    return dict(zip(("API_TLS_CERT", "API_TLS_KEY"), certificate_of_run())) if ASKED else {}


def secured(bridge, peer):
    """A connected socket, with TLS when the bridge serves HTTPS."""
    if not bridge.url.startswith("https:"):
        return peer
    context = ssl.create_default_context(cafile=bridge.certificate)
    return context.wrap_socket(peer, server_hostname="localhost")
