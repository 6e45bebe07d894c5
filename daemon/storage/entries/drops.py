"""Drops: the outcome of every file or HTTP body with rows."""

from collections.abc import Iterable

from sqlalchemy import select

from retraind.daemon.core.journal_rows import DropRecord, DropRow
from retraind.daemon.core.states import DropState, EventKind, Hold, Level
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries.events import record_event
from retraind.daemon.storage.journal_tables import drops, held


class Drops:
    """Drops and their outcomes; a batch records those that it accepts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def refuse(self, drop: DropRecord, state: DropState, message: str, *, batch: int | None = None) -> None:
        """Record a drop that adds nothing: `rejected` (with reason) or `duplicate` (of a drop in `batch`)."""
        with self._database.writing() as connection:
            connection.execute(drops.insert(), {**drop, "state": state, "batch": batch, "decided_at": utcnow()})
            let_in = (held.c.sha256 == drop["sha256"]) & (held.c.state == Hold.LET_IN)
            connection.execute(held.delete().where(let_in))
            by_rule = state == DropState.REJECTED and not drop.get("decided_by")
            level = Level.WARNING if by_rule else Level.INFO
            record_event(connection, EventKind(state), message, level=level, drop=drop["sha256"], batch=batch)

    def batches_of(self, sha256s: Iterable[str]) -> dict[str, int]:
        """For each of these drops (sha256) that a batch holds, that batch."""
        query = select(drops.c.sha256, drops.c.batch).where(drops.c.state == DropState.ACCEPTED)
        return {row["sha256"]: row["batch"] for row in self._database.among(query, drops.c.sha256, sha256s)}

    def rejection(self, name: str, sha256: str) -> DropRow | None:
        """The newest record of a file with this name and these bytes that was rejected whole."""
        same = (drops.c.sha256 == sha256) & (drops.c.name == name) & (drops.c.state == DropState.REJECTED)
        return self._database.first(DropRow, select(drops).where(same).order_by(drops.c.id.desc()))

    def last_decided_at(self) -> str | None:
        """The time of the newest decision on a drop, UTC; None before the first."""
        row = self._database.one(select(drops.c.decided_at).order_by(drops.c.id.desc()))
        return None if row is None else str(row["decided_at"])

    def taken(self, sha256: str) -> DropRow | None:
        """The drop with these bytes whose rows the dataset holds, or held until they were forgotten."""
        in_dataset = drops.c.state.in_((DropState.ACCEPTED, DropState.FORGOTTEN))
        return self._database.first(DropRow, select(drops).where(drops.c.sha256 == sha256, in_dataset))

    def of_batch(self, seq: int) -> list[DropRow]:
        """The accepted drops of one batch."""
        return self._database.typed(
            DropRow, select(drops).where(drops.c.batch == seq, drops.c.state == DropState.ACCEPTED)
        )
