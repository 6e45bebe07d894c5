"""The quarantine file of a drop, `NAME.*.bad.csv`: its bad rows verbatim, each after its line, column and reason."""

import csv
import io
from collections.abc import Iterator, Sequence

from daemon.ingest.reading.reading import Reading
from daemon.schema.schema import REMARKS
from daemon.tabular import csv_table
from daemon.tabular.csv_table import Header


def lines(reading: Reading) -> Iterator[bytes]:
    """The lines of the file, its header first. Sets `reading.line`."""
    assert reading.header is not None
    header, bad_by_record = reading.header, {bad.record: bad for bad in reading.bad}
    yield _remarked(header, REMARKS, header.text)
    for record, line, text in csv_table.locate(reading.drop.content, header, bad_by_record):
        bad, reading.line = bad_by_record[record], reading.line or line
        yield _remarked(header, (str(line), bad.column or "", bad.reason), text)


def _remarked(header: Header, remarks: Sequence[str], text: str) -> bytes:
    if header.names[: len(REMARKS)] == REMARKS:
        text = _without_remarks(header, text)
    return (_joined(header.delimiter, remarks) + header.delimiter + text + "\n").encode()


def _without_remarks(header: Header, text: str) -> str:
    """A row of a quarantine file that was dropped again, without its earlier remarks."""
    cells = next(csv.reader(io.StringIO(text, newline=""), delimiter=header.delimiter))
    return _joined(header.delimiter, cells[len(REMARKS) :])


def _joined(delimiter: str, values: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(values)
    return line.getvalue()
