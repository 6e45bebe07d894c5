"""Reads segments, the immutable Parquet files of the dataset's rows: verified before they are parsed, and by drop."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retraind.daemon.core import durable
from retraind.daemon.core.errors import DatasetDamaged

T = TypeVar("T")

PIECE_ROWS = 65_536
"""Rows per piece: 13 MB with twenty numbers each."""

REPEATED = ["_drop", "_source"]
"""Columns with few different values in long runs; they stay dictionaries in memory."""

THREADS = 2
"""Threads that hash and decode, neither of which needs the interpreter. More would slow predictions while a training reads."""

AHEAD = 3
"""Row groups decoded in advance."""

WHOLE_BYTES = 96 * 1024 * 1024
"""Maximum size of a segment that is read whole before it is decoded; of larger ones, memory never holds more than some row groups."""


def read(folder: Path, segments: Mapping[str, str]) -> Iterator[tuple[str, pa.Table]]:
    """Name and rows of each segment (name: sha256), verified before they are parsed; raises DatasetDamaged."""
    for name, sha256 in segments.items():
        data = _verified(folder / name, sha256)
        yield name, pq.read_table(pa.BufferReader(data), read_dictionary=REPEATED)


def load(path: Path) -> pa.Table:
    """The rows of a file whose sha256 is not on record; raises DatasetDamaged."""
    try:
        return pq.read_table(path, read_dictionary=REPEATED)
    except (OSError, pa.ArrowException) as error:
        raise DatasetDamaged(f"{path} is not a segment: {error}.") from None


def pieces(folder: Path, segments: Mapping[str, str], columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of all segments (name: sha256) in order, a few at a time and only `columns`; raises DatasetDamaged, OSError.

    For callers that convert the rows: a table of all of them would double the memory. Threads hash the next segment and
    decode the next row groups while the caller works.
    """
    with ThreadPoolExecutor(THREADS, "segments") as pool:
        files = _ahead(pool, (partial(_opened, folder / name, sha256) for name, sha256 in segments.items()), 1)
        groups = (partial(file.group, number, columns) for file in files for number in range(file.groups))
        for table in _ahead(pool, groups, AHEAD):
            yield from (table.slice(start, PIECE_ROWS) for start in range(0, table.num_rows, PIECE_ROWS))


def _ahead(pool: ThreadPoolExecutor, calls: Iterable[Callable[[], T]], count: int) -> Iterator[T]:
    """The results of `calls` in order, with up to `count` more under way; closing the iterator cancels those not yet begun."""
    waiting: deque[Future[T]] = deque()
    try:
        for call in calls:
            waiting.append(pool.submit(call))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@dataclass(frozen=True)
class _Verified:
    """A verified segment, not yet decoded: its bytes, or the file of a large one."""

    source: bytes | Path
    metadata: Any

    @property
    def groups(self) -> int:
        return int(self.metadata.num_row_groups)

    def group(self, number: int, columns: Sequence[str]) -> pa.Table:
        # Opened once more, which costs little: two threads must not share a reader.
        source = pa.BufferReader(self.source) if isinstance(self.source, bytes) else self.source
        with pq.ParquetFile(source, metadata=self.metadata, read_dictionary=REPEATED) as file:
            present = [column for column in columns if column in file.schema_arrow.names]
            return file.read_row_group(number, columns=present, use_threads=False)


def _opened(path: Path, sha256: str) -> _Verified:
    if path.stat().st_size <= WHOLE_BYTES:
        data = _verified(path, sha256)
        return _Verified(data, pq.read_metadata(pa.BufferReader(data)))
    # Its bytes can't change after this, because nothing writes to a segment; only another file can take its place.
    if durable.sha256_file(path) != sha256:
        raise _damaged(path)
    return _Verified(path, pq.read_metadata(path))


def release() -> None:
    """Release memory that Arrow keeps after reading."""
    pa.default_memory_pool().release_unused()


def _verified(path: Path, sha256: str) -> bytes:
    data = path.read_bytes()
    if durable.sha256(data) != sha256:
        raise _damaged(path)
    return data


def _damaged(path: Path) -> DatasetDamaged:
    return DatasetDamaged(f"The segment {path.name} is not the one that was accepted.", hint="Run `retraind doctor`.")


class UnlikeError(Exception):
    """Raised when segments have columns of the same name with incompatible types."""


def unified(folder: Path, sources: Mapping[str, str]) -> Iterator[pa.Table]:
    """The rows of all `sources` (name: sha256) in their order, some at a time, all with the same columns and types.

    A column that a source lacks is empty for its rows; integers become floats if another source has floats. Raises
    UnlikeError, DatasetDamaged, OSError.
    """
    files = [
        pq.ParquetFile(pa.BufferReader(_verified(folder / name, sha256)), read_dictionary=REPEATED)
        for name, sha256 in sources.items()
    ]
    try:
        schema = pa.unify_schemas([file.schema_arrow for file in files], promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise UnlikeError(str(error)) from None
    yield from (_with_all(piece, schema) for piece in _gathered(files))


def _gathered(files: Sequence[Any]) -> Iterator[pa.Table]:
    """The rows of all files in order, PIECE_ROWS at a time: each piece becomes a row group, which has its own overhead."""
    waiting: list[pa.Table] = []
    for batch in (batch for file in files for batch in file.iter_batches(PIECE_ROWS)):
        waiting.append(pa.Table.from_batches([batch]))
        if sum(table.num_rows for table in waiting) >= PIECE_ROWS:
            yield pa.concat_tables(waiting, promote_options="permissive")
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting, promote_options="permissive")


def _with_all(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns and types of `schema`; missing columns are empty."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema).unify_dictionaries()


def find(folder: Path, segments: Mapping[str, str], drop: str) -> tuple[str, pa.Table] | None:
    """The first of `segments` (name: sha256) that holds rows of a drop, with all its rows; raises DatasetDamaged."""
    return next(((name, table) for name, table in read(folder, segments) if drop in drops(table)), None)


def drops_of(path: Path) -> list[str]:
    """The drops of the rows in a file; raises DatasetDamaged if it is not a segment, OSError."""
    try:
        return drops(pq.read_table(path, read_dictionary=REPEATED))
    except (pa.ArrowInvalid, KeyError) as error:
        raise DatasetDamaged(f"{path} is not a segment: {error}.") from None


def drops(table: pa.Table) -> list[str]:
    """The drops (sha256) that a segment's rows come from."""
    return _drops(table)[0]


def of_drop(table: pa.Table, drop: str) -> pa.Table:
    """The rows of one drop."""
    names, codes = _drops(table)
    return table.take(np.flatnonzero(codes == names.index(drop)) if drop in names else np.zeros(0, np.int64))


def without(table: pa.Table, drop: str, batches: Mapping[str, int]) -> pa.Table:
    """The rows of all other drops, in the order of their batches; `batches` maps each of these drops to its batch.

    A merged segment may hold batches out of order. Sorted, the first batches of the dataset stay together.
    """
    names, codes = _drops(table)
    order = np.flatnonzero(codes != names.index(drop))
    numbers = np.array([batches.get(name, 0) for name in names])[codes[order]]
    order = order[np.argsort(numbers, kind="stable")]
    # The dictionary is rebuilt, because the old one names the removed drop.
    values, which = np.unique(codes[order], return_inverse=True)
    column = pa.DictionaryArray.from_arrays(
        pa.array(which.astype(np.int32)), pa.array([names[code] for code in values])
    )
    return table.take(order).set_column(table.schema.get_field_index("_drop"), "_drop", column)


def _drops(table: pa.Table) -> tuple[list[str], NDArray[np.int64]]:
    """The drops of a table, and the position of each row's drop among them."""
    column = table["_drop"].unify_dictionaries().combine_chunks()
    column = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
    return column.dictionary.to_pylist(), column.indices.to_numpy().astype(np.int64)
