"""Swaps: the versions that the pointer has named, each with the newest batch of drops at that time."""

from sqlalchemy import func, select

from retraind.daemon.core.journal_rows import SwapRow
from retraind.daemon.core.states import BatchKind, EventKind
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries.events import record_event
from retraind.daemon.storage.entries.key_values import KeyValues
from retraind.daemon.storage.journal_tables import batches, events, swaps

AT_SWAP = "batch_at_swap"
"""Key of the newest batch of drops at the newest swap; events also have it, but are removed in time."""

_NEWEST_SWAP = select(func.max(events.c.id)).where(events.c.kind == EventKind.SERVING).scalar_subquery()
"""The newest swap among the events; their numbers give the order, because the clock may have been set back."""


class Swaps:
    """Every move of the pointer."""

    def __init__(self, database: Database, key_values: KeyValues) -> None:
        self._database = database
        self._key_values = key_values

    def record(self, version: int, previous: int | None, reason: str) -> None:
        """Record that the pointer names `version` from now on."""
        with self._database.writing() as connection:
            connection.execute(
                swaps.insert(), {"version": version, "previous": previous, "reason": reason, "at": utcnow()}
            )
            newest = select(func.coalesce(func.max(batches.c.seq), 0)).where(batches.c.kind == BatchKind.DROPS)
            self._key_values.put(AT_SWAP, int(connection.execute(newest).scalar_one()))
            record_event(connection, EventKind.SERVING, f"Version {version} is served: {reason}", version=version)

    def was_served(self, version: int) -> bool:
        """Whether a version has ever been served."""
        return self._database.one(select(swaps.c.id).where(swaps.c.version == version)) is not None

    def last(self) -> SwapRow | None:
        """The newest swap."""
        return self._database.first(SwapRow, select(swaps).order_by(swaps.c.id.desc()))

    def newest(self, limit: int) -> list[SwapRow]:
        """The newest swaps, newest first."""
        return self._database.typed(SwapRow, select(swaps).order_by(swaps.c.id.desc()).limit(limit))

    def newest_batch(self) -> int:
        """The newest batch of drops at the newest swap, 0 if there was none."""
        noted = self._key_values.get(AT_SWAP)
        return self._batch_by_events() if noted is None else int(noted)

    def _batch_by_events(self) -> int:
        """The same from the events, for an older journal without this note."""
        before = (events.c.kind == EventKind.ACCEPTED) & (events.c.id < _NEWEST_SWAP)
        row = self._database.one(select(events.c.batch).where(before).order_by(events.c.id.desc()))
        return 0 if row is None else int(row["batch"])

    def note_batch(self) -> None:
        """Note the newest batch at the newest swap if only the events have it, before they are removed."""
        if self._key_values.get(AT_SWAP) is None:
            self._key_values.put(AT_SWAP, self._batch_by_events())

    def rolled_back_since(self, version: int) -> bool:
        """Whether a version was rolled back after the newest swap."""
        rolled_back = (events.c.kind == EventKind.ROLLED_BACK) & (events.c.version == version)
        return self._database.one(select(events.c.id).where(rolled_back, events.c.id > _NEWEST_SWAP)) is not None
