"""Events: the history for people, written in the same transaction as the fact."""

from typing import TypedDict, Unpack

from sqlalchemy import Connection

from daemon.core.states import EventKind, Level
from daemon.core.status import utcnow
from daemon.storage.database import Database
from daemon.storage.journal_tables import events


class Subject(TypedDict, total=False):
    """The subject of an event: a drop (sha256), a batch, a run, a version."""

    drop: str | None
    batch: int | None
    run: int | None
    version: int | None


class Events:
    """Events without a transition; the event of a transition is written with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, kind: EventKind, message: str, *, level: Level = Level.INFO, **about: Unpack[Subject]) -> None:
        """Record an event without a transition."""
        with self._database.writing() as connection:
            record_event(connection, kind, message, level=level, **about)


def record_event(
    connection: Connection, kind: EventKind, message: str, *, level: Level = Level.INFO, **about: Unpack[Subject]
) -> None:
    """Record an event within the caller's transaction; `about` is its subject."""
    connection.execute(events.insert(), {"at": utcnow(), "kind": kind, "level": level, "message": message, **about})
