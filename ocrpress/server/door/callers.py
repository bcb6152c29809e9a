"""Who asks, and from where: tokens, addresses, hosts and origins. Text in, text out; knows nothing of requests."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from ocrpress.server.errors import Unauthorized


class Tokens:
    """Bearer tokens and the names of their clients. Only digests are kept.

    >>> bool(Tokens({}))
    False
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._names = {_digest(token.encode()): name for token, name in tokens.items()}

    def __bool__(self) -> bool:
        return bool(self._names)

    def name(self, headers: Sequence[str]) -> str:
        """The client's name, from the values of its Authorization headers. Raises Unauthorized."""
        if not headers:
            raise Unauthorized("this service wants a token")
        scheme, _, token = headers[0].strip().partition(" ")
        if len(headers) > 1 or scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("the Authorization header is not of the form 'Bearer TOKEN'")
        given, found = _digest(token.strip().encode("latin-1", "replace")), None
        for digest, name in self._names.items():  # all of them: how long it takes tells nothing
            if hmac.compare_digest(given, digest):
                found = name
        if found is None:
            raise Unauthorized("the token is not known here", "ask whoever runs the service for one")
        return found


def is_loopback(host: str) -> bool:
    """Is it a name or an address of this machine for itself?

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def peer(address: str) -> str:
    """The client behind an address; of IPv6 the network, which is one customer's as a rule.

    >>> peer("192.0.2.7"), peer("2001:db8::5")
    ('192.0.2.7', '2001:db8::/64')
    """
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(address).version == 6:
            return str(ipaddress.ip_network(f"{address}/64", strict=False))
    return address


def origin_of(text: str) -> str:
    """An origin as browsers write it: lower case, no port that goes without saying.

    >>> origin_of("HTTPS://Example.org:443")
    'https://example.org'
    """
    place = place_of(text)
    scheme = text.partition("://")[0].lower()
    return f"{scheme}://{place}" if place else text


def place_of(origin: str) -> str:
    """Host and port of an origin; empty if it is none, like "null"."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(origin)
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        if parts.hostname:
            return _joined(parts.hostname, None if parts.port == usual else parts.port)
    return ""


def host_of(header: str) -> str:
    """Host and port of a Host header; its scheme is not known, so both usual ports go without saying."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(f"//{header}")
        return _joined(parts.hostname or "", None if parts.port in {80, 443} else parts.port)
    return ""


def name_of(header: str) -> str:
    """The name in a Host header, without port and brackets."""
    with contextlib.suppress(ValueError):
        return urlsplit(f"//{header}").hostname or ""
    return ""


def _joined(host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
