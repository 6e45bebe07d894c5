"""The history for people: events, notices about them, and changes of the served version."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import TypedDict

from retraind.daemon.core.journal.notices import CURSORS, DeliveryState
from retraind.daemon.core.journal_rows import EventRow, SwapRow
from retraind.daemon.records.query import listed, newest, texts, typed

SALT = "notify_salt"
"""Key of the journal's random text that keeps the names of targets from revealing their addresses."""

DROP = 'events."drop"'
"""The column, which has the name of a command of SQL."""


class Events:
    """Events by their numbers."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def after(self, after: int = 0, limit: int = 200) -> list[EventRow]:
        """Events with an id larger than `after`, oldest first."""
        return typed(EventRow, self._journal, "SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?", after, limit)

    def newest(self, limit: int = 100) -> list[EventRow]:
        """The newest events, newest first."""
        return newest(EventRow, self._journal, "events", limit)

    def of_version(self, version: int, run: int | None, limit: int = 100) -> list[EventRow]:
        """The newest events of a version and of the run that trained it, newest first."""
        query = "SELECT * FROM events WHERE version = ? OR run = ? ORDER BY id DESC LIMIT ?"
        return typed(EventRow, self._journal, query, version, run, limit)

    def of_drop(self, sha256: str, limit: int = 100) -> list[EventRow]:
        """The newest events of a drop, newest first."""
        return typed(
            EventRow, self._journal, f"SELECT * FROM events WHERE {DROP} = ? ORDER BY id DESC LIMIT ?", sha256, limit
        )


class Swaps:
    """Changes of the served version."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def newest(self, limit: int = 100) -> list[SwapRow]:
        """Changes of the served version, newest first."""
        return newest(SwapRow, self._journal, "swaps", limit)


class Delivery(TypedDict):
    """The delivery of a notice to a target."""

    id: int
    """The number of the notice; 0 for events that wait to be one."""
    at: str
    """When it fell due; of events that wait, the time of the first one."""
    kind: str
    """One of `retraind.daemon.core.journal.notices.NoticeKind`, or one of a later release."""
    count: int
    """Events that it reports."""
    target: str
    """Empty for events that wait, which go to every target."""
    state: DeliveryState
    detail: str | None
    ended_at: str | None


def deliveries(journal: Path, limit: int) -> list[Delivery]:
    """The newest deliveries, newest first."""
    query = """
    SELECT notices.id, notices.at, notices.kind, notices.count, deliveries.target, deliveries.state, deliveries.detail,
        deliveries.ended_at
    FROM deliveries JOIN notices ON notices.id = deliveries.notice ORDER BY deliveries.id DESC LIMIT ?"""
    return typed(Delivery, journal, query, limit)


def cursors(journal: Path) -> dict[str, int]:
    """By kind of notice, the number of the last event that needs no further notice; empty before the first start."""
    values = texts(journal, "SELECT value FROM meta WHERE key = ?", CURSORS)
    return json.loads(values[0]) if values else {}


def unreported(journal: Path, after: int, kinds: Collection[str], limit: int) -> list[EventRow]:
    """The events of these kinds with a larger number, oldest first."""
    query = f"SELECT * FROM events WHERE id > ? AND kind IN ({listed(kinds)}) ORDER BY id LIMIT ?"
    return typed(EventRow, journal, query, after, *kinds, limit)


def salt(journal: Path) -> str:
    """The journal's random text for the names of targets; empty before the service has used it."""
    values = texts(journal, "SELECT value FROM meta WHERE key = ?", SALT)
    return str(json.loads(values[0])) if values else ""
