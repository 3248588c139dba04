"""Addresses of cores: what a URL says about how to reach one."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from triggers_client._errors import InvalidArgumentError

SCHEMES = ("ws", "wss", "tcp", "tls+tcp", "ipc")
_PORTS = {"ws": 80, "wss": 443}


@dataclass(frozen=True)
class Address:
    """An address, checked. `path` is that of a socket in the file system, for ipc only."""

    url: str
    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    tls: ssl.SSLContext | None = None


def parse_all(urls: Sequence[str], ca_file: str | None) -> list[Address]:
    trust: ssl.SSLContext | None = None
    addresses = []
    for url in urls:
        tls = None
        if _scheme(url) in ("wss", "tls+tcp"):
            tls = trust = trust or _trust(url, ca_file)
        addresses.append(_parse(url, tls))
    return addresses


def _scheme(url: str) -> str:
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        message = f"{url!r} is not an address; accepted are the schemes {', '.join(SCHEMES)}"
        raise InvalidArgumentError("URL_INVALID", message)
    return scheme


def _parse(url: str, tls: ssl.SSLContext | None) -> Address:
    scheme = _scheme(url)
    if scheme == "ipc":
        path = url.partition("://")[2]
        if path:
            return Address(url, scheme, path=path)
        raise InvalidArgumentError("URL_INVALID", f"cannot dial {url}: it names no socket")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(scheme)
        if scheme in _PORTS:
            parse_uri(url)  # has rules of its own
    except (ValueError, InvalidURI) as error:
        raise InvalidArgumentError("URL_INVALID", f"cannot dial {url}: {error}") from error
    if not host or not port:
        missing = "port" if host else "host"
        raise InvalidArgumentError("URL_INVALID", f"cannot dial {url}: it has no {missing}")
    return Address(url, scheme, host, port, tls=tls)


def _trust(url: str, ca_file: str | None) -> ssl.SSLContext:
    if not ca_file:
        message = f"{url} needs ca_file, the certificates to trust"
        raise InvalidArgumentError("TLS_CA_MISSING", message)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file may name a server's own
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:
        message = f"cannot use {ca_file}: {error}; accepted is a PEM file of certificates"
        raise InvalidArgumentError("TLS_CA_INVALID", message) from error
    return context
