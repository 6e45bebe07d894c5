"""Segments: immutable Parquet files of rows, written once, read verified, merged as they get many.

A name follows from the bytes. Compaction is size-tiered, as in a log-structured merge tree (O'Neil et al., 1996): FAN
segments of a tier become one of the next, so their number grows with the logarithm of the number of batches.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from daemon.core import durable
from daemon.core.errors import DatasetDamaged

FAN = 16
"""Segments of one tier that become one: fewer would write each row more often, more would make commits slower."""

MOST_BYTES = 64 * 1024 * 1024
"""No merge makes a segment larger than this: from here on, writing rows once more gains nothing."""

PIECE_ROWS = 65_536
"""Rows of a piece: 13 MB of twenty numbers each."""

REPEATED = ["_drop", "_source"]
"""Columns with few different values in long runs, kept as dictionaries in memory."""


@dataclass(frozen=True)
class Segment:
    """A file of rows: name in data/dataset, sha256 (ours) and md5 (DVC's) of its bytes, number of rows, size in bytes."""

    name: str
    sha256: str
    md5: str
    rows: int
    bytes: int

    @property
    def record(self) -> dict[str, Any]:
        """What the journal notes of a batch's segment."""
        return {
            "segment": self.name,
            "sha256": self.sha256,
            "md5": self.md5,
            "rows": self.rows,
            "bytes": self.bytes,
        } | {"tier": tier_of(self.bytes)}


class Writer:
    """One segment in the making: `add` tables of the same columns, `seal`; leaving the context without it drops all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Beside the folder, because DVC takes whatever lies in it; a merge may be under way while a batch is committed.
        self._path = folder.parent / f"{durable.MARK}segment.{secrets.token_hex(6)}{durable.TMP}"
        self._sink: _Hashing | None = None
        self._parquet: Any = None
        self._encoder = ThreadPoolExecutor(1, "segment")
        self._encoding: Future[None] | None = None
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def add(self, table: pa.Table) -> None:
        """Append rows, in a thread, so that the next ones can be parsed meanwhile; raises OSError, maybe of the last call."""
        if self._parquet is None:
            self._sink = _Hashing(self._path)
            self._parquet = _parquet(self._sink, table.schema)
        self._wait()
        self._encoding = self._encoder.submit(self._parquet.write_table, table.cast(self._parquet.schema))
        self.rows += table.num_rows

    def _wait(self) -> None:
        if self._encoding is not None:
            self._encoding.result()

    def seal(self, replaces: str = "") -> "Sealed":
        """Finish the file, whose bytes are durable when this returns; at least one table must have been added.

        The bytes name the segment that it `replaces`: without, they might be those of another that is long gone.
        """
        assert self._sink is not None
        self._wait()
        if replaces:
            self._parquet.add_key_value_metadata({"replaces": replaces})
        self._parquet.close()
        sink = self._sink
        sink.sync()
        os.fchmod(sink.fileno(), 0o444)
        sink.close()
        self._sink = None
        sha256, md5 = sink.sha256.hexdigest(), sink.md5.hexdigest()
        return Sealed(self._path, self._folder, Segment(name_of(sha256), sha256, md5, self.rows, sink.size))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._encoder.shutdown()
        if self._sink is not None:
            self._path.unlink(missing_ok=True)
            self._sink.void = True  # closing writes a footer, for which a full disk has no room
            self._parquet.close()
            self._sink.close()


@dataclass(frozen=True)
class Sealed:
    """A segment whose bytes are complete and durable under a hidden name, beside the dataset; it has yet to get its own.

    A named file that the journal does not know is an orphan for whoever looks at the folder. So nothing may come between
    naming and recording: both happen in `entry`, within one step of the loop.
    """

    path: Path
    folder: Path
    segment: Segment

    def place(self) -> Segment:
        """Give the file its name, durably; raises OSError."""
        self.path.replace(self.folder / self.segment.name)
        durable.fsync_dir(self.folder)
        return self.segment

    def discard(self) -> None:
        """Remove the hidden file, if it still has no name."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def entry(self, is_recorded: Callable[[str], bool]) -> Iterator[Segment]:
        """Name the file for a body that records it in the journal: the folder gets it and the journal knows it, or neither.

        If the body fails, the file goes, unless `is_recorded` says that the journal took its name all the same.
        """
        try:
            yield self.place()
        except BaseException:
            if not is_recorded(self.segment.name):
                (self.folder / self.segment.name).unlink(missing_ok=True)
            raise
        finally:
            self.discard()


def name_of(sha256: str) -> str:
    """The file name of the segment with these bytes."""
    return f"{sha256[:32]}.parquet"


class _Hashing:
    """A file that hashes what passes through it, so that nothing has to be read again."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)
        self.sha256, self.md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self.size = 0
        self.closed = False
        self.void = False
        """Whether the file has been given up: nothing is written any more."""

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        self.sha256.update(rest)
        self.md5.update(rest)
        self.size += len(rest)
        while rest and not self.void:
            rest = rest[self._file.write(rest) :]
        return len(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Nothing is held back here."""

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        self.closed = True


def _parquet(sink: _Hashing, schema: pa.Schema) -> Any:
    # Row numbers count up: as differences they take next to nothing. The Arrow schema and statistics would be most of
    # the bytes of a small segment.
    names = [name for name in schema.names if name != "_row"]
    # A dictionary of measurements, nearly all of them different, is given up early: it costs time and bytes.
    options = {"compression": "zstd", "dictionary_pagesize_limit": 32_768}
    options |= {"write_statistics": False, "store_schema": False}
    return pq.ParquetWriter(
        sink, schema, use_dictionary=names, column_encoding={"_row": "DELTA_BINARY_PACKED"}, **options
    )


def write(folder: Path, tables: Iterable[pa.Table], replaces: str = "") -> Sealed:
    """One segment of all rows of `tables`, to be named; raises OSError. See `Writer.seal`."""
    with Writer(folder) as writer:
        for table in tables:
            writer.add(table)
        return writer.seal(replaces)


def read(folder: Path, segments: Mapping[str, str]) -> Iterator[tuple[str, pa.Table]]:
    """Name and rows of each segment (name: sha256), verified before they are parsed; raises DatasetDamaged."""
    for name, sha256 in segments.items():
        data = _verified(folder / name, sha256)
        yield name, pq.read_table(pa.BufferReader(data), read_dictionary=REPEATED)


def load(path: Path) -> pa.Table:
    """The rows of a file of which nobody knows what it should be; raises DatasetDamaged."""
    try:
        return pq.read_table(path, read_dictionary=REPEATED)
    except (OSError, pa.ArrowException) as error:
        raise DatasetDamaged(f"{path} is no segment: {error}.") from None


def pieces(folder: Path, segments: Mapping[str, str], columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of all segments (name: sha256) in order, a few at a time and only `columns`; raises DatasetDamaged.

    For whoever makes something else of the rows: a table of all of them would need as much memory again.
    """
    for name, sha256 in segments.items():
        data = _verified(folder / name, sha256)
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=REPEATED)
        present = [column for column in columns if column in file.schema_arrow.names]
        for batch in file.iter_batches(PIECE_ROWS, columns=present, use_threads=False):
            yield pa.Table.from_batches([batch])


def release() -> None:
    """Give back what reading has taken and Arrow keeps for the next time."""
    pa.default_memory_pool().release_unused()


def _verified(path: Path, sha256: str) -> bytes:
    data = path.read_bytes()
    if durable.sha256(data) != sha256:
        raise DatasetDamaged(
            f"The segment {path.name} is not the one that was accepted.", hint="Run `retraind doctor`."
        )
    return data


class UnlikeError(Exception):
    """Raised when segments have columns of one name and of types that have nothing in common."""


def merging(folder: Path, sources: Mapping[str, str]) -> Iterator[Sealed | None]:
    """One segment with the rows of all `sources` (name: sha256), in their order; None after each piece, then the segment.

    A column that some sources lack is empty there; whole numbers become numbers beside numbers. Raises UnlikeError,
    DatasetDamaged, OSError.
    """
    files = [
        pq.ParquetFile(pa.BufferReader(_verified(folder / name, sha256)), read_dictionary=REPEATED)
        for name, sha256 in sources.items()
    ]
    try:
        schema = pa.unify_schemas([file.schema_arrow for file in files], promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise UnlikeError(str(error)) from None
    with Writer(folder) as writer:
        for piece in _gathered(files):
            writer.add(_with_all(piece, schema))
            yield None
        yield writer.seal()


def _gathered(files: Sequence[Any]) -> Iterator[pa.Table]:
    """The rows of all files in order, PIECE_ROWS at a time: a piece becomes a row group, which has its own overhead."""
    waiting: list[pa.Table] = []
    for batch in (batch for file in files for batch in file.iter_batches(PIECE_ROWS)):
        waiting.append(pa.Table.from_batches([batch]))
        if sum(table.num_rows for table in waiting) >= PIECE_ROWS:
            yield pa.concat_tables(waiting, promote_options="permissive")
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting, promote_options="permissive")


def _with_all(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns and types of `schema`; those that it lacks are empty."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema).unify_dictionaries()


def find(folder: Path, segments: Mapping[str, str], drop: str) -> tuple[str, pa.Table] | None:
    """The one of `segments` (name: sha256) that holds rows of a drop, with its rows; raises DatasetDamaged."""
    return next(((name, table) for name, table in read(folder, segments) if drop in drops(table)), None)


def drops_of(path: Path) -> list[str]:
    """The drops of the rows in a file; raises DatasetDamaged if it is no segment, OSError."""
    try:
        return drops(pq.read_table(path, read_dictionary=REPEATED))
    except (pa.ArrowInvalid, KeyError) as error:
        raise DatasetDamaged(f"{path} is no segment: {error}.") from None


def drops(table: pa.Table) -> list[str]:
    """The drops (sha256) that a segment's rows come from."""
    return _drops(table)[0]


def of_drop(table: pa.Table, drop: str) -> pa.Table:
    """The rows of one drop."""
    names, codes = _drops(table)
    return table.take(np.flatnonzero(codes == names.index(drop)) if drop in names else np.zeros(0, np.int64))


def without(table: pa.Table, drop: str, batches: Mapping[str, int]) -> pa.Table:
    """The rows from other drops, in the order of their batches; `batches` has the number of each such drop's.

    A merged segment may hold batches out of order; in order, those that begin the dataset stay together whatever goes.
    """
    names, codes = _drops(table)
    order = np.flatnonzero(codes != names.index(drop))
    numbers = np.array([batches.get(name, 0) for name in names])[codes[order]]
    order = order[np.argsort(numbers, kind="stable")]
    # A dictionary made anew, because the old one names the drop that goes.
    values, which = np.unique(codes[order], return_inverse=True)
    column = pa.DictionaryArray.from_arrays(
        pa.array(which.astype(np.int32)), pa.array([names[code] for code in values])
    )
    return table.take(order).set_column(table.schema.get_field_index("_drop"), "_drop", column)


def _drops(table: pa.Table) -> tuple[list[str], NDArray[np.int64]]:
    """The drops of a table, and for each row which of them it is from."""
    column = table["_drop"].unify_dictionaries().combine_chunks()
    column = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
    return column.dictionary.to_pylist(), column.indices.to_numpy().astype(np.int64)


def due(live: Iterable[Any]) -> list[str]:
    """Names of the segments to be merged next, oldest first; none if there is nothing to gain.

    `live` are rows of the journal's table: name, tier, first (batch) and bytes of each segment.
    """
    tiers: dict[int, list[Any]] = {}
    for segment in sorted(live, key=lambda segment: int(segment["first"])):
        tiers.setdefault(segment["tier"], []).append(segment)
    for tier in sorted(tiers):
        oldest = tiers[tier][:FAN]
        if len(oldest) == FAN and sum(segment["bytes"] for segment in oldest) <= MOST_BYTES:
            return [segment["name"] for segment in oldest]
    return []


def tier_of(size: int) -> int:
    """The tier at which a new segment of `size` bytes begins: large ones have no need to be merged FAN by FAN."""
    tier = 0
    while size > 262_144 * FAN**tier and size < MOST_BYTES:
        tier += 1
    return tier
