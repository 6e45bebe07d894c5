"""The changes of the disk at which a simulated process may die, or which fail as on a full disk.

Inside git, DVC and SQLite there are none: `tests/faults` has those. Here each call of one of them is a single change.
A journal on a server also loses its connection: between two statements, or in a commit, before or after it was made.
"""

import builtins
import errno
import io
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from dvc.repo import Repo
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from retraind.daemon.core import durable
from retraind.daemon.core.errors import DatasetDamaged, Unavailable
from retraind.daemon.dataset import git_command
from retraind.daemon.records.server import reader
from retraind.daemon.storage.model_versions import ModelVersions

FULL = os.strerror(errno.ENOSPC)
GONE = "server closed the connection unexpectedly"


@dataclass
class Fault:
    """Death at the n-th change from now, failure of the n-th that needs room, or of all of those until `left` turns have gone.

    On a server also: no answer to the n-th commit, which is made or not, and then no connection for `then` turns; or no
    connection until `left` turns have gone.
    """

    kind: Literal["kill", "once", "full", "made", "unmade", "away"]
    left: int
    then: int = 0


class Points:
    """Counts the changes of one process while `on`."""

    def __init__(self) -> None:
        self.on = False
        self.fault: Fault | None = None
        self.die: Callable[[str], None] = lambda what: None
        self.unsettled = False
        """Whether an answer to a commit that was made is still owed, so that a process must not believe its memory."""

    @property
    def away(self) -> bool:
        """Whether the server takes no connections."""
        return self.fault is not None and self.fault.kind == "away"

    def loses_answer(self) -> Fault | None:
        """The fault that takes the answer to the commit that is about to be made."""
        fault = self.fault
        if not self.on or fault is None or fault.kind not in ("made", "unmade"):
            return None
        fault.left -= 1
        if fault.left > 0:
            return None
        self.fault = Fault("away", fault.then) if fault.then else None
        self.unsettled |= fault.kind == "made" and fault.then > 0
        return fault

    def reach(self, what: str, full: Callable[[], Exception] | None = None) -> None:
        """A change is about to be made; `full` is how it fails without room, None if it needs none."""
        fault = self.fault
        if not self.on or fault is None:
            return
        if fault.kind == "kill":
            fault.left -= 1
            if fault.left <= 0:
                self.die(what)
        elif full is not None and fault.kind == "full":
            raise full()
        elif full is not None and fault.kind == "once":
            fault.left -= 1
            if fault.left <= 0:
                self.fault = None
                raise full()


POINTS = Points()


def install() -> None:
    """Put a point before each change that this process makes, for good."""
    for module, name in (
        (os, "rename"),
        (os, "replace"),
        (os, "link"),
        (os, "mkdir"),
        (os, "fsync"),
        (durable, "rename_new"),
    ):
        setattr(module, name, _before(getattr(module, name), name, _no_room))
    for name in ("unlink", "rmdir"):
        setattr(os, name, _before(getattr(os, name), name, None))
    os.open = _opening(os.open)
    builtins.open = io.open = _opening_file(io.open)
    os.statvfs = _measuring(os.statvfs)
    git_command.run = _before(git_command.run, "git", lambda: DatasetDamaged(f"git failed: {FULL}."))
    Repo.add = _as_one(Repo.add)
    for name in ("set_alias", "describe", "mark_cleared"):
        setattr(
            ModelVersions,
            name,
            _before(getattr(ModelVersions, name), f"mlflow {name}", lambda: Unavailable(f"MLflow: {FULL}.")),
        )
    event.listen(Engine, "commit", _committing)


def install_server() -> None:
    """Let connections to a server fail while it is away, for good."""
    event.listen(Engine, "do_connect", _connecting)
    reader._connect = _reading(reader._connect)


def _no_room() -> Exception:
    return OSError(errno.ENOSPC, FULL)


def _before(real: Callable[..., Any], what: str, full: Callable[[], Exception] | None) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        POINTS.reach(what, full)
        return real(*arguments, **named)

    return call


def _opening(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any, flags: int, *arguments: Any, **named: Any) -> Any:
        if flags & os.O_CREAT:
            POINTS.reach("create", _no_room)
        return real(path, flags, *arguments, **named)

    return call


def _opening_file(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if not isinstance(file, int) and set(mode) & set("wxa+"):
            POINTS.reach("create", _no_room)
        return real(file, mode, *arguments, **named)

    return call


def _measuring(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any) -> Any:
        result = real(path)
        if POINTS.on and POINTS.fault is not None and POINTS.fault.kind == "full":
            figures = list(result)
            figures[3] = figures[4] = 0  # f_bfree, f_bavail
            return os.statvfs_result(figures)
        return result

    return call


def _as_one(real: Callable[..., Any]) -> Callable[..., Any]:
    """DVC makes its changes in threads: their order is not ours."""

    def call(*arguments: Any, **named: Any) -> Any:
        POINTS.reach("dvc add", _no_room)
        before, POINTS.on = POINTS.on, False
        try:
            return real(*arguments, **named)
        finally:
            POINTS.on = before

    return call


def _committing(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        if fault := POINTS.loses_answer():
            _lose_answer(connection, made=fault.kind == "made")
        POINTS.reach("journal", lambda: OperationalError("COMMIT", {}, psycopg.errors.DiskFull(FULL)))
    elif str(connection.engine.url.database).endswith("journal.db"):
        POINTS.reach(
            "journal", lambda: OperationalError("COMMIT", {}, sqlite3.OperationalError("database or disk is full"))
        )


def _lose_answer(connection: Connection, *, made: bool) -> None:
    """The connection ends in a commit: as SQLAlchemy leaves it then."""
    held = connection.connection.dbapi_connection
    assert held is not None
    if made:
        held.commit()
    held.close()
    error = OperationalError("COMMIT", {}, psycopg.OperationalError(GONE))
    connection.invalidate(error)
    raise error


def _connecting(dialect: Any, *_: Any) -> None:
    if dialect.name == "postgresql" and POINTS.away:
        raise psycopg.OperationalError(GONE)


def _reading(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(server: Any) -> Any:
        if POINTS.away:
            raise psycopg.OperationalError(GONE)
        return real(server)

    return call
