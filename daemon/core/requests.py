"""Requests to the loop as durable files: a request that got a 202 survives any crash.

The HTTP workers and the command line write them, only the loop consumes them. Only files of this user or of root count.
A file of another user is never a request, however it got into the folder.
"""

import os
import secrets
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from retraind.daemon.core import durable
from retraind.daemon.core.errors import Crowded
from retraind.daemon.core.home import Home
from retraind.daemon.core.validation import words

LARGEST = 2**53
"""Identifiers above this are no longer exact in a JSON reader that knows only doubles."""

UNREADABLE = ".unreadable"
"""Ending of a file that was not a request and was set aside."""

MOST_BYTES = 65_536
"""Larger files are no requests."""

MOST = 256
"""Maximum number of waiting requests; further ones are refused and may be sent again later."""

AT_ONCE = 64
"""Maximum number of equal requests that are answered together."""

Kind = Literal["retrain", "promote", "refuse", "rollback", "forget", "repair", "accept", "reject", "acknowledge"]


class Request(BaseModel):
    """One request: `version` is for promote, refuse (None: the challenger) and rollback (None: the previous), `force` for retrain.

    To accept or reject a held drop: its sha256 as `drop`. To forget: the sha256 of a `drop`; `purge` also removes its rows from DVC's cache, and with them older revisions.
    To acknowledge: one `event`, the events of a `drop`, or all events up to the number `until`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(default_factory=lambda: secrets.token_hex(8), pattern=r"^[0-9a-f]{16}$")
    kind: Kind
    force: bool = False
    version: int | None = Field(None, ge=1, le=LARGEST)
    drop: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    purge: bool = False
    event: int | None = Field(None, ge=1, le=LARGEST)
    until: int | None = Field(None, ge=1, le=LARGEST)
    by: str = "cli"
    """Who asked: `cli` or `http`, for an acknowledgement with the user or token, or `daemon` (when it has no model that can be served)."""
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    _name: str | None = PrivateAttr(None)

    @property
    def content(self) -> tuple[object, ...]:
        """The request without its id and time: requests with equal content can share an answer."""
        return self.kind, self.force, self.version, self.drop, self.purge, self.event, self.until, self.by

    @property
    def name(self) -> str:
        """Name of its file; the time comes first, so that the loop reads requests in order."""
        return self._name or f"{self.at:%Y%m%dT%H%M%S%f}-{self.id}.json"


class _Untrusted(Exception):
    """Raised for a file that is not a request written by a permitted user."""


def ask(home: Home, kind: Kind, **fields: Any) -> Request:
    """`submit` for people and programs, which may ask faster than the loop answers; raises Crowded."""
    if len(_files(home)) >= MOST:
        hint = "Ask again in a moment; GET /health says what the daemon does."
        raise Crowded(f"{MOST} requests already wait for the daemon, so no more are accepted.", hint=hint)
    return submit(home, kind, **fields)


def submit(home: Home, kind: Kind, **fields: Any) -> Request:
    """Write a request for the loop; it is durable when this returns."""
    request = Request(kind=kind, **fields)
    request._name = request.name
    durable.write(home.requests / request.name, request.model_dump_json().encode())
    return request


def pending(home: Home) -> list[Request]:
    """Requests not yet consumed, oldest first; other files are ignored."""
    requests = []
    for path in _files(home):
        try:
            requests.append(_read(path))
        except (_Untrusted, ValidationError, orjson.JSONDecodeError, OSError):
            continue
    return sorted(requests, key=lambda request: request.name)


def equal_requests(waiting: Sequence[Request]) -> list[Request]:
    """The first request and those right behind it with equal content, at most AT_ONCE."""
    same = takewhile(lambda request: request.content == waiting[0].content, waiting)
    return list(islice(same, AT_ONCE))


def _files(home: Home) -> list[Path]:
    return sorted(home.requests.glob("*.json"))


def _read(path: Path) -> Request:
    """The request in a file; cached, because each step of the loop looks at all waiting requests."""
    status = os.lstat(path)
    return _parsed(path, (status.st_ino, status.st_mtime_ns, status.st_size, status.st_uid))


@lru_cache(maxsize=8192)
def _parsed(path: Path, _stamp: tuple[int, ...]) -> Request:
    request = Request.model_validate(orjson.loads(_trusted(path)))
    request._name = path.name
    return request


def _trusted(path: Path) -> bytes:
    """The bytes of a file that this user or root wrote; never follows a link or waits for a pipe."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise _Untrusted("it is not a regular file")
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if status.st_uid not in (0, os.geteuid()):
            raise _Untrusted(f"it belongs to another user ({status.st_uid})")
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            raise _Untrusted(f"it is not a file of up to {MOST_BYTES} bytes")
        return os.read(fd, MOST_BYTES)
    finally:
        os.close(fd)


def set_aside(home: Home) -> list[str]:
    """Rename files that are not requests, so that they are skipped; returns a sentence on each."""
    said = []
    for path in _files(home):
        try:
            _read(path)
        except (_Untrusted, ValidationError, orjson.JSONDecodeError) as error:
            kept = path.rename(path.with_name(f"{path.name}{UNREADABLE}"))
            said.append(f"registry/requests/{path.name} is not a request: {_reason(error)}. It is kept as {kept.name}.")
        except OSError:  # it was answered just now, or this user does not own it yet
            continue
    return said


def _reason(error: _Untrusted | ValidationError | orjson.JSONDecodeError) -> str:
    if isinstance(error, _Untrusted):
        return str(error)
    if isinstance(error, orjson.JSONDecodeError):
        return f"not valid JSON, {error}"
    return words.sentence(error.errors()[0])


def consume(home: Home, *taken: Request) -> None:
    """Remove the files of requests that the journal has recorded, whatever their names are."""
    for request in taken:
        (home.requests / request.name).unlink(missing_ok=True)
    durable.fsync_dir(home.requests)
