"""Segments: the files of the dataset in the journal, and the revisions that hold them."""

import json
from pathlib import Path
from typing import TypedDict

from retraind.daemon.core.journal_rows import SegmentRow
from retraind.daemon.core.states import BatchState, DropState, EventKind
from retraind.daemon.records.query import ask, texts, typed

CURRENT = "SELECT * FROM segments WHERE died IS NULL"

EVER = "SELECT name, md5, sha256, bytes, born, died FROM segments ORDER BY born"

BY_BATCH = "SELECT name, sha256 FROM segments ORDER BY first"

COMMITTED = "SELECT segments.name, md5, died FROM segments WHERE born <= (SELECT MAX(seq) FROM batches WHERE state = ?)"

PURGED = """
SELECT drops.batch, drops.forgotten_in FROM drops JOIN events ON events."drop" = drops.sha256
WHERE drops.state = ? AND events.kind = ?"""

LISTED = """
SELECT name, md5 FROM segments, (SELECT MAX(seq) AS seq FROM batches WHERE dvc_md5 = ?) AS newest
WHERE born <= seq AND (died IS NULL OR died > seq)"""


class CommittedSegment(TypedDict):
    """A segment of a committed revision; `died` is the batch that replaced it (None: it is part of the dataset)."""

    name: str
    md5: str
    died: int | None


class SegmentLife(CommittedSegment):
    """A segment with its size, and the batch that wrote it."""

    sha256: str
    bytes: int
    born: int


def current(journal: Path) -> dict[str, SegmentRow]:
    """The segments of the present dataset, by name."""
    return {row["name"]: row for row in typed(SegmentRow, journal, CURRENT)}


def ever(journal: Path) -> list[SegmentLife]:
    """Every segment that was ever part of the dataset."""
    return typed(SegmentLife, journal, EVER)


def hashes(journal: Path) -> dict[str, str]:
    """The sha256 of every segment by its name, in the order of the batches whose rows they hold."""
    return {row["name"]: row["sha256"] for row in ask(journal, BY_BATCH)}


def committed(journal: Path) -> list[CommittedSegment]:
    """The segments of all committed revisions."""
    return typed(CommittedSegment, journal, COMMITTED, BatchState.COMMITTED)


def listed(journal: Path, dvc_md5: str) -> dict[str, str]:
    """Name and md5 of each segment of the revision with this list; empty if the journal does not know it."""
    return {row["name"]: row["md5"] for row in ask(journal, LISTED, dvc_md5)}


def purged(journal: Path) -> set[str]:
    """The md5 of every segment that held rows of a purged drop: no copy of it may be left."""
    by_birth, held = {row["born"]: row for row in ever(journal)}, set()
    for row in ask(journal, PURGED, DropState.FORGOTTEN, EventKind.PURGED):
        segment = by_birth.get(row["batch"])
        while segment is not None and segment["died"] is not None:
            held.add(segment["md5"])
            segment = None if segment["died"] == row["forgotten_in"] else by_birth.get(segment["died"])
    return held


def stored_schema(journal: Path) -> str | None:
    """The sha256 of the schema in the object store, which belongs to the rows; None if there is none."""
    values = texts(journal, "SELECT value FROM meta WHERE key = 'stored_schema'")
    return json.loads(values[0]) if values else None


def replaced(journal: Path, name: str) -> bool:
    """Whether a merge or an erasure has replaced this segment."""
    return bool(ask(journal, "SELECT 1 FROM segments WHERE name = ? AND died IS NOT NULL", name))
