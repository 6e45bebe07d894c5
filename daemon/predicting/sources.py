"""Sources: files of unlabelled rows as pieces of text cells, whatever their format."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import csv_table
from retraind.daemon.tabular.checks import bad_rows, unlabelled_rows
from retraind.daemon.tabular.checks.bad_rows import BadRecord
from retraind.daemon.tabular.file_content import Content

PIECE_BYTES = 4 << 20
"""Bytes of a CSV file that are checked and answered at a time."""


class Piece(NamedTuple):
    """Some rows of a file, in order: text cells, each row's 0-based number, and the records that are no rows."""

    cells: pa.Table
    records: NDArray[np.int64]
    torn: Sequence[BadRecord]


class Source(Protocol):
    """A file of rows; `pieces` and `report` may be called again and read it anew."""

    names: Sequence[str]
    """Its columns, in order."""
    delimiter: str
    """The one that its answers are written with."""
    start: str
    """The beginning of its answers: a byte order mark, or nothing."""
    ending: str
    """The end of each line of its answers."""
    plain: bool
    """Whether no cell needs quotes."""

    def pieces(self) -> Iterator[Piece]:
        """Its rows; raises InvalidDrop if they can't be read."""

    def report(self, bad: Sequence[BadRecord]) -> Iterator[bytes]:
        """A CSV file of these records with line, column and reason, line by line."""


class CsvSource:
    """A CSV file, read as a drop is: the same text, delimiters, quotes and torn rows."""

    def __init__(self, content: Content, schema: Schema, *, partial: bool = False) -> None:
        """Examine the whole file; raises InvalidDrop if its header does not fit. `partial`: as in `require_columns`."""
        self._content = content
        self._header = csv_table.examine(content, schema.known)
        self.names: Sequence[str] = self._header.names
        self.delimiter, self.plain = self._header.delimiter, self._header.plain
        self.start, self.ending = self._header.start, self._header.ending
        unlabelled_rows.require_columns(self.names, schema, self._header.line, partial=partial)

    def pieces(self) -> Iterator[Piece]:
        """About PIECE_BYTES at a time."""
        for chunk in csv_table.chunks(self._content, self._header, PIECE_BYTES):
            torn = [BadRecord(one.record, None, one.reason) for one in chunk.torn]
            yield Piece(chunk.table, chunk.records, torn)

    def report(self, bad: Sequence[BadRecord]) -> Iterator[bytes]:
        """The rows verbatim."""
        yield bad_rows.head(self._header)
        for _, text in bad_rows.lines(self._content, self._header, bad):
            yield text
