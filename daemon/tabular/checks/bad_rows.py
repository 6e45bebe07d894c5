"""Bad rows of a CSV file: each verbatim, after its line, column and reason, as drops and predictions report them."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from retraind.daemon.schema.schema import REMARKS
from retraind.daemon.tabular import csv_table
from retraind.daemon.tabular.csv_table import Header
from retraind.daemon.tabular.file_content import Content

MOST_BAD = 100_000
"""Maximum number of bad rows that are reported; a file with more is the wrong kind of file."""


class BadRecord(NamedTuple):
    """A rejected record; `column` is None if the record as a whole is bad."""

    record: int
    column: str | None
    reason: str


def head(header: Header) -> bytes:
    """The first line of the report."""
    return header.start.encode() + _remarked(header, REMARKS, header.text)


def lines(content: Content, header: Header, bad: Iterable[BadRecord]) -> Iterator[tuple[int, bytes]]:
    """The other lines of the report, each with the 1-based line of its row, in the order of the file."""
    by_record = {one.record: one for one in bad}
    for record, line, text in csv_table.locate(content, header, by_record):
        bad_record = by_record[record]
        yield line, _remarked(header, (str(line), bad_record.column or "", bad_record.reason), text)


def _remarked(header: Header, remarks: Sequence[str], text: str) -> bytes:
    if header.names[: len(REMARKS)] == REMARKS:
        text = _without_remarks(header, text)
    return (joined(header.delimiter, remarks) + header.delimiter + text + header.ending).encode()


def _without_remarks(header: Header, text: str) -> str:
    """A row of a report that was corrected and dropped again, without its earlier remarks."""
    cells = next(csv.reader(io.StringIO(text, newline=""), delimiter=header.delimiter))
    return joined(header.delimiter, cells[len(REMARKS) :])


def joined(delimiter: str, values: Sequence[str]) -> str:
    """Cells as a record, without the end of the line."""
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(values)
    return line.getvalue()
