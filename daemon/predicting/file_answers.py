"""File answers: the rows of a source, answered piece by piece, as the lines of a CSV file; bad rows are counted and kept.

Memory stays bounded by a piece and by MOST_BAD, however long the file is.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.predicting import csv_lines
from retraind.daemon.predicting.answers import Answered, Answerer
from retraind.daemon.predicting.sources import Piece, Source
from retraind.daemon.schema.schema import PREDICTION_ID, REMARKS
from retraind.daemon.tabular.checks.bad_rows import MOST_BAD, BadRecord
from retraind.daemon.tabular.schema_growth import texts

Log = Callable[[Answered], pa.Array]
"""Logs answered rows durably before they are written; returns their prediction ids (n,)."""


@dataclass
class Summary:
    """The counts of one file; `bad` are the rows without an answer, in the order of the file."""

    version: int
    rows: int = 0
    answered: int = 0
    bad: list[BadRecord] = field(default_factory=list)


class FileAnswers:
    """Answers one source; iterate over `lines` to its end, then `summary` is complete."""

    def __init__(self, source: Source, answerer: Answerer, log: Log | None = None) -> None:
        """Raise InvalidDrop if the file has a column with the name of an answer."""
        self._source, self._answerer, self._log = source, answerer, log
        self._answers = [*([PREDICTION_ID] if log else []), *answerer.columns]
        self._kept = [name for name in source.names if name not in REMARKS]
        for name in self._kept:
            if name in self._answers:
                raise InvalidDrop(
                    f"The file has a column {name!r}, the name of an answer's column: rename or remove it.", column=name
                )
        self.summary = Summary(answerer.version.number)

    def lines(self) -> Iterator[bytes]:
        """The answers as CSV: a header, then many lines at a time. Raises InvalidDrop if the file can't be answered."""
        source = self._source
        yield source.start.encode() + csv_lines.head([*self._kept, *self._answers], source.delimiter, source.ending)
        for piece, answered in self._ahead():
            self._note(piece, answered)
            if len(answered.good):
                yield self._lines(piece, answered)
        if self.summary.bad and not self.summary.answered:
            first = self.summary.bad[0]
            raise InvalidDrop(f"No row is good, the first because: {first.reason}", column=first.column)

    def _ahead(self) -> Iterator[tuple[Piece, Answered]]:
        """Each piece with its answers, while the next is read: Arrow and the models leave the interpreter to others."""
        with ThreadPoolExecutor(1, "answers") as thread:
            waiting = None
            for piece in self._source.pieces():
                ahead = piece, thread.submit(self._answerer.answer, piece.cells)
                if waiting is not None:
                    yield waiting[0], waiting[1].result()
                waiting = ahead
            if waiting is not None:
                yield waiting[0], waiting[1].result()

    def _note(self, piece: Piece, answered: Answered) -> None:
        summary = self.summary
        bad = [BadRecord(int(piece.records[cell.row]), cell.column or None, cell.reason) for cell in answered.bad]
        summary.rows += len(piece.records) + len(piece.torn)
        summary.answered += len(answered.good)
        summary.bad += sorted([*piece.torn, *bad], key=lambda one: one.record)
        if len(summary.bad) > MOST_BAD:
            raise InvalidDrop(f"More than {MOST_BAD} rows are bad, the first because: {summary.bad[0].reason}")

    def _lines(self, piece: Piece, answered: Answered) -> bytes:
        cells = piece.cells.select(self._kept)
        cells = cells if len(answered.good) == len(cells) else cells.take(pa.array(answered.good))
        ids = [self._log(answered)] if self._log else []
        answers = [*ids, *self._answerer.texts(answered, self._source.delimiter)]
        columns = [*(texts(cells, name) for name in self._kept), *answers]
        plain = [self._source.plain] * len(self._kept) + [False] * len(answers)
        return csv_lines.body(columns, self._source.delimiter, plain, self._source.ending)
