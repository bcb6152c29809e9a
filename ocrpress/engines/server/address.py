"""What the user typed as the address of an endpoint -> its URLs. Strings only, nothing is asked."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from ocrpress.errors import UsageError

EXAMPLE = "http://localhost:8000/v1"
ADVICE = f"give one like --url {EXAMPLE}"
_PATHS = ("/chat/completions", "/models")  # that people copy along with the address


@dataclass(frozen=True)
class Address:
    """Where an endpoint is.

    Attributes:
        base: without the trailing slash and without the query; a user name and password in it stay.
        query: what follows the question mark (some gateways want a version there).
        shown: for messages: nothing in it is secret.
    """

    base: str = field(repr=False)
    query: str = field(repr=False)
    shown: str

    def url(self, path: str) -> str:
        """The URL of a path below the base, such as "/models"."""
        return self.base + path + (f"?{self.query}" if self.query else "")


def parse_address(given: str | None) -> Address:
    """Read an address as people type it: "localhost:8000", "http://gpu:8000/", "https://host/v1/chat/completions".

    A missing scheme is http for this machine, for IP addresses and for names without a dot, else https, so that no key
    goes through the open network unasked. A missing path is /v1.

    Raises:
        UsageError: nothing was given, or it is no http or https address.
    """
    text = (given or "").strip()
    if not text:
        raise UsageError("engine server has no address", ADVICE)
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname, parts.port  # a port that is no number raises here
    except ValueError as error:
        raise UsageError(f"'{_without_secrets(text)}' is no address ({error})", ADVICE) from None
    if not host or any(char.isspace() or not char.isprintable() for char in text):
        raise UsageError(f"'{_without_secrets(text)}' is no address", ADVICE)
    scheme = parts.scheme or ("http" if _is_near(host) else "https")
    if scheme not in ("http", "https"):
        raise UsageError(f"'{_without_secrets(text)}' is no http or https address", ADVICE)
    path = parts.path.rstrip("/")
    for ending in _PATHS:
        path = path.removesuffix(ending)
    path = path or "/v1"
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    return Address(f"{scheme}://{_user(parts)}{place}{path}", parts.query, f"{scheme}://{place}{path}")


def _is_near(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost") or "." not in host
    return True


def _user(parts: SplitResult) -> str:
    user, at, _ = parts.netloc.rpartition("@")
    return user + at


def _without_secrets(text: str) -> str:
    """Without what stands before an @ and after a question mark."""
    head, slashes, rest = text.rpartition("://")
    return head + slashes + rest.partition("?")[0].rpartition("@")[2]
