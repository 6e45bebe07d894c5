"""Segments: the present files of the dataset, and replaced ones."""

from collections.abc import Iterable

from sqlalchemy import select

from retraind.daemon.core.journal_rows import DropRow, SegmentRow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.journal_tables import segments


class Segments:
    """Segments of the dataset, past and present."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self) -> list[SegmentRow]:
        """The segments of the present dataset, in the order of their batches."""
        return self._database.typed(
            SegmentRow, select(segments).where(segments.c.died.is_(None)).order_by(segments.c.first)
        )

    def has(self, name: str) -> bool:
        """Whether a segment with this name is recorded, in the dataset or replaced."""
        return self._database.one(select(segments.c.name).where(segments.c.name == name)) is not None

    def replaced(self, names: Iterable[str]) -> set[str]:
        """Which of `names` are segments that a merge or forgetting has replaced."""
        gone = select(segments.c.name).where(segments.c.died.is_not(None))
        return {row["name"] for row in self._database.among(gone, segments.c.name, names)}

    def holders(self, drop: DropRow) -> list[SegmentRow]:
        """Every segment that held rows of a forgotten drop; none of them is in the dataset any more."""
        holders, born = [], drop["batch"]
        while born != drop["forgotten_in"]:
            segment = self._database.first(SegmentRow, select(segments).where(segments.c.born == born))
            assert segment is not None
            holders.append(segment)
            born = segment["died"]  # its replacement took over its rows
        return holders
