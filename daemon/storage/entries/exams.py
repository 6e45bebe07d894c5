"""Exams: how the served version answered a sample of each drop."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from retraind.daemon.core.journal_rows import ExamRecord, ExamRow
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries.events import record_event
from retraind.daemon.storage.journal_tables import drops, exams

LOOKED_BACK = 10_000
"""Number of newest exams that are searched for representative ones."""


class Exams:
    """Exams of drops, newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, examined: Sequence[ExamRecord], batch: int) -> None:
        """Record the exams of a batch's drops; a suspicious one is an event. Part of the transaction that accepts the batch."""
        with self._database.writing() as connection:
            at = utcnow()
            if examined:
                connection.execute(exams.insert(), [{**exam, "batch": batch, "at": at} for exam in examined])
            for exam in examined:
                if exam["suspicious"]:
                    _report(connection, exam, batch)

    def newest(self, most: int) -> list[ExamRow]:
        """The newest exams, newest first."""
        return self._database.typed(ExamRow, select(exams).order_by(exams.c.id.desc()).limit(most))

    def representative(self, most: int) -> list[ExamRow]:
        """The newest exams that show the usual values, newest first.

        Those of pooled small drops and of forgotten drops are left out. Only the newest LOOKED_BACK are examined: with
        single-row drops, every batch has only a pooled exam.
        """
        newest = select(func.coalesce(func.max(exams.c.id), 0)).scalar_subquery()
        telling = (exams.c.id > newest - LOOKED_BACK) & (exams.c.drop != "")
        return self._database.typed(ExamRow, select(exams).where(telling).order_by(exams.c.id.desc()).limit(most))


def _report(connection: Connection, exam: ExamRecord, batch: int) -> None:
    """The event on a suspicious drop of a batch: a warning, unless a person has accepted the drop."""
    drop = (drops.c.sha256 == exam["drop"]) & (drops.c.batch == batch)
    by = connection.execute(select(drops.c.decided_by).where(drop)).scalar()
    end = f"was accepted by request ({by})" if by else "was accepted nevertheless"
    message = f"{exam['name']} is suspicious: {exam['reason']}. It {end}."
    level = Level.INFO if by else Level.WARNING
    record_event(connection, EventKind.SUSPICIOUS, message, level=level, drop=exam["drop"], batch=batch)
