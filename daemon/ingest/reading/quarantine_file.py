"""The quarantine file of a drop, `NAME.*.bad.csv`: its bad rows verbatim, each after its line, column and reason."""

from collections.abc import Iterator

from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.tabular.checks import bad_rows


def lines(reading: Reading) -> Iterator[bytes]:
    """The lines of the file, its header first. Sets `reading.line`."""
    assert reading.header is not None
    yield bad_rows.head(reading.header)
    for line, text in bad_rows.lines(reading.drop.content, reading.header, reading.bad):
        reading.line = reading.line or line
        yield text
