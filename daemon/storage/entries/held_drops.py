"""Held drops: suspicious drops that are not accepted until a person decides."""

from collections.abc import Iterable

from sqlalchemy import select

from retraind.daemon.core.journal_rows import HeldRecord, HeldRow
from retraind.daemon.core.states import EventKind, Hold, Level
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries.events import BLANKED, record_event
from retraind.daemon.storage.journal_tables import events, held


class HeldDrops:
    """Drops that wait for a person."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, drop: HeldRecord) -> None:
        """Record that a suspicious drop waits for a person."""
        with self._database.writing() as connection:
            connection.execute(held.insert(), {**drop, "state": Hold.WAITING, "held_at": utcnow()})
            message = (
                f"{drop['name']} is suspicious: {drop['reason']}. It waits for `retraind accept` or `retraind reject`."
            )
            record_event(connection, EventKind.SUSPICIOUS, message, level=Level.WARNING, drop=drop["sha256"])

    def all(self) -> list[HeldRow]:
        """Drops that wait, or were decided a moment ago and have not left yet; oldest first."""
        return self._database.typed(HeldRow, select(held).order_by(held.c.held_at, held.c.sha256))

    def among(self, sha256s: Iterable[str]) -> dict[str, HeldRow]:
        """The held drops with these bytes, by sha256."""
        rows = self._database.typed_among(HeldRow, select(held), held.c.sha256, sha256s)
        return {row["sha256"]: row for row in rows}

    def decide(self, sha256: str, state: Hold, by: str) -> None:
        """Record a person's decision on a waiting drop."""
        with self._database.writing() as connection:
            connection.execute(held.update().where(held.c.sha256 == sha256).values(state=state, by=by))

    def rename(self, sha256: str, name: str) -> None:
        """Record that a waiting drop was renamed."""
        with self._database.writing() as connection:
            connection.execute(held.update().where(held.c.sha256 == sha256).values(name=name))

    def forget(self, sha256: str) -> None:
        """Remove the record of a held drop and the texts of its events, because both quote labels and its rows will be forgotten."""
        with self._database.writing() as connection:
            connection.execute(held.delete().where(held.c.sha256 == sha256))
            quoting = (events.c.drop == sha256) & (events.c.kind == EventKind.SUSPICIOUS)
            connection.execute(events.update().where(quoting).values(message=BLANKED))

    def remove(self, drop: HeldRow, *, report: bool) -> None:
        """Record that a held drop is no longer in the inbox; `report` adds an event, for a drop without a decision."""
        with self._database.writing() as connection:
            connection.execute(held.delete().where(held.c.sha256 == drop["sha256"]))
            if report:
                gone = f"{drop['name']} waited to be accepted and is no longer in the inbox. None of its rows was accepted."
                record_event(connection, EventKind.SUSPICIOUS, gone, level=Level.WARNING, drop=drop["sha256"])
