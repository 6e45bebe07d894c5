"""Drops by filters: an index answers a sha256 or an id, the other filters read drops newest first."""

from dataclasses import dataclass
from pathlib import Path

from retraind.daemon.core.states import DropState
from retraind.daemon.records.drops import exams
from retraind.daemon.records.drops.decided import DropFacts, ExaminedDrop
from retraind.daemon.records.query import number
from retraind.daemon.records.search import conditions
from retraind.daemon.records.search.pages import Bounds, Condition, Page, Range, Source, bounds, page

COLUMNS = "drops.*, batches.revision, batches.committed_at"
SHORTEST_SHA256 = 12
"""A key with fewer digits and nothing else is an id."""

TABLES = "drops LEFT JOIN batches ON batches.seq = drops.batch"

REACH = "SELECT MAX(batches.seq) FROM batches JOIN versions ON versions.revision = batches.revision WHERE versions.version = ?"
"""The newest batch whose rows a version was trained on."""


@dataclass(frozen=True)
class DropFilter:
    """What to list; None or an empty text: any."""

    key: str = ""
    """The id, the sha256 or its beginning."""
    name: str = ""
    """A part of the name."""
    state: DropState | None = None
    source: str | None = None
    """`file`, `http` or `label`."""
    version: int | None = None
    """Only drops that this version was trained on."""
    since: str | None = None
    until: str | None = None
    """The time of the decision: UTC, ISO 8601."""
    with_bad_rows: bool = False
    """Only drops that were rejected or had bad rows."""


def search(journal: Path, chosen: DropFilter, place: Range) -> Page[ExaminedDrop]:
    """A page of drops with their exams, newest first; raises TooSlow, sqlite3.Error."""
    source = Source(journal, COLUMNS, TABLES, "drops.id")
    listed = page(DropFacts, source, _conditions(journal, chosen), place, _within(source, chosen.key))
    examined = exams.exams(journal, [row["sha256"] for row in listed.rows])
    rows: list[ExaminedDrop] = [{**row, "exam": examined.get(row["sha256"])} for row in listed.rows]
    return Page(rows, listed.older, listed.newer, listed.complete)


def reach(journal: Path, version: int) -> int | None:
    """The newest batch that a version was trained on; None if there is no such version."""
    return number(journal, REACH, version)


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdecimal() and len(key) < SHORTEST_SHA256


def _within(source: Source, key: str) -> Bounds | None:
    """The numbers of the drops with this id, or this beginning of a sha256."""
    if _is_number(key):
        return Bounds(int(key), int(key))
    return bounds(source, [conditions.begins("drops.sha256", key.lower())]) if key else None


def _conditions(journal: Path, chosen: DropFilter) -> list[Condition]:
    fitting = conditions.during("drops.decided_at", chosen.since, chosen.until)
    if chosen.key and not _is_number(chosen.key):
        fitting.append(conditions.begins("drops.sha256", chosen.key.lower()))
    if chosen.name:
        fitting.append(conditions.contains("drops.name", chosen.name))
    if chosen.state:
        fitting.append(conditions.equal("drops.state", chosen.state))
    if chosen.source:
        fitting.append(conditions.equal("drops.source", chosen.source))
    if chosen.version is not None:
        last = reach(journal, chosen.version) or 0
        kept = "(drops.state = 'accepted' OR drops.state = 'forgotten' AND drops.forgotten_in > ?)"
        fitting.append(Condition(f"drops.batch <= ? AND {kept}", (last, last)))
    if chosen.with_bad_rows:
        fitting.append(Condition(f"(drops.state = '{DropState.REJECTED}' OR drops.rows_refused > 0)"))
    return fitting
