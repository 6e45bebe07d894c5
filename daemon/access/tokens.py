"""Tokens: permissions over HTTP, created and revoked while the service runs.

`registry/tokens/NAME.json` holds the name, the scopes and the sha256 of a token. The token itself is shown once and
never stored; a plain hash is enough for 256 random bits. `registry/token` is an admin token in clear text, which
`retraind token` prints.
"""

import contextlib
import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict

from retraind.daemon.access.record_cache import LOOK_SECONDS, TICK_NANOSECONDS, RecordCache
from retraind.daemon.core import durable, file_modes
from retraind.daemon.core.errors import BadSettings, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
PREFIX = "retraind_"
"""Lets scanners for leaked secrets recognise a token."""

LONGEST = 512
"""Pattern of a text that may be a token."""

ANONYMOUS = "anonymous"
"""The history's name for callers without a token."""

RESERVED = frozenset({ANONYMOUS, "local", "unix"})
"""Names for callers without a token; a token can have none of them, in upper or lower case."""

FILE = "registry/token"
"""Name of the token in that file; no other token can have it."""

Mark = tuple[int, int, int, int]
"""Inode, size, and times of content and inode (nanoseconds), which change whenever a file is written."""

USED_SECONDS = 60.0
"""Minimum seconds between two records of a token's last use, in each worker."""

_log = logging.getLogger("retraind.web")


class Token(BaseModel):
    """The record of a token, without its secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    scopes: frozenset[Scope]
    created_at: AwareDatetime | None = None
    """None for `registry/token`."""
    expires_at: AwareDatetime | None = None

    @property
    def id(self) -> str:
        """An id that differs from the id of an earlier token with the same name."""
        return self.sha256[:16]

    def valid(self, now: datetime) -> bool:
        """True unless it has expired."""
        return self.expires_at is None or now < self.expires_at


def create(home: Home, name: str, scopes: Iterable[Scope], lasts: timedelta | None = None) -> str:
    """Create a token and return it; it is shown only this once. Raises BadSettings for an invalid or taken name."""
    if not NAME.fullmatch(name):
        hint = "Take up to 63 letters, digits, dots, dashes, underscores and @, a letter or digit first."
        raise BadSettings(f"{name!r:.80} can't be the name of a token.", hint=hint)
    if name.lower() in RESERVED:
        raise BadSettings(f"{name!r} stands for callers without a token.", hint="Take another name.")
    secret, now = PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
    expires = now + lasts if lasts is not None else None
    token = Token(name=name, sha256=_hash(secret), scopes=frozenset(scopes), created_at=now, expires_at=expires)
    file_modes.make(home.tokens)
    # Two callers can't both get the name: the file appears whole, or it existed already.
    if not durable.write_new(_path(home, name), token.model_dump_json().encode() + b"\n", mode=0o600):
        raise BadSettings(f"There is a token {name!r} already.", hint=f"`retraind token revoke {name}` revokes it.")
    return secret


def revoke(home: Home, name: str) -> None:
    """Revoke a token; workers notice within a moment. Raises NotFound."""
    path = _path(home, name)
    if not NAME.fullmatch(name) or not path.exists():
        raise NotFound(f"There is no token {name!r:.80}.", hint="`retraind token list` shows them.")
    token = RecordCache(home.tokens, Token).now().get(name)
    durable.remove(path)
    if token is not None:
        _mark(home, token).unlink(missing_ok=True)


def known(home: Home) -> list[tuple[Token, datetime | None]]:
    """All tokens by name, that of `registry/token` first, with their last use (None: not used yet)."""
    tokens = [*filter(None, [_in_file(home.token)]), *RecordCache(home.tokens, Token).now().values()]
    return [(token, _used(home, token)) for token in tokens]


class Keyring:
    """A worker's view of the tokens; thread-safe, and no call waits longer than one look at the folder."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._records = RecordCache(home.tokens, Token)
        self._due = 0.0
        self._file: tuple[Mark | None, Token | None] = None, None
        self._indexed: tuple[dict[str, Token], Token | None, dict[str, Token]] | None = None
        self._noted: dict[str, float] = {}

    def find(self, secret: str) -> Token | None:
        """The valid token with this secret; raises OSError."""
        digest = _hash(secret) if 0 < len(secret) <= LONGEST else ""
        token = self._index().get(digest[:16]) or self._index(fresh=True).get(digest[:16])
        if token is None or not hmac.compare_digest(token.sha256, digest) or not token.valid(datetime.now(UTC)):
            return None
        return token

    def get(self, key: str) -> Token | None:
        """The valid token with that id; raises OSError."""
        token = self._index().get(key)
        return token if token is not None and token.valid(datetime.now(UTC)) else None

    def note(self, token: Token) -> None:
        """Record the use for `retraind token list`; disk errors are ignored."""
        now = time.monotonic()
        if now < self._noted.get(token.id, 0.0):
            return
        self._noted[token.id] = now + USED_SECONDS
        with contextlib.suppress(OSError):
            self._home.tokens.mkdir(mode=0o700, exist_ok=True)
            path = _mark(self._home, token)
            path.touch(mode=0o600)
            os.utime(path)

    def _index(self, *, fresh: bool = False) -> dict[str, Token]:
        """All tokens by id."""
        records, own = self._records.now(fresh=fresh), self._own(fresh=fresh)
        index = self._indexed
        if index is None or index[0] is not records or index[1] is not own:
            tokens = [*records.values(), *filter(None, [own])]
            index = self._indexed = records, own, {token.id: token for token in tokens}
        return index[2]

    def _own(self, *, fresh: bool) -> Token | None:
        """The token of `registry/token`; the file is checked as rarely as the others."""
        now = time.monotonic()
        if fresh or now >= self._due:
            self._due = now + LOOK_SECONDS
            self._file = _look(self._home.token, self._file)
        return self._file[1]


def _in_file(path: Path) -> Token | None:
    try:
        secret = path.read_bytes().strip()
    except FileNotFoundError:
        return None
    sha256 = durable.sha256(secret)
    return Token(name=FILE, sha256=sha256, scopes=frozenset({Scope.ADMIN})) if secret else None


def _look(path: Path, last: tuple[Mark | None, Token | None]) -> tuple[Mark | None, Token | None]:
    """The file's mark and token; it is read again if the mark has changed.

    After a very recent change there is no mark, because another change might not show.
    """
    at = time.time_ns()
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None, None
    mark = stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    if mark == last[0]:
        return last
    settled = at - stat.st_ctime_ns > TICK_NANOSECONDS
    return mark if settled else None, _in_file(path)


def _hash(secret: str) -> str:
    return durable.sha256(secret.encode("utf-8", "replace"))


def _path(home: Home, name: str) -> Path:
    return home.tokens / f"{name}.json"


def _mark(home: Home, token: Token) -> Path:
    """The file whose modification time is the token's last use."""
    return home.tokens / f"{token.id}.used"


def _used(home: Home, token: Token) -> datetime | None:
    try:
        return datetime.fromtimestamp(_mark(home, token).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
