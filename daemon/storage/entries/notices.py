"""Notices: messages to people that have fallen due, and their delivery to each target.

A notice has only the numbers of its events. So when rows are forgotten, no copy of their cells stays here.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select

from retraind.daemon.core.journal.notices import CURSORS, DeliveryState, NoticeKind
from retraind.daemon.core.journal_rows import DeliveryRow, NoticeRow
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries.key_values import KeyValues
from retraind.daemon.storage.journal_tables import deliveries, notices

KEPT = 1000
"""Number of newest notices that are kept."""


class Notices:
    """Notices and their deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cursors(self) -> dict[str, int]:
        """By kind of notice, the number of the last event that needs no further notice."""
        return KeyValues(self._database).get(CURSORS) or {}

    def set_cursors(self, cursors: dict[str, int]) -> None:
        """Set the cursors: up to them no event is reported again."""
        KeyValues(self._database).put(CURSORS, cursors)

    def record(self, kind: NoticeKind, count: int, first: int, last: int, targets: Sequence[str]) -> None:
        """Record a notice that is due at these targets."""
        with self._database.writing() as connection:
            values = {"token": secrets.token_hex(16), "kind": kind, "count": count, "first": first, "last": last}
            connection.execute(notices.insert(), {**values, "at": utcnow()})
            newest = int(connection.execute(select(func.max(notices.c.id))).scalar_one())
            due = [{"notice": newest, "target": target, "state": DeliveryState.DUE} for target in targets]
            if due:
                connection.execute(deliveries.insert(), due)
            connection.execute(deliveries.delete().where(deliveries.c.notice <= newest - KEPT))
            connection.execute(notices.delete().where(notices.c.id <= newest - KEPT))

    def end(self, delivery: int, state: DeliveryState, detail: str | None = None) -> None:
        """Record that a delivery is sent, or given up and why."""
        with self._database.writing() as connection:
            values = {"state": state, "detail": detail, "ended_at": utcnow()}
            connection.execute(deliveries.update().where(deliveries.c.id == delivery).values(**values))

    def note(self, delivery: int, detail: str | None) -> None:
        """Set the detail of a delivery that goes on to be due."""
        with self._database.writing() as connection:
            connection.execute(deliveries.update().where(deliveries.c.id == delivery).values(detail=detail))

    def due(self) -> list[DeliveryRow]:
        """Deliveries that are neither sent nor given up, oldest first."""
        numbers = deliveries.c.id.label("delivery"), deliveries.c.target, deliveries.c.detail
        query = select(notices, *numbers).join(deliveries, deliveries.c.notice == notices.c.id)
        return self._database.typed(
            DeliveryRow, query.where(deliveries.c.state == DeliveryState.DUE).order_by(deliveries.c.id)
        )

    def last_times(self) -> dict[NoticeKind, datetime]:
        """When the newest notice of each kind fell due, UTC."""
        query = select(notices.c.kind, func.max(notices.c.at).label("at")).group_by(notices.c.kind)
        rows = self._database.rows(query)
        known = {kind.value: kind for kind in NoticeKind}
        return {
            known[row["kind"]]: datetime.fromisoformat(row["at"]).astimezone(UTC)
            for row in rows
            if row["kind"] in known
        }

    def newest(self, limit: int) -> list[NoticeRow]:
        """The newest notices, newest first."""
        return self._database.typed(NoticeRow, select(notices).order_by(notices.c.id.desc()).limit(limit))
