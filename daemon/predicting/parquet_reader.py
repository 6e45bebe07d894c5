"""The reader of a Parquet file: a process of its own, so that a damaged or swollen file ends that process only.

`python -m retraind.daemon.predicting.parquet_reader PID FD DECIMALS` reads the file that it inherited as descriptor FD, in bounded pieces,
and writes it to its standard output as an Arrow stream of text cells, as a drop would have them. DECIMALS is a JSON object: the
decimal mark by column. Exit code REFUSED: the last line of its standard error says why the file can't be read.
"""

import os
import sys
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import ipc

from retraind.daemon.core import process_table
from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.processes import parent
from retraind.daemon.tabular import arrow_without_pandas

REFUSED = 3

MEMORY_BYTES = 512 * 2**20
"""Memory that reading may take, besides the libraries."""

BUFFER_BYTES = 1 << 20
"""Bytes of a column that are read at a time; otherwise a row group would be read whole."""

PIECE_CELLS = 500_000
"""Cells per piece; at least LEAST_ROWS rows."""

LEAST_ROWS = 1024

TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
NUMBERS = (pa.types.is_floating, pa.types.is_decimal)
PLAIN = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_null)
TIMES = (pa.types.is_date, pa.types.is_timestamp)


def write(source: pa.NativeFile, target: IO[bytes], decimals: dict[str, str]) -> None:
    """Write the rows of a file as text cells; raises InvalidDrop, and errors of pyarrow for a damaged file."""
    file = pq.ParquetFile(source, memory_map=False, pre_buffer=False, buffer_size=BUFFER_BYTES)
    names = _names(file.schema_arrow, decimals)
    if not file.metadata.num_rows:
        raise InvalidDrop("The file has no rows.")
    rows = max(LEAST_ROWS, PIECE_CELLS // len(names))
    with ipc.new_stream(target, pa.schema([(name, pa.string()) for name in names])) as stream:
        for batch in file.iter_batches(rows, columns=names, use_threads=False):
            batch.validate(full=True)
            cells = [_texts(batch.column(name), decimals.get(name, ".")) for name in names]
            stream.write_batch(pa.record_batch(cells, names=names))


def _names(schema: pa.Schema, wanted: dict[str, str]) -> list[str]:
    """The columns to read: those of the model, and others if they can be written as text."""
    names = []
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if any(supports(kind) for supports in (*TEXTS, *NUMBERS, *PLAIN, *TIMES)):
            names.append(field.name)
        elif field.name in wanted:
            reason = f"The column {field.name!r:.100} has the type {str(kind)[:100]}; a column holds numbers, texts, booleans or times."
            raise InvalidDrop(reason, column=field.name)
    if len(set(names)) < len(names):
        raise InvalidDrop("The file has a column twice.")
    if not names:
        raise InvalidDrop("The file has no column of numbers, texts, booleans or times.")
    return names


def _texts(cells: pa.Array, decimal: str) -> pa.Array:
    """The text cells of a column; a missing value is empty."""
    kind = cells.type
    if pa.types.is_dictionary(kind):
        return _texts(cells.cast(kind.value_type), decimal)
    if any(supports(kind) for supports in NUMBERS):
        numbers = cells.cast(pa.float64())
        texts = pc.if_else(pc.is_nan(numbers), None, numbers.cast(pa.string()))
        return pc.fill_null(texts if decimal == "." else pc.replace_substring(texts, ".", decimal), "")
    if pa.types.is_timestamp(kind):
        return _moments(cells, kind)
    return pc.fill_null(cells.cast(pa.string()), "")


def _moments(cells: pa.Array, kind: Any) -> pa.Array:
    """Times in ISO 8601; with a time zone in UTC."""
    texts = cells.cast(pa.timestamp("us"), safe=False).cast(pa.string())
    return pc.fill_null(pc.binary_join_element_wise(texts, "Z", "") if kind.tz else texts, "")


def answer(source: pa.NativeFile, target: IO[bytes], decimals: dict[str, str]) -> str | None:
    """The same; the reason if the file can't be read, otherwise None."""
    try:
        write(source, target, decimals)
    except InvalidDrop as error:
        return error.reason
    except MemoryError:  # pyarrow's is one, too
        return f"Reading the file takes more than {MEMORY_BYTES >> 20} MB: write it with smaller pages."
    except (pa.ArrowException, ValueError, KeyError, IndexError, OverflowError) as error:
        return f"Not a readable Parquet file: {error!s:.300}".replace("\n", " ")
    return None


def main(pid: str, fd: str, decimals: str) -> int:
    """Read one file; returns the exit code."""
    parent.end_with(int(pid))
    arrow_without_pandas.without_pandas()
    pa.set_memory_pool(pa.system_memory_pool())  # the others reserve more than they use
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    process_table.limit_memory(MEMORY_BYTES)
    with pa.OSFile(f"/proc/self/fd/{fd}") as source, os.fdopen(os.dup(1), "wb") as target:
        os.dup2(2, 1)  # output of a library is no row
        reason = answer(source, target, orjson.loads(decimals))
    if reason is None:
        return 0
    sys.stderr.write(f"{reason}\n")
    return REFUSED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
