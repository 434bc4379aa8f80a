"""Who may use the gate: names of this server, the token, and the cookie that a right token is exchanged for."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from sslseg.errors import InputError

TOKEN_BYTES = 32
SHORTEST_TOKEN = 12
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to


class Access:
    """The rules of one run of the server. A cookie of an earlier run is worth nothing.

    Args:
        host: the name or address that the server listens on.
        token: what a user has to know; None: nothing, for loopback only.

    Raises:
        InputError: the host is unknown, or the token is missing or too short to be safe.
    """

    def __init__(self, host: str, token: str | None) -> None:
        self.loopback = is_loopback(host)
        if token is None and not self.loopback:
            raise InputError(f"Other machines can reach {host}: give it a --token.")
        if token is not None and len(token) < SHORTEST_TOKEN:
            raise InputError(f"The token is too short to be safe: give --token {SHORTEST_TOKEN} characters or more.")
        self.token = token
        self.public_name = socket.gethostname() if host in _EVERYWHERE else host
        self._names = {"localhost", host.lower()}
        if not self.loopback:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._key = secrets.token_bytes(TOKEN_BYTES)
        self._ticket: str | None = None

    def knows_host(self, header: str) -> bool:
        """Whether a ``Host`` header names this server.

        A page whose own name was made to point here (DNS rebinding) sends that name. Addresses cannot be rebound.
        """
        name = _host_name(header)
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return address.is_loopback or not self.loopback

    @staticmethod
    def same_origin(headers: Mapping[str, str]) -> bool:
        """Whether a request comes from a page of this server, or from no page at all.

        The scheme is not compared: a server in front of this one may add TLS.
        """
        origin = headers.get("Origin")
        return origin is None or urlsplit(origin).netloc.lower() == headers.get("Host", "").lower() != ""

    def right_token(self, given: str | None) -> bool:
        """Compare in constant time; without a token everybody is right, and a ticket is right once."""
        if self._ticket is not None and given is not None and _equal(given, self._ticket):
            self._ticket = None
            return True
        return self.token is None or (given is not None and _equal(given, self.token))

    def new_ticket(self) -> str:
        """What can be given once instead of the token, for an address that others may see."""
        self._ticket = random_token()
        return self._ticket

    def new_cookie(self) -> str:
        """The value of a cookie for one more browser."""
        browser = secrets.token_urlsafe(TOKEN_BYTES)
        return f"{browser}.{self._sign(browser)}"

    def browser(self, cookie: str | None) -> str | None:
        """The browser that a cookie of this run was given to; None for any other value."""
        browser, _, signature = (cookie or "").rpartition(".")
        return browser if browser and _equal(signature, self._sign(browser)) else None

    def _sign(self, browser: str) -> str:
        return hmac.new(self._key, browser.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def random_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on ``host``.

    Raises:
        InputError: there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"'{host}' is no name or address of this machine: check --host.") from error
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def _host_name(header: str) -> str:
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode("utf-8", "surrogateescape"))
