"""Events: the history that people read, written in the transaction of the fact that it tells."""

from typing import TypedDict, Unpack

from sqlalchemy import Connection

from daemon.core.states import EventKind, Level
from daemon.core.status import utcnow
from daemon.storage.database import Database
from daemon.storage.journal_tables import events


class Subject(TypedDict, total=False):
    """What an event is of: a drop (sha256), a batch, a run, a version."""

    drop: str | None
    batch: int | None
    run: int | None
    version: int | None


class Events:
    """Events that change nothing else; those of a transition are written with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, kind: EventKind, message: str, *, level: Level = Level.INFO, **about: Unpack[Subject]) -> None:
        """Record an event that changes nothing else."""
        with self._database.writing() as connection:
            record_event(connection, kind, message, level=level, **about)


def record_event(
    connection: Connection, kind: EventKind, message: str, *, level: Level = Level.INFO, **about: Unpack[Subject]
) -> None:
    """Record an event within the caller's transaction, `about` what it is of."""
    connection.execute(events.insert(), {"at": utcnow(), "kind": kind, "level": level, "message": message, **about})
