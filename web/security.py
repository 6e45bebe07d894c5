"""Who may ask: Host allow-list against DNS rebinding, same-origin writes, bearer token, and the headers of every answer."""

import hmac
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.settings import Server
from web.problems import Problem
from web.reply import JSON

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
"""On every answer, also on errors."""

NO_STORE = ("Cache-Control", "no-store")

WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 - recognised, not bound
TRUSTED_SITES = {"same-origin", "none"}
"""Values of Sec-Fetch-Site of a page of ours and of an address typed by a person."""


class Guard:
    """Checks of one server; every method raises Problem or returns."""

    def __init__(self, server: Server, token: Path) -> None:
        host = server.host.strip("[]").lower()
        self._names = {
            "localhost",
            "127.0.0.1",
            "::1",
            host,
            *(name.strip("[]").lower() for name in server.allowed_hosts),
        }
        self._any_address = host in WILDCARDS
        self._token = token if needs_token(server) else None
        self._known: set[str] = set()

    def host(self, environ: Mapping[str, Any]) -> None:
        """Refuse a request under a name that is not ours (421): a rebound DNS name reaches us like any other."""
        given = environ.get("HTTP_HOST", "")
        if given in self._known:
            return
        name = hostname(given)
        if not name:
            raise Problem(400, "The request has no valid Host header.")
        if name not in self._names and not (self._any_address and _is_address(name)):
            raise Problem(421, f"{name!r:.100} is no name of this server.", hint="Add it to `server.allowed_hosts`.")
        # Bounded, because ports make the number of valid headers large.
        if len(self._known) < 64:
            self._known.add(given)

    def write(self, environ: Mapping[str, Any]) -> None:
        """Refuse a body that is not JSON (415) and a request that another site's page makes (403)."""
        self.json(environ)
        self.site(environ)

    def json(self, environ: Mapping[str, Any]) -> None:
        """Refuse a body that is not JSON (415)."""
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise Problem(
                415, f"The body must be {JSON}, not {kind or 'untyped'!r:.80}.", hint=f"Send Content-Type: {JSON}."
            )

    def site(self, environ: Mapping[str, Any]) -> None:
        """Refuse a request that another site's page makes (403); alone where clients send no content type."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin.lower().partition("://")[2] != environ.get("HTTP_HOST", "").lower():
            raise Problem(403, f"A page of {origin!r:.100} may not write here.")
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site is not None and site not in TRUSTED_SITES:
            raise Problem(403, f"A {site:.20} page may not write here.")

    def token(self, environ: Mapping[str, Any]) -> None:
        """Beyond loopback, demand `Authorization: Bearer` with the content of registry/token (401)."""
        if self._token is None:
            return
        scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        # Read each time: a token that was changed on the disk holds at once.
        expected = self._token.read_bytes().strip() if self._token.exists() else b""
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected)
        if not (expected and same and scheme.lower() == "bearer"):
            challenge = 'Bearer realm="retraind"'
            raise Problem(401, "Writing from beyond loopback needs the token.", hint=HINT, WWW_Authenticate=challenge)


HINT = "`retraind token` prints it; send it as Authorization: Bearer TOKEN."


def hostname(header: str) -> str:
    """The name in a Host header without port and brackets, lower case; empty if it is none."""
    name, bracket, rest = header.partition("]") if header.startswith("[") else ("", "", header)
    host, _, port = rest.partition(":")
    if (bracket and host) or (port and not port.isdecimal()):
        return ""
    return (name[1:] if bracket else host).rstrip(".").lower()


def needs_token(server: Server) -> bool:
    """Whether writing endpoints ask for the token: beyond loopback, unless the settings give that up."""
    return server.auth == "token" and not is_loopback(server.host.strip("[]").lower())


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`; without one there is the Unix socket, which the rights of its file protect."""
    return host in ("", "localhost") or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
