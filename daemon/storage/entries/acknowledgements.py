"""Acknowledgements: warnings and errors that a person has seen to."""

from collections.abc import Sequence

from sqlalchemy import exists, select

from retraind.daemon.core.journal.acknowledgement import AcknowledgementRow, OpenRefusal
from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.journal_tables import acknowledgements, drops, events

ACKNOWLEDGED = exists(select(acknowledgements.c.event).where(acknowledgements.c.event == events.c.id))


class Acknowledgements:
    """Who has acknowledged which event."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, after: int, until: int, limit: int) -> list[EventRow]:
        """Warnings and errors without an acknowledgement, with numbers above `after` up to `until`, oldest first."""
        numbers = (events.c.id > after) & (events.c.id <= until)
        query = select(events).where(numbers, events.c.level != Level.INFO, ~ACKNOWLEDGED)
        return self._database.typed(EventRow, query.order_by(events.c.id).limit(limit))

    def event(self, number: int) -> EventRow | None:
        """An event by its number."""
        return self._database.first(EventRow, select(events).where(events.c.id == number))

    def of_drop(self, sha256: str, limit: int) -> list[EventRow]:
        """The open warnings and errors about a drop, oldest first."""
        about = (events.c.drop == sha256) & (events.c.level != Level.INFO)
        return self._database.typed(
            EventRow, select(events).where(about, ~ACKNOWLEDGED).order_by(events.c.id).limit(limit)
        )

    def open_refusals(self, since: str, limit: int) -> list[OpenRefusal]:
        """The open events since a time (UTC) on rejected drops and on rejected rows of drops, newest first."""
        refused = events.c.kind.in_((EventKind.REJECTED, EventKind.QUARANTINED)) & (events.c.level != Level.INFO)
        figures = drops.c.name, drops.c.bad_file, drops.c.rows_accepted
        query = select(events, *figures).join(drops, drops.c.sha256 == events.c.drop)
        newest = query.where(refused, events.c.at >= since, ~ACKNOWLEDGED).order_by(events.c.id.desc())
        return self._database.typed(OpenRefusal, newest.limit(limit))

    def get(self, event: int) -> AcknowledgementRow | None:
        """The acknowledgement of an event; None without one."""
        query = select(acknowledgements).where(acknowledgements.c.event == event)
        return self._database.first(AcknowledgementRow, query)

    def newest_of_drop(self, sha256: str) -> AcknowledgementRow | None:
        """The newest acknowledgement of an event about a drop; None without one."""
        query = select(acknowledgements).where(acknowledgements.c.drop == sha256)
        return self._database.first(AcknowledgementRow, query.order_by(acknowledgements.c.event.desc()))

    def record(self, some: Sequence[EventRow], by: str) -> None:
        """Record that a person has seen to these events, none of which is acknowledged."""
        if not some:
            return
        at = utcnow()
        rows = [{**_subject(row), "by": by, "at": at} for row in some]
        with self._database.writing() as connection:
            connection.execute(acknowledgements.insert(), rows)


def _subject(row: EventRow) -> dict[str, object]:
    about = {"drop": row["drop"], "run": row["run"], "version": row["version"]}
    return {"event": row["id"], "kind": row["kind"], "event_at": row["at"], **about}
