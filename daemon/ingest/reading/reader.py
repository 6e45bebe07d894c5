"""Reading: the drops of one batch to checked rows with their provenance, and what became of each drop.

Many small files with the same header are split and checked as one text, which costs a fraction of doing so file
by file; a large file comes in parts, so that memory stays bounded.
"""

import csv
import io
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from daemon.core.errors import InvalidDrop
from daemon.core.settings import Inbox as Policy
from daemon.inbox.inbox import Drop
from daemon.ingest.reading.late_labels import Joined
from daemon.schema import labelled_row
from daemon.schema.labelled_row import Sample
from daemon.schema.schema import PREDICTION_ID, REMARKS, Schema
from daemon.tabular import csv_records as texts
from daemon.tabular import csv_table, rows, schema_growth
from daemon.tabular.csv_table import Header
from daemon.tabular.file_content import Content

MOST_BAD = 100_000
"""Bad rows of one drop that are put into quarantine; with more, it is another kind of file."""

MOST_LABELS = 250_000
"""Late labels of one drop."""

PIECE_ROWS = 65_536
"""Rows that are checked at a time, so that a file of bad ones is given up soon."""

LABEL_BYTES = 1 << 20
"""Late labels that are looked up at a time: a few seconds' worth, for the loop has other things to do in between."""

Join = Callable[[Sequence[str], Sequence[str], Schema, Mapping[str, str]], Joined]
"""`daemon.ingest.reading.late_labels.Labels.join`."""


class Bad(NamedTuple):
    """A record that was refused; `column` None: the record as a whole."""

    record: int
    column: str | None
    reason: str


@dataclass
class Reading:
    """What one drop comes to. `error`: it is refused whole."""

    drop: Drop
    source: Literal["file", "http", "label"] = "file"
    header: Header | None = None
    rows_read: int = 0
    rows_accepted: int = 0
    rows_duplicate: int = 0
    rows_known: int = 0
    """That the dataset had already, whether they were taken again or not."""
    rows_relabelled: int = 0
    """Whose features the dataset had, with another target only."""
    rows_left_out: int = 0
    """Known ones that were not taken again."""
    bad: list[Bad] = field(default_factory=list)
    labelled: list[dict[str, str | int]] = field(default_factory=list)
    truths: dict[str, str] = field(default_factory=dict)
    """What `labelled` says of each prediction id."""
    line: int | None = None
    """Of the first bad record, 1-based; known once the drop was refused or its bad rows were written out."""
    error: InvalidDrop | None = None

    @property
    def repeats(self) -> bool:
        """Whether it is a good drop that only says what is known already."""
        return self.error is None and not self.rows_accepted


class Reader:
    """Reads the drops of one batch; `schema` grows where the policy lets it."""

    def __init__(
        self, schema: Schema, policy: Policy, join: Join, accepted_at: datetime, beside: Sequence[str] = ()
    ) -> None:
        self.schema = schema
        self._beside = beside
        self._policy, self._join, self._at = policy, join, accepted_at
        self._pending: dict[str, str] = {}

    def read(self, drops: Sequence[Drop]) -> tuple[list[Reading], pa.Table | None]:
        """Small drops and all their good rows in one table (None: there are none)."""
        readings = [Reading(drop) for drop in drops]
        tables: list[pa.Table] = []
        for group in _groups(readings):
            table = self._together(group) if len(group) > 1 else None
            if table is not None:
                tables.append(table)
                continue
            for plain in group:
                parts = list(self.stream(plain.reading))
                tables += parts if plain.reading.error is None else []
        filled = [table for table in tables if table.num_rows]
        if not filled:
            return readings, None
        return readings, pa.concat_tables(filled, promote_options="permissive").unify_dictionaries()

    def stream(self, reading: Reading) -> Iterator[pa.Table]:
        """The good rows of one drop in parts; whether they count is known at the end: see `reading.error`."""
        before = self.schema
        try:
            if reading.drop.name.endswith(labelled_row.SUFFIX):
                yield self._sample(reading)
            else:
                yield from self._csv(reading)
            _conclude(reading, self._policy)
        except InvalidDrop as error:
            reading.error, reading.line = error, error.line or reading.line
            reading.rows_read = max(reading.rows_read, _rows(reading))
            reading.rows_accepted, reading.labelled, reading.truths, self.schema = 0, [], {}, before
        self._pending |= reading.truths

    def _sample(self, reading: Reading) -> pa.Table:
        reading.source, reading.rows_read = "http", 1
        data = reading.drop.content.data or b""
        try:
            table = rows.sample_cells(Sample.model_validate(orjson.loads(data)), self.schema)
        except (orjson.JSONDecodeError, ValidationError) as error:
            raise InvalidDrop(f"Not a sample: {str(error).splitlines()[0]}.") from None
        return self._check(reading, table, np.zeros(1, dtype=np.int64))

    def _csv(self, reading: Reading) -> Iterator[pa.Table]:
        content = reading.drop.content
        columns = {*self.schema.features, self.schema.target, PREDICTION_ID}
        header = reading.header = csv_table.examine(content, columns)
        labels = PREDICTION_ID in header.names and PREDICTION_ID not in self.schema.features
        self._match(reading, header, labels=labels)
        check = self._check_labels if labels else self._check
        for chunk in csv_table.chunks(content, header, LABEL_BYTES if labels else csv_table.BLOCK_BYTES):
            reading.rows_read += len(chunk.records) + len(chunk.torn)
            reading.bad += [Bad(torn.record, None, torn.reason) for torn in chunk.torn]
            for begin in range(0, max(1, len(chunk.records)), PIECE_ROWS):
                piece = slice(begin, begin + PIECE_ROWS)
                yield check(reading, chunk.table.slice(begin, PIECE_ROWS), chunk.records[piece])
                _stop_early(reading, self._policy)

    def _match(self, reading: Reading, header: Header, *, labels: bool) -> None:
        """Raise InvalidDrop at once if the header does not fit; add what the policy adds, by a look at the whole drop."""
        if labels:
            if self.schema.target not in header.names:
                reason = f"Late labels need the target: the column {self.schema.target!r} is missing."
                raise InvalidDrop(reason, line=header.line, column=self.schema.target)
            return
        content = reading.drop.content
        empty = pa.table({name: pa.array([], pa.string()) for name in header.names})

        def parts() -> Iterator[pa.Table]:
            return (chunk.table for chunk in csv_table.chunks(content, header))

        looked_at = parts if content.data is None else None
        grown = schema_growth.with_columns(empty, self.schema, self._policy, looked_at, self._beside)
        if content.data is None:
            self.schema = grown

    def _check(self, reading: Reading, table: pa.Table, records: NDArray[np.int64]) -> pa.Table:
        checked = rows.check(table, self.schema, self._policy, self._beside)
        self.schema = checked.schema
        reading.bad += [Bad(int(records[bad.row]), bad.column, bad.reason) for bad in checked.bad]
        return self._proven(reading, checked.table, records[checked.good])

    def _check_labels(self, reading: Reading, table: pa.Table, records: NDArray[np.int64]) -> pa.Table:
        reading.source = "label"
        ids, truths = (table[name].to_pylist() for name in (PREDICTION_ID, self.schema.target))
        joined = self._join(ids, truths, self.schema, ChainMap(reading.truths, self._pending))
        reading.bad += [Bad(int(records[bad.row]), bad.column, bad.reason) for bad in joined.bad]
        reading.rows_duplicate += joined.duplicates
        checked = rows.check(joined.cells, self.schema, self._policy)
        self.schema = checked.schema
        labelled = records[joined.rows]
        reading.bad += [Bad(int(labelled[bad.row]), bad.column, bad.reason) for bad in checked.bad]
        for row in checked.good.tolist():
            record = joined.records[row]
            reading.labelled.append({**record, "drop": reading.drop.sha256})
            reading.truths[str(record["prediction_id"])] = str(record["truth"])
        if len(reading.labelled) > MOST_LABELS:
            raise InvalidDrop(f"It has more than {MOST_LABELS} labels, which memory has to hold: split the file.")
        return self._proven(reading, checked.table, labelled[checked.good])

    def _proven(self, reading: Reading, table: pa.Table, records: NDArray[np.int64]) -> pa.Table:
        reading.rows_accepted += len(records)
        return rows.with_provenance(table, [reading.drop.sha256], [len(records)], records, self._at, reading.source)

    # Many files as one

    def _together(self, group: list["_Plain"]) -> pa.Table | None:
        """The good rows of files with one header; None where they have to be read one by one to say what is wrong."""
        text = b"".join([group[0].head, b"\n", *(plain.body for plain in group)])
        content = Content("", len(text), text)
        before, ends = self.schema, np.cumsum([plain.rows for plain in group])
        pieces: list[tuple[pa.Table, NDArray[np.int64]]] = []
        bad: list[Bad] = []
        try:
            header = csv_table.examine(content, {*self.schema.features, self.schema.target, PREDICTION_ID})
            total = 0
            for chunk in csv_table.chunks(content, header):
                total += len(chunk.records) + len(chunk.torn)
                checked = rows.check(chunk.table, self.schema, self._policy, self._beside)
                self.schema = checked.schema
                pieces.append((checked.table, chunk.records[checked.good]))
                bad += [Bad(torn.record, None, torn.reason) for torn in chunk.torn]
                bad += [Bad(int(chunk.records[one.row]), one.column, one.reason) for one in checked.bad]
        except InvalidDrop:
            self.schema = before
            return None
        if total != ends[-1] or (bad and self._policy.bad_rows == "reject_file"):
            self.schema = before
            return None
        return self._divide(group, ends, header, pieces, bad)

    def _divide(
        self,
        group: list["_Plain"],
        ends: NDArray[np.int64],
        header: Header,
        pieces: list[tuple[pa.Table, NDArray[np.int64]]],
        bad: list[Bad],
    ) -> pa.Table:
        """Give each file its rows back, and say of each what became of it."""
        starts = ends - np.array([plain.rows for plain in group])
        for bad_row in bad:
            owner = int(np.searchsorted(ends, bad_row.record, side="right"))
            group[owner].reading.bad.append(bad_row._replace(record=bad_row.record - int(starts[owner])))
        records = np.concatenate([numbers for _, numbers in pieces])
        owners = np.searchsorted(ends, records, side="right")
        counts = np.bincount(owners, minlength=len(group))
        for plain, count in zip(group, counts.tolist(), strict=True):
            reading = plain.reading
            reading.header, reading.rows_read, reading.rows_accepted = header, plain.rows, count
            if reading.bad:
                _settle(reading, self._policy)
        table = pa.concat_tables([table for table, _ in pieces], promote_options="permissive")
        names = [plain.reading.drop.sha256 for plain in group]
        return rows.with_provenance(table, names, counts.tolist(), records - starts[owners], self._at, "file")


class _Plain(NamedTuple):
    """A file that can be joined with others: its first line, the rest (ending in a line feed), and how many lines that is."""

    reading: Reading
    head: bytes
    body: bytes
    rows: int


def _groups(readings: list[Reading]) -> Iterator[list[_Plain]]:
    """Drops to be read together, all with the same header; a drop that is not plain is alone."""
    groups: dict[bytes, list[_Plain]] = {}
    for reading in readings:
        plain = _plain(reading)
        if plain.rows:
            groups.setdefault(plain.head, []).append(plain)
        else:
            yield [plain]
    yield from groups.values()


def _plain(reading: Reading) -> _Plain:
    """A drop of which each line is one record; anything that makes that uncertain gives a count of 0."""
    data = reading.drop.content.data or b""
    head, _, body = data.partition(b"\n")
    odd = b'"' in data or b"\r" in data or b"\n\n" in data or not data[:1].strip() or PREDICTION_ID.encode() in head
    if (
        odd
        or not body
        or head.startswith((b"\xef\xbb\xbf", b"sep="))
        or reading.drop.name.endswith(labelled_row.SUFFIX)
    ):
        return _Plain(reading, head, b"", 0)
    body += b"" if body.endswith(b"\n") else b"\n"
    return _Plain(reading, head, body, body.count(b"\n"))


def _stop_early(reading: Reading, policy: Policy) -> None:
    """Raise InvalidDrop as soon as it is certain that the drop is refused."""
    if len(reading.bad) > MOST_BAD or (reading.bad and policy.bad_rows == "reject_file"):
        _conclude(reading, policy)


def _conclude(reading: Reading, policy: Policy) -> None:
    """Order the bad records; raise InvalidDrop if nothing of the drop is to be taken."""
    if not reading.bad:
        return
    reading.bad.sort(key=lambda bad: bad.record)
    first = reading.bad[0]
    if len(reading.bad) > MOST_BAD:
        reason = f"More than {MOST_BAD} rows are bad, the first because: {first.reason}"
        raise InvalidDrop(reason, line=_line(reading), column=first.column)
    if policy.bad_rows == "reject_file" or not reading.rows_accepted:
        raise InvalidDrop(first.reason, line=_line(reading), column=first.column)


def _settle(reading: Reading, policy: Policy) -> None:
    try:
        _conclude(reading, policy)
    except InvalidDrop as error:
        reading.error = error


def _rows(reading: Reading) -> int:
    """How many rows a refused file has, also those that were not looked at any more; 0 for what has no header."""
    return texts.count(reading.drop.content, reading.header.body) if reading.header else 0


def _line(reading: Reading) -> int | None:
    if reading.header is None:
        return None
    return next(line for _, line, _ in csv_table.locate(reading.drop.content, reading.header, [reading.bad[0].record]))


def quarantined(reading: Reading) -> Iterator[bytes]:
    """The lines of `NAME.*.bad.csv`: line, column and reason before each refused row, which stands there verbatim."""
    assert reading.header is not None
    header, why = reading.header, {bad.record: bad for bad in reading.bad}
    yield _remarked(header, REMARKS, header.text)
    for record, line, text in csv_table.locate(reading.drop.content, header, why):
        bad, reading.line = why[record], reading.line or line
        yield _remarked(header, (str(line), bad.column or "", bad.reason), text)


def _remarked(header: Header, remarks: Sequence[str], text: str) -> bytes:
    if header.names[: len(REMARKS)] == REMARKS:
        text = _without_remarks(header, text)
    return (_joined(header.delimiter, remarks) + header.delimiter + text + "\n").encode()


def _without_remarks(header: Header, text: str) -> str:
    """A row of a quarantine file that was dropped again, without the remarks of last time."""
    cells = next(csv.reader(io.StringIO(text, newline=""), delimiter=header.delimiter))
    return _joined(header.delimiter, cells[len(REMARKS) :])


def _joined(delimiter: str, values: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(values)
    return line.getvalue()
