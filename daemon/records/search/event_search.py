"""Events by filters: an index answers the kind, the other filters read events newest first."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from retraind.daemon.core.journal.acknowledgement import AcknowledgementRow
from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.records.search import acknowledged, conditions
from retraind.daemon.records.search.acknowledged import UNACKNOWLEDGED
from retraind.daemon.records.search.pages import Condition, Page, Range, Source, page


@dataclass(frozen=True)
class EventFilter:
    """What to list; None or an empty text: any."""

    number: int | None = None
    kinds: Collection[EventKind] = ()
    levels: Collection[Level] = ()
    text: str = ""
    """A part of the message."""
    drop: str = ""
    """The sha256 of a drop, or its beginning."""
    run: int | None = None
    version: int | None = None
    since: str | None = None
    until: str | None = None
    """UTC, ISO 8601."""
    unacknowledged: bool = False
    """Only warnings and errors that no person has acknowledged."""


class ListedEvent(EventRow):
    """An event, and when and by whom it was acknowledged; None if it was not."""

    acknowledged_at: str | None
    acknowledged_by: str | None


def search(journal: Path, chosen: EventFilter, place: Range) -> Page[ListedEvent]:
    """A page of events, newest first; raises TooSlow, sqlite3.Error."""
    events = page(EventRow, Source(journal, "events.*", "events", "events.id"), _conditions(chosen), place)
    known = acknowledged.of_events(journal, [row["id"] for row in events.rows if row["level"] != Level.INFO])
    rows = [_listed(row, known.get(row["id"])) for row in events.rows]
    return Page(rows, events.older, events.newer, events.complete)


def _listed(row: EventRow, known: AcknowledgementRow | None) -> ListedEvent:
    return {
        **row,
        "acknowledged_at": known["at"] if known else None,
        "acknowledged_by": known["by"] if known else None,
    }


def _conditions(chosen: EventFilter) -> list[Condition]:
    fitting = conditions.during("events.at", chosen.since, chosen.until)
    if chosen.number is not None:
        fitting.append(conditions.equal("events.id", chosen.number))
    if chosen.kinds:
        fitting.append(conditions.among("events.kind", chosen.kinds))
    if chosen.levels:
        fitting.append(conditions.among("events.level", chosen.levels))
    if chosen.text:
        fitting.append(conditions.contains("events.message", chosen.text))
    if chosen.drop:
        fitting.append(conditions.begins('events."drop"', chosen.drop.lower()))
    for column, value in (("events.run", chosen.run), ("events.version", chosen.version)):
        if value is not None:
            fitting.append(conditions.equal(column, value))
    if chosen.unacknowledged:
        fitting.append(Condition(UNACKNOWLEDGED))
    return fitting
