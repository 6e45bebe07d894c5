"""Faults of the past that no person has seen to: suspicious drops that were accepted, and files that were not answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from retraind.daemon.core.journal.acknowledgement import AcknowledgementRow
from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.states import DropState, EventKind
from retraind.daemon.records.dialect import UNSORTED
from retraind.daemon.records.query import first, number, typed
from retraind.daemon.records.search.acknowledged import UNACKNOWLEDGED

NAMED = 3
"""Number of drops that a sentence names."""

MOST = 20
"""Maximum number of faults of a kind that are listed."""

# A batch, because the event of a drop that was only held has none: its decision is the answer.
SUSPICIOUS = f"""
SELECT drops.id, drops.name, drops.batch, events.message
FROM events JOIN drops ON drops.sha256 = events."drop"
WHERE events.kind = '{EventKind.SUSPICIOUS}' AND events.batch IS NOT NULL AND {UNACKNOWLEDGED}
AND {UNSORTED}drops.state = '{DropState.ACCEPTED}' AND drops.decided_by IS NULL
ORDER BY events.id DESC LIMIT {MOST}"""

UNANSWERED = f"""
SELECT * FROM events WHERE kind = '{EventKind.UNANSWERED}' AND at >= ? AND {UNACKNOWLEDGED}
ORDER BY id DESC LIMIT {MOST}"""

# Forgotten drops are few, so their index by state is used.
FORGOTTEN = f"""
SELECT id, name, batch FROM drops
WHERE state = '{DropState.FORGOTTEN}' AND {UNSORTED}batch <= ?1 AND {UNSORTED}forgotten_in > ?1
ORDER BY id DESC LIMIT {MOST}"""


REACH = "SELECT MAX(seq) FROM batches WHERE revision = (SELECT revision FROM versions WHERE version = ?)"


class DropInData(TypedDict):
    """A drop of a batch, by its id and name."""

    id: int
    name: str
    batch: int


class SuspiciousDrop(DropInData):
    """An accepted drop with a suspicious exam, and the message of its event."""

    message: str


def suspicious(journal: Path) -> list[SuspiciousDrop]:
    """Suspicious drops in the dataset that no person has accepted, forgotten or acknowledged, newest first."""
    return typed(SuspiciousDrop, journal, SUSPICIOUS)


def unanswered(journal: Path, since: str) -> list[EventRow]:
    """Events since a time (UTC) on files to predict that were not answered and not acknowledged, newest first."""
    return typed(EventRow, journal, UNANSWERED, since)


def forgotten_since(journal: Path, batch: int) -> list[DropInData]:
    """The drops up to a batch whose rows have been forgotten after it, newest first."""
    return typed(DropInData, journal, FORGOTTEN, batch)


def trained_on_forgotten(journal: Path, version: int) -> str:
    """That a version was trained on rows that have been forgotten since, and on which; empty if it was not."""
    batch = number(journal, REACH, version)
    gone = forgotten_since(journal, batch) if batch else []
    return f"Version {version} was trained on rows that have been forgotten since: {named(gone)}." if gone else ""


def named(drops: Sequence[DropInData]) -> str:
    """The names of the newest of some drops."""
    names = ", ".join(drop["name"] for drop in drops[:NAMED])
    return f"{names} and {len(drops) - NAMED} more" if len(drops) > NAMED else names


def reach(journal: Path, revision: str) -> int:
    """The last batch in a revision; 0 if the journal does not know it."""
    return number(journal, "SELECT MAX(seq) FROM batches WHERE revision = ?", revision) or 0


def waits(journal: Path, sha256: str) -> bool:
    """Whether a drop has warnings or errors that no person has acknowledged."""
    query = f'SELECT COUNT(*) FROM events WHERE events."drop" = ? AND {UNACKNOWLEDGED}'
    return bool(number(journal, query, sha256))


def acknowledgement(journal: Path, sha256: str) -> str:
    """By whom and when an event about a drop was last acknowledged; empty if none was."""
    query = 'SELECT * FROM acknowledgements WHERE "drop" = ? ORDER BY event DESC LIMIT 1'
    row = first(AcknowledgementRow, journal, query, sha256)
    return f"{row['by']} at {row['at'][:16].replace('T', ' ')} UTC" if row else ""


@dataclass(frozen=True)
class OpenFaults:
    """What no person has seen to; lists are newest first."""

    suspicious: Sequence[SuspiciousDrop] = ()
    unanswered: Sequence[EventRow] = ()
    champion_batch: int = 0
    """The last batch that the served version was trained on; 0 if that is unknown."""
    forgotten: Sequence[DropInData] = ()
    """Drops that the served version was trained on and whose rows have been forgotten since."""


def read(journal: Path, since: str, revision: str | None) -> OpenFaults:
    """The open faults, unanswered files since a time (UTC); `revision` is the one that the served version was trained on."""
    batch = reach(journal, revision) if revision else 0
    gone = forgotten_since(journal, batch) if batch else []
    return OpenFaults(suspicious(journal), unanswered(journal, since), batch, gone)
