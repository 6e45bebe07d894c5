"""Requests to the loop as durable files: a request that was answered with 202 survives any crash.

Level 1: the HTTP workers and the command line write them, only the loop consumes them.
"""

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon import durable
from daemon.home import Home

LARGEST = 2**53
"""Identifiers above this are no longer exact in a JSON reader that knows only doubles."""

UNREADABLE = ".unreadable"
"""Ends the name of a file that is no request, once it has been set aside."""

Kind = Literal["retrain", "promote", "refuse", "rollback", "forget"]


class Request(BaseModel):
    """One request: `version` is for promote, refuse (None: the challenger) and rollback (None: the previous), `force` for retrain.

    To forget: the sha256 of a `drop`; `purge` also removes its rows from DVC's cache, and with them older revisions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(default_factory=lambda: secrets.token_hex(8), pattern=r"^[0-9a-f]{16}$")
    kind: Kind
    force: bool = False
    version: int | None = Field(None, ge=1, le=LARGEST)
    drop: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    purge: bool = False
    by: str = "cli"
    """Who asked: `cli`, `http`, or `daemon` when nothing that it has can be served."""
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


def submit(home: Home, kind: Kind, **fields: Any) -> Request:
    """Write a request for the loop; when this returns it is on the disk."""
    request = Request(kind=kind, **fields)
    # The time first, so that the loop reads them in the order in which they were made.
    name = f"{request.at:%Y%m%dT%H%M%S%f}-{request.id}.json"
    durable.write(home.requests / name, request.model_dump_json().encode(), mode=0o600)
    _give_to_owner(home.requests / name)
    return request


def _give_to_owner(path: Path) -> None:
    """A request that root makes for a daemon of another user must be readable for that user."""
    owner = path.parent.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def pending(home: Home) -> list[Request]:
    """Requests not yet consumed, oldest first; what is no request is left alone."""
    found = []
    for path in sorted(home.requests.glob("*.json")):
        try:
            found.append(_read(path))
        except (ValidationError, orjson.JSONDecodeError, OSError):
            continue
    return found


def _read(path: Path) -> Request:
    return Request.model_validate(orjson.loads(path.read_bytes()))


def set_aside(home: Home) -> list[str]:
    """Give files that are no requests another name, which nobody looks for; a sentence of each says why."""
    said = []
    for path in sorted(home.requests.glob("*.json")):
        try:
            _read(path)
        except (ValidationError, orjson.JSONDecodeError) as error:
            kept = path.rename(path.with_name(f"{path.name}{UNREADABLE}"))
            said.append(f"registry/requests/{path.name} is no request: {_reason(error)}. It is kept as {kept.name}.")
        except OSError:  # it was answered just now, or is not given to this user yet
            continue
    return said


def _reason(error: ValidationError | orjson.JSONDecodeError) -> str:
    if isinstance(error, orjson.JSONDecodeError):
        return f"no valid JSON, {error}"
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"


def consume(home: Home, request: Request) -> None:
    """Remove a request that the journal has taken over."""
    for path in home.requests.glob(f"*-{request.id}.json"):
        durable.remove(path)
