"""Splits and checks many small files with the same header as one text, at a fraction of the cost of single files."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.settings import Inbox as Policy
from retraind.daemon.ingest.reading.reading import Reading, certainly_refuses, refusal
from retraind.daemon.schema import labelled_row
from retraind.daemon.schema.schema import PREDICTION_ID, Schema
from retraind.daemon.tabular import csv_table, rows
from retraind.daemon.tabular.checks.bad_rows import BadRecord
from retraind.daemon.tabular.csv_table import Header
from retraind.daemon.tabular.file_content import Content


class PlainFile(NamedTuple):
    """A file that can be joined: its first line, the rest (ending in a line feed), the number of lines in the rest.

    A file with `rows` 0 can't be joined.
    """

    reading: Reading
    head: bytes
    body: bytes
    rows: int


class _Joined(NamedTuple):
    """The checked rows of several files: tables, each with the record numbers of its rows in the joined text; the bad records."""

    header: Header
    pieces: list[tuple[pa.Table, NDArray[np.int64]]]
    bad: list[BadRecord]
    records: int
    schema: Schema


def groups(readings: Sequence[Reading]) -> Iterator[list[PlainFile]]:
    """Groups of drops with the same header, to read together; a drop that can't be joined is alone."""
    by_head: dict[bytes, list[PlainFile]] = {}
    for reading in readings:
        file = _plain_file(reading)
        if file.rows:
            by_head.setdefault(file.head, []).append(file)
        else:
            yield [file]
    yield from by_head.values()


def _plain_file(reading: Reading) -> PlainFile:
    """A drop with one record on each line; 0 rows if that is uncertain."""
    data = reading.drop.content.data or b""
    head, _, body = data.partition(b"\n")
    odd = b'"' in data or b"\r" in data or b"\n\n" in data or not data[:1].strip() or PREDICTION_ID.encode() in head
    if (
        odd
        or not body
        or head.startswith((b"\xef\xbb\xbf", b"sep="))
        or reading.drop.name.endswith(labelled_row.SUFFIX)
    ):
        return PlainFile(reading, head, b"", 0)
    body += b"" if body.endswith(b"\n") else b"\n"
    return PlainFile(reading, head, body, body.count(b"\n"))


def read(
    group: Sequence[PlainFile], schema: Schema, policy: Policy, accepted_at: datetime, side_columns: Sequence[str]
) -> tuple[pa.Table, Schema] | None:
    """The good rows of files with one header, and the schema extended by them.

    None if the files must be read one by one to locate an error.
    """
    ends = np.cumsum([file.rows for file in group])
    try:
        joined = _check(group, schema, policy, side_columns)
    except InvalidDrop:
        return None
    # One of the files may be rejected whole; then none of its rows may enter the table.
    if joined.records != ends[-1] or certainly_refuses(joined.bad, policy):
        return None
    table = _divide(group, ends, joined, policy, accepted_at)
    if any(file.reading.mostly_bad for file in group):  # nothing of these counts, not even a category
        for file in group:
            file.reading.restart()
        return None
    return table, joined.schema


def _check(group: Sequence[PlainFile], schema: Schema, policy: Policy, side_columns: Sequence[str]) -> _Joined:
    text = b"".join([group[0].head, b"\n", *(file.body for file in group)])
    content, records = Content("", len(text), text), 0
    pieces: list[tuple[pa.Table, NDArray[np.int64]]] = []
    bad: list[BadRecord] = []
    header = csv_table.examine(content, {*schema.features, schema.target, PREDICTION_ID})
    for chunk in csv_table.chunks(content, header):
        records += len(chunk.records) + len(chunk.torn)
        checked = rows.check(chunk.table, schema, policy, side_columns)
        schema = checked.schema
        pieces.append((checked.table, chunk.records[checked.good]))
        bad += [BadRecord(torn.record, None, torn.reason) for torn in chunk.torn]
        bad += [BadRecord(int(chunk.records[cell.row]), cell.column, cell.reason) for cell in checked.bad]
    return _Joined(header, pieces, bad, records, schema)


def _divide(
    group: Sequence[PlainFile], ends: NDArray[np.int64], joined: _Joined, policy: Policy, accepted_at: datetime
) -> pa.Table:
    """Assign the rows to their files, and record the outcome in each file's reading."""
    starts = ends - np.array([file.rows for file in group])
    for bad_row in joined.bad:
        owner = int(np.searchsorted(ends, bad_row.record, side="right"))
        group[owner].reading.bad.append(bad_row._replace(record=bad_row.record - int(starts[owner])))
    records = np.concatenate([numbers for _, numbers in joined.pieces])
    owners = np.searchsorted(ends, records, side="right")
    counts = np.bincount(owners, minlength=len(group)).tolist()
    for file, count in zip(group, counts, strict=True):
        reading = file.reading
        reading.header, reading.rows_read, reading.rows_accepted = joined.header, file.rows, count
        reading.error = refusal(reading, policy)
    table = pa.concat_tables([table for table, _ in joined.pieces], promote_options="permissive")
    names = [file.reading.drop.sha256 for file in group]
    return rows.with_provenance(table, names, counts, records - starts[owners], accepted_at, "file")
