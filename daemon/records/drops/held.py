"""Drops that wait for a person: see `retraind.daemon.ingest.held_drops`."""

from pathlib import Path
from typing import TypedDict

from retraind.daemon.core.states import Hold
from retraind.daemon.records.query import number, texts, typed

HELD = f"SELECT sha256, name, state, bytes, rows_read, rows_known, version, reason, seen_at, held_at FROM held WHERE state = '{Hold.WAITING}'"


class HeldDrop(TypedDict):
    """A drop that waits for a person, and why."""

    sha256: str
    name: str
    state: Hold
    bytes: int
    rows_read: int
    rows_known: int
    version: int
    reason: str
    seen_at: str | None
    held_at: str


class HeldAsDrop(HeldDrop):
    """A held drop with the columns of a decided drop."""

    id: None
    line: None
    column: None
    batch: None
    bad_file: None
    revision: None
    committed_at: None
    decided_by: None
    origin: None
    rows_accepted: int
    rows_refused: int
    rows_duplicate: int
    rows_relabelled: int
    settled_at: str
    decided_at: str


def held(journal: Path, limit: int) -> list[HeldDrop]:
    """The drops that wait for a person, longest first, and why: see `retraind.daemon.ingest.held_drops`."""
    return typed(HeldDrop, journal, f"{HELD} ORDER BY held_at, sha256 LIMIT ?", limit)


def held_total(journal: Path) -> int:
    """The number of waiting drops."""
    return number(journal, "SELECT COUNT(*) FROM held WHERE state = ?", Hold.WAITING) or 0


def held_names(journal: Path) -> set[str]:
    """The names of their files."""
    return set(texts(journal, "SELECT name FROM held WHERE state = ?", Hold.WAITING))


def held_like(journal: Path, key: str) -> list[HeldDrop]:
    """The held drop with this full sha256, otherwise those with this name.

    A file's name may equal another file's sha256.
    """
    by_sha256 = typed(HeldDrop, journal, f"{HELD} AND sha256 = ?", key)
    return by_sha256 or typed(HeldDrop, journal, f"{HELD} AND name = ? ORDER BY held_at", key)


def as_drop(row: HeldDrop) -> HeldAsDrop:
    """A held drop with the columns of a decided drop, for a table of both; none of its rows was accepted."""
    return {
        **row,
        "rows_accepted": 0,
        "rows_refused": 0,
        "rows_duplicate": 0,
        "rows_relabelled": 0,
        "id": None,
        "line": None,
        "column": None,
        "batch": None,
        "bad_file": None,
        "revision": None,
        "committed_at": None,
        "decided_by": None,
        "origin": None,
        "settled_at": row["held_at"],
        "decided_at": row["held_at"],
    }


class HeldDrops:
    """Drops that wait for a person."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def oldest(self, limit: int) -> list[HeldDrop]:
        """Drops that wait for a person, longest first."""
        return held(self._journal, limit)

    def like(self, key: str) -> list[HeldDrop]:
        """Those of them with this full sha256 or name."""
        return held_like(self._journal, key)

    def total(self) -> int:
        """The number of waiting drops."""
        return held_total(self._journal)

    def names(self) -> set[str]:
        """The names of their files."""
        return held_names(self._journal)
