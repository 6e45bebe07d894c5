"""Access control: who sent a request, and whether it may go on. Decided before the body is read."""

import logging
import math
from dataclasses import dataclass
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

from retraind.daemon.access.tokens import ANONYMOUS, Keyring, Token
from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import ALL, Scope, granted
from retraind.daemon.core.settings import Server
from retraind.web.auth import path_scopes
from retraind.web.auth.failed_tokens import Failures
from retraind.web.auth.sessions import Sessions
from retraind.web.http.client_address import Peers
from retraind.web.http.host_names import Hosts
from retraind.web.http.problems import Problem
from retraind.web.http.wsgi_environ import up

CALLER = "retraind.caller"
"""Key of the Caller in the environment of a request; no header has such a key."""

CHALLENGE = 'Bearer realm="retraind"'
HINT = "Send a token as Authorization: Bearer TOKEN; `retraind token create` makes one."

_log = logging.getLogger("retraind.web")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and what it may do."""

    scopes: frozenset[Scope]
    name: str
    """Name of the token, `LOCAL_NAME` or `ANONYMOUS`, as the history keeps it."""
    client: str
    """The subject of limits: the token, or without one the address."""
    token: str = ""
    """Id of the token."""
    session: str = ""
    """Name of the session, if a cookie replaced the token."""


LOCAL_NAME = ""
LOCAL = Caller(ALL, LOCAL_NAME, LOCAL_NAME)
"""A program on this machine, or any caller where the settings require no tokens."""


class Access:
    """Access control of one worker; safe to use from any thread."""

    def __init__(self, server: Server, home: Home) -> None:
        self.peers = Peers(server)
        self.hosts = Hosts(server, self.peers)
        self.keyring = Keyring(home)
        self.sessions = Sessions(home, self.keyring, server.root_path)
        self.failures = Failures()
        # A configured proxy may pass on any Host and leave no trace, so no request counts as local then.
        proxied = bool(server.public_url or server.trusted_proxies or server.root_path)
        self._trusts_local, self._needs_no_token = server.auth != "always" and not proxied, server.auth == "none"
        self._anonymous = granted(frozenset(server.anonymous))
        self._is_secure = server.public_url.startswith("https:")

    def recognise(self, environ: WSGIEnvironment) -> Caller:
        """The caller, also stored in the environment; raises Problem 421 for an unknown host, 401 or 429 for a wrong token."""
        # The host of a local request is always one of ours.
        if self._trusts_local and self.peers.is_local(environ):
            caller = LOCAL
        else:
            self.hosts.check(environ)
            caller = LOCAL if self._needs_no_token else self._identified(environ)
        environ[CALLER] = caller
        return caller

    def admit(self, caller: Caller, template: str, environ: WSGIEnvironment) -> None:
        """Check the scope of a path, given by its template; raises Problem 401 or 403, or 303 for a browser at a page."""
        scope = path_scopes.needed(template, environ["REQUEST_METHOD"])
        if scope is None or scope in caller.scopes:
            return
        if caller.token:
            hint = f"`retraind token create NAME --scope {scope}` makes one that may."
            raise Problem(403, f"The token {caller.name!r} does not have the scope {scope.value!r}.", hint=hint)
        if path_scopes.is_page(template) and "text/html" in environ.get("HTTP_ACCEPT", ""):
            raise Problem(303, "Sign in first.", Location=f"{up(environ)}sign-in?next={_goal(environ)}")
        raise Problem(401, f"This needs a token with the scope {scope.value!r}.", hint=HINT, WWW_Authenticate=CHALLENGE)

    def still_admitted(self, caller: Caller) -> bool:
        """Whether an admitted caller would still be admitted: its token is not revoked, its session not ended."""
        if not caller.token:
            return True
        return self.keyring.get(caller.token) is not None and (
            not caller.session or self.sessions.token(caller.session) is not None
        )

    def is_secure(self, environ: WSGIEnvironment) -> bool:
        """Whether the browser uses https, as far as is known."""
        scheme = self.peers.scheme(environ)
        return self._is_secure if scheme is None else scheme == "https"

    def verify(self, secret: str, environ: WSGIEnvironment) -> Token:
        """The token with this secret; raises Problem 401, or 429 after too many wrong ones."""
        address, digest = self.peers.address(environ), durable.sha256(secret.encode("utf-8", "replace"))
        wait = self.failures.wait(address)
        if wait and not self.failures.is_proven(address, digest):
            self.failures.add(address)
            raise Problem(
                429, "Too many wrong tokens from this address.", Retry_After=str(math.ceil(wait)), hint="Wait."
            )
        token = self.keyring.find(secret)
        if token is None:
            if self.failures.add(address):
                _log.warning("Too many wrong tokens from %s; further ones are refused unchecked for a minute.", address)
            raise Problem(401, "The token is wrong, revoked or expired.", hint=HINT, WWW_Authenticate=CHALLENGE)
        self.failures.mark_proven(address, digest)
        self.keyring.note(token)
        return token

    def _identified(self, environ: WSGIEnvironment) -> Caller:
        authorization = environ.get("HTTP_AUTHORIZATION")
        if authorization is not None:
            scheme, _, secret = authorization.partition(" ")
            token = self.verify(secret.strip() if scheme.lower() == "bearer" else "", environ)
            return _holder(token)
        session = self.sessions.find(environ, secure=self.is_secure(environ))
        if session is not None:
            key, token = session
            self.keyring.note(token)
            return _holder(token, key)
        return Caller(self._anonymous, ANONYMOUS, self.peers.address(environ))


def _holder(token: Token, session: str = "") -> Caller:
    return Caller(granted(token.scopes), token.name, f"token {token.name}", token.id, session)


def _goal(environ: WSGIEnvironment) -> str:
    """The address of a page, to be shown after signing in, as a value in a query."""
    path, query = quote(environ["PATH_INFO"].encode("latin-1")), environ["QUERY_STRING"]
    return quote(f"{path}?{query}" if query else path)
