"""Sessions: browsers in which a person has signed in with a token.

The cookie holds 256 random bits; `registry/sessions` holds its sha256, the token and the expiry. So all workers know
the session, even after a restart. It ends when the person signs out, when the token ends, and after a week.
"""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from wsgiref.types import WSGIEnvironment

from pydantic import AwareDatetime, BaseModel, ConfigDict

from retraind.daemon.access.record_cache import RecordCache
from retraind.daemon.access.tokens import Keyring, Token
from retraind.daemon.core import durable
from retraind.daemon.core.home import Home

LASTS = timedelta(days=7)

EACH = 20
"""Maximum sessions of one token. Beyond it, the oldest of the same token ends, so no other token is affected."""

MOST = 1000
"""Maximum sessions in total. Beyond it, the oldest session of the token with the most ends."""

PLAIN, SECURE = "retraind-session", "__Host-retraind-session"
"""Names of the cookie; `server.root_path` follows. Browsers accept the second only over https, and from no other host of the same domain."""


class Session(BaseModel):
    """A session; its name is the sha256 of the cookie's value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    """Id of the token."""
    created_at: AwareDatetime
    expires_at: AwareDatetime


class Sessions:
    """The sessions, as one worker reads them; safe to use from any thread."""

    def __init__(self, home: Home, keyring: Keyring, root: str = "") -> None:
        # So that two services on one host do not overwrite each other's cookies.
        self._suffix = root.replace("/", "+")
        self._folder = home.sessions
        self._records = RecordCache(home.sessions, Session)
        self._keyring = keyring

    def begin(self, token: Token) -> str:
        """Begin a session and return the value of its cookie. Raises OSError."""
        now, secret = datetime.now(UTC), secrets.token_urlsafe(32)
        self._sweep(now, token)
        session = Session(token=token.id, created_at=now, expires_at=min(now + LASTS, token.expires_at or now + LASTS))
        self._folder.mkdir(mode=0o700, exist_ok=True)
        durable.write(self._folder / f"{_digest(secret)}.json", session.model_dump_json().encode(), mode=0o600)
        return secret

    def end(self, key: str) -> None:
        """End the session with this name; no error if it has ended already. Raises OSError."""
        durable.remove(self._folder / f"{key}.json")
        self._records.now(fresh=True)

    def find(self, environ: WSGIEnvironment, *, secure: bool) -> tuple[str, Token] | None:
        """Name and token of the request's session; None without a valid one."""
        header = environ.get("HTTP_COOKIE", "")
        secret = _held(header, self._name(secure=secure)) if header else None
        if secret is None:
            return None
        key = _digest(secret)
        token = self.token(key)
        return (key, token) if token is not None else None

    def token(self, key: str) -> Token | None:
        """The token of a session; None when either has ended."""
        session = self._records.now().get(key) or self._records.now(fresh=True).get(key)
        if session is None or datetime.now(UTC) >= session.expires_at:
            return None
        return self._keyring.get(session.token)

    def cookie(self, value: str, *, secure: bool) -> str:
        """The value of Set-Cookie; an empty `value` removes the cookie from the browser."""
        seconds = int(LASTS.total_seconds()) if value else 0
        common = f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict"
        return f"{self._name(secure=secure)}={value}; {common}{'; Secure' if secure else ''}"

    def _name(self, *, secure: bool) -> str:
        return (SECURE if secure else PLAIN) + self._suffix

    def _sweep(self, now: datetime, token: Token) -> None:
        """Remove ended sessions, and those that must end before `token` may begin another."""
        records = RecordCache(self._folder, Session).now()
        good = {
            key: session
            for key, session in records.items()
            if now < session.expires_at and self._keyring.get(session.token) is not None
        }
        for key in [*(records.keys() - good.keys()), *_surplus(good, token.id)]:
            self.end(key)


def _surplus(sessions: Mapping[str, Session], token: str) -> list[str]:
    """Names of the sessions that must end before the token may begin another."""
    kept: dict[str, list[str]] = {token: []}
    for key, session in sorted(sessions.items(), key=lambda pair: pair[1].created_at):
        kept.setdefault(session.token, []).append(key)
    own = kept[token]
    surplus = own[: max(0, len(own) - EACH + 1)]
    kept[token] = own[len(surplus) :]
    for _ in range(len(sessions) - len(surplus) - MOST + 1):
        surplus.append(max(kept.values(), key=len).pop(0))
    return surplus


def _held(header: str, name: str) -> str | None:
    """The value of a cookie; None if it is missing, or repeated, since one of several may have been planted."""
    values = [value for part in header.split(";") for key, _, value in [part.strip().partition("=")] if key == name]
    return values[0] if len(values) == 1 else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
