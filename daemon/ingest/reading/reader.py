"""The reader: turns the drops of one batch into checked rows with their provenance, and the outcome of each drop.

A large file is read in parts, so that memory stays bounded. `daemon/tabular/rows.py` decides why a single row or cell
is bad, `daemon/ingest/reading/reading.py` when bad rows reject the whole drop, and `daemon/ingest/drop_opening.py`
which drops are rejected before their rows are read. `refused_drops.py` there records them all.
"""

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.journal_rows import JoinedLabel
from retraind.daemon.core.settings import Inbox as Policy
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.ingest.reading import joined_files
from retraind.daemon.ingest.reading.late_labels import Joined
from retraind.daemon.ingest.reading.reading import Reading, count_rows, require_good, stop_early
from retraind.daemon.schema import labelled_row
from retraind.daemon.schema.labelled_row import Sample
from retraind.daemon.schema.schema import PREDICTION_ID, Schema
from retraind.daemon.tabular import csv_table, rows, schema_growth
from retraind.daemon.tabular.checks.bad_rows import BadRecord
from retraind.daemon.tabular.csv_table import Header

MOST_LABELS = 250_000
"""Maximum number of late labels in one drop."""

PIECE_ROWS = 65_536
"""Rows that are checked at a time, so that a file of bad rows is rejected early."""

LABEL_BYTES = 1 << 20
"""Late labels per lookup: a few seconds of work, because the loop has other work in between."""

Join = Callable[[Sequence[str], Sequence[str], Schema, Mapping[str, str]], Joined]
"""`retraind.daemon.ingest.reading.late_labels.Labels.join`."""


class Reader:
    """Reads the drops of one batch; `schema` grows as the policy allows."""

    def __init__(
        self, schema: Schema, policy: Policy, join: Join, accepted_at: datetime, side_columns: Sequence[str] = ()
    ) -> None:
        self.schema = schema
        self._side_columns = side_columns
        self._policy, self._join, self._at = policy, join, accepted_at
        self._pending: dict[str, str] = {}

    def read(self, drops: Sequence[Drop]) -> tuple[list[Reading], pa.Table | None]:
        """Read small drops into one table of all their good rows (None if there are none)."""
        readings = [Reading(drop) for drop in drops]
        tables: list[pa.Table] = []
        for group in joined_files.groups(readings):
            joined = (
                joined_files.read(group, self.schema, self._policy, self._at, self._side_columns)
                if len(group) > 1
                else None
            )
            if joined is not None:
                table, self.schema = joined
                tables.append(table)
                continue
            for file in group:
                parts = list(self.stream(file.reading))
                tables += parts if file.reading.error is None else []
        filled = [table for table in tables if table.num_rows]
        if not filled:
            return readings, None
        return readings, pa.concat_tables(filled, promote_options="permissive").unify_dictionaries()

    def stream(self, reading: Reading) -> Iterator[pa.Table]:
        """The good rows of one drop in parts; `reading.error` tells at the end whether they count."""
        before = self.schema
        try:
            if reading.drop.name.endswith(labelled_row.SUFFIX):
                yield self._sample(reading)
            else:
                yield from self._csv(reading)
            require_good(reading, self._policy)
        except InvalidDrop as error:
            reading.error, reading.line = error, error.line or reading.line
            reading.rows_read = max(reading.rows_read, count_rows(reading))
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
            reading.bad += [BadRecord(torn.record, None, torn.reason) for torn in chunk.torn]
            for begin in range(0, max(1, len(chunk.records)), PIECE_ROWS):
                piece = slice(begin, begin + PIECE_ROWS)
                yield check(reading, chunk.table.slice(begin, PIECE_ROWS), chunk.records[piece])
                stop_early(reading, self._policy)

    def _match(self, reading: Reading, header: Header, *, labels: bool) -> None:
        """Raise InvalidDrop at once if the header does not fit; add the columns that the policy allows, after a look at the whole drop."""
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
        grown = schema_growth.with_columns(empty, self.schema, self._policy, looked_at, self._side_columns)
        if content.data is None:
            self.schema = grown

    def _check(self, reading: Reading, table: pa.Table, records: NDArray[np.int64]) -> pa.Table:
        checked = rows.check(table, self.schema, self._policy, self._side_columns)
        self.schema = checked.schema
        reading.bad += [BadRecord(int(records[bad.row]), bad.column, bad.reason) for bad in checked.bad]
        return self._with_provenance(reading, checked.table, records[checked.good])

    def _check_labels(self, reading: Reading, table: pa.Table, records: NDArray[np.int64]) -> pa.Table:
        reading.source = "label"
        ids, truths = (table[name].to_pylist() for name in (PREDICTION_ID, self.schema.target))
        joined = self._join(ids, truths, self.schema, ChainMap(reading.truths, self._pending))
        reading.bad += [BadRecord(int(records[bad.row]), bad.column, bad.reason) for bad in joined.bad]
        reading.rows_duplicate += joined.duplicates
        reading.unknown += joined.unknown
        checked = rows.check(joined.cells, self.schema, self._policy)
        self.schema = checked.schema
        labelled = records[joined.rows]
        reading.bad += [BadRecord(int(labelled[bad.row]), bad.column, bad.reason) for bad in checked.bad]
        for row in checked.good.tolist():
            record: JoinedLabel = joined.records[row]
            reading.labelled.append({**record, "drop": reading.drop.sha256})
            reading.truths[record["prediction_id"]] = record["truth"]
        if len(reading.labelled) > MOST_LABELS:
            raise InvalidDrop(f"It has more than {MOST_LABELS} labels, more than memory should hold: split the file.")
        return self._with_provenance(reading, checked.table, labelled[checked.good])

    def _with_provenance(self, reading: Reading, table: pa.Table, records: NDArray[np.int64]) -> pa.Table:
        reading.rows_accepted += len(records)
        return rows.with_provenance(table, [reading.drop.sha256], [len(records)], records, self._at, reading.source)
