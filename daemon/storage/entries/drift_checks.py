"""Drift checks: the results of comparing live inputs with the training data."""

from sqlalchemy import func, select

from retraind.daemon.core.journal_rows import DriftRecord, DriftRow
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries.events import record_event
from retraind.daemon.storage.journal_tables import drifts

DRIFTS_KEPT, DETAILS_KEPT = 1000, 10
"""Number of drift checks that are kept, and how many of them keep their detail, which is long for many columns."""


class DriftChecks:
    """The newest drift checks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, check: DriftRecord) -> None:
        """Record a drift check; the start or end of an alarm is an event."""
        with self._database.writing() as connection:
            last = self.last()
            connection.execute(drifts.insert(), {**check, "at": utcnow()})
            newest = int(connection.execute(select(func.max(drifts.c.id))).scalar_one())
            connection.execute(drifts.delete().where(drifts.c.id <= newest - DRIFTS_KEPT))
            old = (drifts.c.id <= newest - DETAILS_KEPT) & drifts.c.detail.is_not(None)
            connection.execute(drifts.update().where(old).values(detail=None))
            if bool(last and last["alarm"]) != bool(check["alarm"]):
                level, prefix = (
                    (Level.WARNING, "") if check["alarm"] else (Level.INFO, "The alarm for drift has ended: ")
                )
                record_event(
                    connection, EventKind.DRIFT, prefix + check["reason"], level=level, version=check["version"]
                )

    def last(self) -> DriftRow | None:
        """The newest drift check; if its `alarm` is set, `reason` says why the model may no longer fit its inputs."""
        return self._database.first(DriftRow, select(drifts).order_by(drifts.c.id.desc()))
