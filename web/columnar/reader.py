"""The reader: a process that turns bodies into values. Its memory is limited, because a few kilobytes of a compressed body may be gigabytes.

It reads an order and a body from its standard input and writes the outcome to its standard output, one after the other, until the
input ends or nothing comes for IDLE_SECONDS.
"""

import math
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import ipc

from retraind.daemon.core import process_table
from retraind.web.columnar.formats import Format, Order, Outcome

IDLE_SECONDS = 60.0
MEMORY_BYTES = 512 * 2**20
"""What reading one body may take, besides the libraries."""

BATCH_ROWS = 8192


class Unreadable(Exception):
    """The body can't be read; the text says why."""


class TooLarge(Unreadable):
    """It is more than an order allows."""


def read(order: Order, body: bytes) -> tuple[Outcome, bytes]:
    """The values of a body; raises Unreadable, and errors of pyarrow for a damaged one."""
    columns = _columns(order, body)
    if list(columns) == order["names"] and (matrix := _matrix(list(columns.values()))) is not None:
        return _outcome(order, matrix.tobytes(), len(matrix))
    return _outcome(order, orjson.dumps({name: _values(name, column) for name, column in columns.items()}))


def _columns(order: Order, body: bytes) -> dict[str, pa.ChunkedArray]:
    """The columns that are wanted, in the order of their names."""
    open_it = {Format.STREAM: _stream, Format.FILE: _file, Format.PARQUET: _parquet}[Format(order["format"])]
    schema, batches = open_it(pa.BufferReader(body), order)
    kept, rows, size = [], 0, 0
    for batch in batches:
        rows, size = rows + batch.num_rows, size + batch.nbytes
        _limit(order, rows, size)
        batch.validate(full=True)
        kept.append(batch)
    if not rows:
        raise Unreadable("There are no rows.")
    table = pa.Table.from_batches(kept, schema)
    return {name: _decoded(name, table.column(name)) for name in order["names"] if name in table.column_names}


def _limit(order: Order, rows: int, size: int) -> None:
    if rows > order["most_rows"]:
        raise Unreadable(f"There are more than {order['most_rows']} rows; one request takes so many at most.")
    if size > order["most_bytes"]:
        raise TooLarge(f"The body's columns are larger than {order['most_bytes']} bytes after decoding.")


Opened = tuple[pa.Schema, Iterator[pa.RecordBatch]]


def _stream(source: pa.BufferReader, order: Order) -> Opened:
    places = _places(ipc.open_stream(source).schema, order)
    source.seek(0)
    reader = ipc.open_stream(source, options=ipc.IpcReadOptions(use_threads=False, included_fields=places))
    return reader.schema, iter(reader)


def _file(source: pa.BufferReader, order: Order) -> Opened:
    places = _places(ipc.open_file(source).schema, order)
    reader = ipc.open_file(source, options=ipc.IpcReadOptions(use_threads=False, included_fields=places))
    return reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches))


def _parquet(source: pa.BufferReader, order: Order) -> Opened:
    file = pq.ParquetFile(source, memory_map=False, pre_buffer=False)
    facts, schema = file.metadata, file.schema_arrow
    kept = pa.schema([schema.field(place) for place in _places(schema, order)])
    # What the footer says is only the first check: it may be wrong.
    groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
    parts = [group.column(place) for group in groups for place in range(group.num_columns)]
    wanted = [part for part in parts if part.path_in_schema in kept.names]
    _limit(order, facts.num_rows, sum(part.total_uncompressed_size for part in wanted))
    batches = file.iter_batches(BATCH_ROWS, columns=kept.names, use_threads=False)
    return kept, (batch.select(kept.names) for batch in batches)


def _places(schema: pa.Schema, order: Order) -> list[int]:
    """Where the wanted columns are; others are not read. Raises Unreadable if a name is there twice, or a type is not supported."""
    names = [name for name in schema.names if name in set(order["names"])]
    if len(set(names)) < len(names):
        raise Unreadable("The body has a column twice.")
    places = [place for place, name in enumerate(schema.names) if name in set(order["names"])]
    for place in places:
        field = schema.field(place)
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not any(supports(kind) for supports in SUPPORTED):
            raise Unreadable(
                f"The column {field.name!r:.100} has the type {str(kind)[:100]}; a column holds numbers, texts, booleans or times."
            )
    if not places:
        raise Unreadable(f"The model takes: {', '.join(order['names'])[:1000]}; none of them is there.")
    return places


SUPPORTED = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_boolean,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_null,
)


def _decoded(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dictionaries as their values, decimals and halves as doubles, times in UTC as microseconds."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _decoded(name, column.cast(kind.value_type))
    if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        if pc.any(pc.is_inf(column)).as_py():
            raise Unreadable(f"The column {name!r:.100} has an infinite value.")
        return column
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    return column.cast(pa.date32(), safe=False) if pa.types.is_date(kind) else column


def _matrix(columns: list[pa.ChunkedArray]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """The columns as one array; None if one of them is not of numbers that doubles hold."""
    if not all(pa.types.is_integer(column.type) or pa.types.is_floating(column.type) for column in columns):
        return None
    try:
        return np.column_stack([column.cast(pa.float64()).to_numpy() for column in columns])
    except pa.ArrowInvalid:
        return None


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    """The values as JSON has them."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        if kind.tz:
            column = column.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
        return [value and value.isoformat() + zone for value in column.to_pylist()]
    if pa.types.is_date(kind):
        return [value and value.isoformat() for value in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _outcome(order: Order, values: bytes, rows: int = 0) -> tuple[Outcome, bytes]:
    _limit(order, rows, len(values))
    return {"problem": None, "too_large": False, "rows": rows, "bytes": len(values)}, values


def _refusal(problem: str, *, too_large: bool) -> tuple[Outcome, bytes]:
    return {"problem": problem, "too_large": too_large, "rows": 0, "bytes": 0}, b""


def answer(order: Order, body: bytes) -> tuple[Outcome, bytes]:
    """The same, or why not."""
    try:
        return read(order, body)
    except Unreadable as error:
        return _refusal(str(error), too_large=isinstance(error, TooLarge))
    except MemoryError:  # pyarrow's is one, too
        return _refusal(f"Reading the body takes more than {MEMORY_BYTES >> 20} MB.", too_large=True)
    except (pa.ArrowException, ValueError, OSError, KeyError, IndexError, OverflowError) as error:
        return _refusal(f"The body is not readable as {order['format']}: {error!s:.300}", too_large=False)


def main(source: IO[bytes], target: IO[bytes]) -> None:
    """Read until the worker ends or has had nothing to read for a while."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the worker ends us by closing the input
    pa.set_memory_pool(pa.system_memory_pool())  # the others reserve more than they use
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    process_table.limit_memory(MEMORY_BYTES)
    while select.select([source], [], [], IDLE_SECONDS)[0]:
        if not (line := source.readline()):
            return
        order: Order = orjson.loads(line)
        outcome, values = answer(order, source.read(order["bytes"]))
        target.write(orjson.dumps(outcome) + b"\n" + values)
        target.flush()


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        main(sys.stdin.buffer, answers)
