"""The outcome of each drop: the journal's record of it and of its batch.

Shared with `web`, so that `GET /drops` and `retraind drops` show the same facts.
"""

from pathlib import Path

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DropRow
from retraind.daemon.core.states import DropState
from retraind.daemon.records import lineage
from retraind.daemon.records.dialect import UNSORTED
from retraind.daemon.records.drops.exams import Exam, Prequential, exams, prequential
from retraind.daemon.records.lineage_chain import TrainedVersions, TrainingDrop
from retraind.daemon.records.query import LAST, ask, first, typed

DROPS = (
    "SELECT drops.*, batches.revision, batches.committed_at FROM drops LEFT JOIN batches ON batches.seq = drops.batch"
)

RANK = f"drops.state = '{DropState.ACCEPTED}' DESC, drops.state = '{DropState.FORGOTTEN}' DESC"


LONGEST_ID = 18
"""Maximum number of digits of an id, for every database."""


class DropFacts(DropRow):
    """A drop, and the revision of its batch (None before the commit, and for a rejected drop).

    For a duplicate, `batch` is the batch that holds the rows.
    """

    revision: str | None
    committed_at: str | None


class ExaminedDrop(DropFacts):
    """A drop with its exam; None if it had none."""

    exam: Exam | None


def newest(journal: Path, limit: int, before: int | None = None) -> list[DropFacts]:
    """Drops, newest first; `before` is the id of the last drop already seen."""
    query = f"{DROPS} WHERE drops.id < ? ORDER BY drops.id DESC LIMIT ?"
    return typed(DropFacts, journal, query, LAST if before is None else before, limit)


def find(journal: Path, key: str | int) -> DropFacts | None:
    """The drop with this full sha256, id or name.

    Of several, the accepted one comes first, then the forgotten one, then the newest.
    """
    for column, value in (("sha256", str(key)), ("id", _id(key)), ("name", str(key))):
        query = f"{DROPS} WHERE drops.{column} = ? ORDER BY {RANK}, drops.id DESC LIMIT 1"
        if drop := first(DropFacts, journal, query, value):
            return drop
    return None


def _id(key: str | int) -> int | None:
    """The key as an id, if it is a number; only SQLite compares a column of numbers with a text."""
    text = str(key)
    return int(text) if text.isdecimal() and len(text) <= LONGEST_ID else None


def taken(journal: Path, key: str) -> list[DropFacts]:
    """The drops with this full sha256, id or name, newest first, whose rows the dataset holds or has forgotten.

    A duplicate stands for the drop that added its bytes.
    """
    meant = "SELECT sha256 FROM drops WHERE sha256 = ?1 OR id = ?2 OR name = ?1"
    # So SQLite looks for sha256; with the state's index it would read nearly all drops.
    rows = f"drops.sha256 IN ({meant}) AND {UNSORTED}drops.state IN ('{DropState.ACCEPTED}', '{DropState.FORGOTTEN}')"
    return typed(DropFacts, journal, f"{DROPS} WHERE {rows} ORDER BY drops.id DESC", key, _id(key))


def was_taken(journal: Path, sha256: str) -> bool:
    """Whether the dataset holds or held the rows of the drop with these bytes."""
    query = "SELECT 1 FROM drops WHERE sha256 = ? AND state IN (?, ?)"
    return bool(ask(journal, query, sha256, DropState.ACCEPTED, DropState.FORGOTTEN))


class Drops:
    """Drops with their outcomes."""

    def __init__(self, home: Home) -> None:
        self._home, self._journal = home, home.journal

    def newest(self, limit: int = 100, before: int | None = None) -> list[ExaminedDrop]:
        """Drops with their outcomes, newest first; `before` is the id of the last drop already seen."""
        return self._examined(newest(self._journal, limit, before))

    def find(self, key: str | int) -> ExaminedDrop | None:
        """The drop with this full sha256, id or name; of several, the accepted one, otherwise the newest."""
        drop = find(self._journal, key)
        return self._examined([drop])[0] if drop else None

    def taken(self, key: str) -> list[DropFacts]:
        """The drops with this full sha256, id or name whose rows the dataset holds or has forgotten, newest first."""
        return taken(self._journal, key)

    def versions_trained_on(self, drop: DropRow) -> TrainedVersions:
        """The number of versions trained on a drop, and the newest of them."""
        return lineage.versions_trained_on(self._home, drop)

    def until(self, batch: int, limit: int = 100) -> list[TrainingDrop]:
        """The drops whose rows a revision up to this batch holds, newest first."""
        return lineage.training_drops(self._journal, lineage.DROPS, batch, 2**62, limit)

    def prequential(self) -> Prequential | None:
        """The error of versions on drops before any training on them; see `retraind.daemon.records.drops.exams`."""
        return prequential(self._journal)

    def _examined(self, drops: list[DropFacts]) -> list[ExaminedDrop]:
        of_drop = exams(self._journal, [drop["sha256"] for drop in drops])
        return [{**drop, "exam": of_drop.get(drop["sha256"])} for drop in drops]
