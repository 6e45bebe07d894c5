"""Acknowledgements by what they are about: they end the attention that past faults ask for."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from retraind.daemon.core.journal.acknowledgement import AcknowledgementRow
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.records.query import listed, parts, typed

UNACKNOWLEDGED = (
    f"events.level != '{Level.INFO}' AND NOT EXISTS "
    "(SELECT 1 FROM acknowledgements WHERE acknowledgements.event = events.id)"
)
"""SQL: warnings and errors that no person has acknowledged."""


@dataclass(frozen=True)
class Acknowledged:
    """What people have seen to, of what was asked for."""

    rejections: dict[str, str] = field(default_factory=dict)
    """By the sha256 of a drop, the time of the newest rejection that was acknowledged."""
    losses: dict[str, str] = field(default_factory=dict)
    """The same of an accepted drop's bad rows."""
    runs: Collection[int] = frozenset()
    """Trainings whose failure was acknowledged."""
    versions: Collection[tuple[str, int]] = frozenset()
    """Kind of event and version."""

    def rejection(self, sha256: str, decided_at: str) -> bool:
        """Whether a rejection was acknowledged; a later one of the same bytes is another."""
        return decided_at <= self.rejections.get(sha256, "")

    def loss(self, sha256: str, decided_at: str) -> bool:
        """Whether the bad rows of a drop, accepted at this time, were acknowledged."""
        return decided_at <= self.losses.get(sha256, "")

    def version(self, kind: EventKind, version: int) -> bool:
        """Whether the newest event of this kind about a version was acknowledged."""
        return (kind.value, version) in self.versions


def among(journal: Path, drops: Iterable[str], runs: Iterable[int], versions: Iterable[int]) -> Acknowledged:
    """What was acknowledged of these drops (sha256), trainings and versions."""
    about_drops = _about(journal, '"drop"', drops)
    return Acknowledged(
        {row["drop"] or "": row["event_at"] for row in about_drops if row["kind"] == EventKind.REJECTED},
        {row["drop"] or "": row["event_at"] for row in about_drops if row["kind"] == EventKind.QUARANTINED},
        frozenset(row["run"] or 0 for row in _about(journal, "run", runs)),
        frozenset((str(row["kind"]), row["version"] or 0) for row in _about(journal, "version", versions)),
    )


def of_events(journal: Path, events: Iterable[int]) -> dict[int, AcknowledgementRow]:
    """The acknowledgements of these events, by number."""
    return {row["event"]: row for row in _about(journal, "event", events)}


def _about(journal: Path, column: str, values: Iterable[str | int]) -> list[AcknowledgementRow]:
    """Acknowledgements in the order of their events."""
    rows: list[AcknowledgementRow] = []
    for some in parts(list(values)):
        query = f"SELECT * FROM acknowledgements WHERE {column} IN ({listed(some)})"
        rows += typed(AcknowledgementRow, journal, query, *some)
    return sorted(rows, key=lambda row: row["event"])
