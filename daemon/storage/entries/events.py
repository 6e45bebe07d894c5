"""Events: the history for people, written in the same transaction as the fact."""

from collections.abc import Collection
from typing import TypedDict, Unpack

from sqlalchemy import Connection, func, select

from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.journal_tables import events

BLANKED = "The text of this event quoted rows that have been forgotten since."
"""Replaces such a text, because the event itself is part of the history."""


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

    def newest_id(self) -> int:
        """The number of the newest event; 0 if there is none."""
        row = self._database.one(select(func.coalesce(func.max(events.c.id), 0).label("id")))
        return 0 if row is None else int(row["id"])

    def newest(self, kind: EventKind) -> EventRow | None:
        """The newest event of a kind."""
        return self._database.first(EventRow, select(events).where(events.c.kind == kind).order_by(events.c.id.desc()))

    def after(self, number: int, kinds: Collection[EventKind], limit: int, until: int | None = None) -> list[EventRow]:
        """Events of these kinds with a larger number, oldest first; with `until`, up to that number."""
        query = select(events).where(events.c.id > number, events.c.kind.in_(kinds)).order_by(events.c.id).limit(limit)
        return self._database.typed(EventRow, query if until is None else query.where(events.c.id <= until))


def record_event(
    connection: Connection, kind: EventKind, message: str, *, level: Level = Level.INFO, **about: Unpack[Subject]
) -> None:
    """Record an event within the caller's transaction; `about` is its subject."""
    connection.execute(events.insert(), {"at": utcnow(), "kind": kind, "level": level, "message": message, **about})
