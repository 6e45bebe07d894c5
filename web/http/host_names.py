"""Checks of the Host header (against DNS rebinding) and of the Origin (against requests from pages of other sites)."""

from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from retraind.daemon.core.settings import Server
from retraind.web.http.client_address import LOCAL_NAMES, Peers, hostname, is_address
from retraind.web.http.problems import Problem

WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 - recognised, not bound

TRUSTED_SITES = {"same-origin", "none"}
"""Values of Sec-Fetch-Site for our own pages and for an address typed by a person."""


class Hosts:
    """The names of one server; every check raises Problem or returns."""

    def __init__(self, server: Server, peers: Peers) -> None:
        host, self._peers = server.host.strip("[]").lower(), peers
        public = urlsplit(server.public_url)
        named = (name.strip("[]").lower() for name in server.allowed_hosts)
        self._names = {*LOCAL_NAMES, host, *named, public.hostname or ""} - {""}
        self._public = server.public_url
        self._any_address = host in WILDCARDS
        self._known: set[str] = set()

    def check(self, environ: WSGIEnvironment) -> None:
        """Refuse a request under an unknown host name (421): by DNS rebinding, foreign names can lead here."""
        host = environ.get("HTTP_HOST", "")
        if host in self._known:
            return
        if not host and environ.get("SERVER_PROTOCOL") == "HTTP/1.0" and "HTTP_HOST" not in environ:
            return  # balancers and probes may omit the host (RFC 1945); browsers, the targets of rebinding, always send it
        name = hostname(host)
        if not name:
            raise Problem(400, "The request has no valid Host header.")
        if name not in self._names and not (self._any_address and is_address(name)):
            hint = "Add it to `server.allowed_hosts`, or set `server.public_url`."
            raise Problem(421, f"Unknown host {name!r:.100}.", hint=hint)
        # Bounded, because ports make the number of valid headers large.
        if len(self._known) < 64:
            self._known.add(host)

    def site(self, environ: WSGIEnvironment) -> None:
        """Refuse a request from a page of another site (403), even if its browser is signed in."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self._is_ours(origin.lower(), environ):
            raise Problem(403, f"Pages of {origin!r:.100} may not send requests here.", hint="See `server.public_url`.")
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site is not None and site not in TRUSTED_SITES:
            raise Problem(403, f"Pages of other sites ({site:.20}) may not send requests here.")

    def _is_ours(self, origin: str, environ: WSGIEnvironment) -> bool:
        # A proxy may change the Host; a local program has none in between.
        if self._public and origin == self._public and not self._peers.is_local(environ):
            return True
        scheme, _, host = origin.partition("://")
        return host == environ.get("HTTP_HOST", "").lower() and scheme == (self._peers.scheme(environ) or scheme)
