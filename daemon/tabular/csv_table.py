"""CSV table: splits the bytes of a drop into text cells, and finds the verbatim text of one record.

Arrow splits whole files into text only, so that no library's rules for types or missing values can change a cell.
Python's csv module reads the header, and locates the few bad records.
"""

import codecs
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.schema.schema import MOST_COLUMNS, REMARKS
from retraind.daemon.tabular import csv_records as texts
from retraind.daemon.tabular.csv_records import DELIMITERS, MOST_RECORD, records
from retraind.daemon.tabular.file_content import Content

BLOCK_BYTES = 8 << 20
"""Bytes of a file per chunk."""

ARROW_BLOCK = 1 << 20
"""Bytes that Arrow splits at a time. They fit into the processor's cache, so it is a third faster than with 8 MiB."""

MOST_TORN = 20_000
"""Maximum torn records. A file with more is another kind of file, such as a log, and is not read to its end."""

END = "end"
"""The last cell of a record appended to the file: an open quote swallows it."""


@dataclass(frozen=True)
class Header:
    """The first record of a drop: column names (stripped, in file order), and how the file is written."""

    names: tuple[str, ...]
    delimiter: str
    text: str
    """The record verbatim, without byte order mark and line end."""
    line: int
    """1-based line on which it begins."""
    body: int
    """Bytes before the first data record."""
    plain: bool = False
    """True if each line of the file is a record, because there is neither a quote nor a carriage return."""
    after: int = 0
    """Records before the header: 1 after a line such as sep=; that gives Excel the delimiter."""
    start: str = ""
    """A byte order mark, if the file begins with one: without it, Excel does not read UTF-8."""
    ending: str = "\n"
    """The end of its first line."""


@dataclass(frozen=True)
class Torn:
    """A record with too many or too few cells; `record` is its 0-based number among the data records."""

    record: int
    reason: str


@dataclass(frozen=True)
class Chunk:
    """Some records of a drop, in order: untrimmed text cells in the columns of the header.

    `records` is the number of each row, int64 (n,): 0-based, counting torn records but not empty lines.
    """

    table: pa.Table
    records: NDArray[np.int64]
    torn: list[Torn]


def examine(content: Content, columns: Collection[str]) -> Header:
    """Check every byte and return the header; the delimiter is the one that yields most of the names `columns`, or most names.

    Raises InvalidDrop for an empty file, one that is not UTF-8 or has a NUL byte, and a header that names a column
    twice or has too many.
    """
    plain = texts.examine(content)
    separator = texts.separator(content)
    headers = [
        _header(content, delimiter, plain=plain, after=int(bool(separator))) for delimiter in separator or DELIMITERS
    ]
    header = max(headers, key=lambda one: (len(set(columns).intersection(one.names)), len(one.names)))
    count = len(header.names) - len(set(REMARKS).intersection(header.names))
    if count > MOST_COLUMNS:
        reason = f"The header has {count} columns; at most {MOST_COLUMNS} are read."
        raise InvalidDrop(reason, line=header.line)
    twice = [name for name, count in Counter(header.names).items() if count > 1]
    if twice:
        raise InvalidDrop(f"The header names {twice[0]!r} twice.", line=header.line, column=twice[0])
    return header


def chunks(content: Content, header: Header, block_bytes: int = BLOCK_BYTES) -> Iterator[Chunk]:
    """All records, about `block_bytes` (at least 2) of the file at a time.

    Raises InvalidDrop for errors of the whole file: no rows at all, a quote that is never closed.
    """
    block, done = min(block_bytes, ARROW_BLOCK), 0
    while True:
        try:
            for chunk in _gather(_chunks(content, header, block), block_bytes // block):
                yield from _after(chunk, done)
                done = _next(chunk, done)
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):
                raise InvalidDrop(f"Not a CSV file: {error}") from None
            if block >= MOST_RECORD:
                _refuse_long(content, header)
            # Arrow needs each record within two blocks. Start over with larger blocks and skip the records already
            # returned.
            block = min(8 * block, MOST_RECORD)
            continue
        if not done:
            lines = " that goes over several lines: perhaps a quote is never closed" if "\n" in header.text else ""
            raise InvalidDrop(f"The file has a header and no rows{lines}.", line=header.line)
        return


def locate(content: Content, header: Header, numbers: Iterable[int]) -> Iterator[tuple[int, int, str]]:
    """Number, 1-based first line and verbatim text (without line end) of these records, ascending."""
    remaining = sorted(set(numbers), reverse=True)
    if header.plain:
        yield from texts.lines(content, header.body, header.line + 1, remaining)
        return
    numbered = enumerate(records(content, header.delimiter), start=-1 - header.after)  # the header is record -1
    for number, (line, _, text) in numbered:
        if not remaining:
            return
        if number == remaining[-1]:
            remaining.pop()
            yield number, line, text.removesuffix("\n").removesuffix("\r")


def _header(content: Content, delimiter: str, *, plain: bool, after: int) -> Header:
    with content.open() as file:
        mark = len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 else 0
    before, (line, cells, text) = 0, (1, [""], "")
    for line, cells, text in records(content, delimiter, empty=True):
        before += len(text.encode())
        if cells and (line > 1 or not after):
            break
    names = tuple(cell.strip() for cell in cells)
    ending = "\r\n" if text.endswith("\r\n") else "\n"
    start = "\ufeff" if mark else ""
    return Header(names, delimiter, text.rstrip("\r\n"), line, mark + before, plain, after, start, ending)


class _Body:
    """A file object for Arrow: the data records, then the record that ends in END."""

    closed = False
    _held = b"\n"  # an empty line, because Arrow would read a U+FEFF that begins the first cell as a byte order mark

    def __init__(self, content: Content, header: Header) -> None:
        self._file = content.open()
        self._file.seek(header.body)
        self._end = b"\n" + header.delimiter.encode() * (len(header.names) - 1) + END.encode() + b"\n"

    def read(self, size: int) -> bytes:
        block = self._held + self._file.read(size - len(self._held))
        if room := size - len(block):
            # In one piece: Arrow takes a block with only the second half of a CRLF for the end of the file.
            block, self._end = block + self._end[:room], self._end[room:]
        # Arrow drops a line feed that begins a block after one that ended in a carriage return, even inside a cell.
        self._held = b"\r" if block.endswith(b"\r") else b""
        return block.removesuffix(self._held)

    def close(self) -> None:
        self._file.close()


def _tables(content: Content, header: Header, block: int, torn: list[Torn]) -> Iterator[pa.Table]:
    """Tables of text cells; torn records are appended to `torn` before the table that they would be in."""

    def remember(row: pa.csv.InvalidRow) -> str:
        reason = f"This row has {row.actual_columns} cells; the header has {row.expected_columns}."
        torn.append(Torn(row.number - 1, reason))
        return "skip" if len(torn) <= MOST_TORN else "error"

    whole = content.size + 2 * MOST_COLUMNS if content.size <= block else 0
    names = list(header.names)
    options = (
        pa.csv.ReadOptions(use_threads=False, column_names=names, block_size=whole or block),
        pa.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=True, invalid_row_handler=remember),
        # UTF-8 was checked in `examine`.
        pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
        ),
    )
    body = _Body(content, header)
    try:
        if whole:
            yield pa.csv.read_csv(body, *options)
        else:
            yield from (pa.Table.from_batches([batch]) for batch in pa.csv.open_csv(body, *options))
    except pa.ArrowInvalid:
        if len(torn) <= MOST_TORN:
            raise
        _, line, _ = next(locate(content, header, [torn[0].record]))
        reason = f"More than {MOST_TORN} rows have too many or too few cells, the first one here: {torn[0].reason}"
        raise InvalidDrop(reason, line=line) from None
    finally:
        body.close()


def _chunks(content: Content, header: Header, block: int) -> Iterator[Chunk]:
    """The tables with their record numbers, without the END record; raises InvalidDrop if a quote swallowed it."""
    torn: list[Torn] = []
    last = Chunk(pa.table({}), np.zeros(0, np.int64), [])
    for table in _tables(content, header, block, torn):
        if table.num_rows:
            if len(last.records):
                yield last
            last = _numbered(table, _next(last, 0), torn)
    if torn or not len(last.records) or last.table.columns[-1][-1].as_py() != END:
        _refuse_open_quote(content, header)
    if len(last.records) > 1 or last.torn:
        yield Chunk(last.table.slice(0, len(last.records) - 1), last.records[:-1], last.torn)


def _numbered(table: pa.Table, start: int, torn: list[Torn]) -> Chunk:
    """A chunk whose first record has the number `start`; takes the torn records up to its last row out of `torn`."""
    rows = np.arange(table.num_rows)
    before = np.array([one.record - start - i for i, one in enumerate(torn)], np.int64)  # good rows before each
    here = int(np.searchsorted(before, len(rows)))
    records = start + rows + np.searchsorted(before[:here], rows, side="right")
    chunk = Chunk(table, records.astype(np.int64), torn[:here])
    del torn[:here]
    return chunk


def _gather(parts: Iterator[Chunk], most: int) -> Iterator[Chunk]:
    while group := list(islice(parts, max(most, 1))):
        table = pa.concat_tables(part.table for part in group)
        records = np.concatenate([part.records for part in group])
        yield Chunk(table, records, [one for part in group for one in part.torn])


def _next(chunk: Chunk, done: int) -> int:
    """The number of the record after a chunk, at least `done`."""
    following: list[int] = [done, *(chunk.records[-1:] + 1).tolist(), *(one.record + 1 for one in chunk.torn[-1:])]
    return max(following)


def _after(chunk: Chunk, done: int) -> Iterator[Chunk]:
    """The part of the chunk from record `done` on, if not empty."""
    first = int(np.searchsorted(chunk.records, done))
    torn = [one for one in chunk.torn if one.record >= done]
    if torn or first < len(chunk.records):
        yield Chunk(chunk.table.slice(first), chunk.records[first:], torn)


def _refuse_open_quote(content: Content, header: Header) -> None:
    for line, cells, _ in records(content, header.delimiter):  # noqa: B007 - the last one is used below
        pass
    column = header.names[min(len(cells), len(header.names)) - 1]
    raise InvalidDrop("A quote opens here and is never closed.", line=line, column=column)


def _refuse_long(content: Content, header: Header) -> None:
    for _ in records(content, header.delimiter):
        pass  # raises at the record that is too long
    raise InvalidDrop(f"A record has more than {MOST_RECORD} bytes: perhaps a quote is never closed.")
