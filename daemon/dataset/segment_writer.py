"""Writes segments: immutable Parquet files of rows, hashed while written and named by their hash.

A file is complete and durable under a hidden name before it gets its final name, in the step that records it in the
journal.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from retraind.daemon.core import durable
from retraind.daemon.core.journal_rows import SegmentRecord
from retraind.daemon.dataset.segment_tiers import tier_of

SMALL_BYTES = 4 * 1024 * 1024
"""Size in memory of the first rows. zstd needs 20 µs of setup per page, which is most of the time to read a small segment."""


@dataclass(frozen=True)
class Segment:
    """A file of rows: name in data/dataset, sha256 (ours) and md5 (DVC's) of its bytes, number of rows, size in bytes."""

    name: str
    sha256: str
    md5: str
    rows: int
    bytes: int

    @property
    def record(self) -> SegmentRecord:
        """The journal's record of a batch's segment."""
        return {
            "segment": self.name,
            "sha256": self.sha256,
            "md5": self.md5,
            "rows": self.rows,
            "bytes": self.bytes,
            "tier": tier_of(self.bytes),
        }


class Writer:
    """Writes one segment: `add` tables of the same columns, then `seal`; leaving the context before that discards all."""

    def __init__(self, folder: Path, epoch: int | None = None) -> None:
        """With `epoch`, the bytes differ from those of every other leader, whose late removal then can't concern them."""
        self._folder, self._epoch = folder, epoch
        # Outside the folder, because DVC adds every file in it, and a merge may be in progress during a commit.
        self._path = folder.parent / f"{durable.MARK}segment.{secrets.token_hex(6)}{durable.TMP}"
        self._sink: _Hashing | None = None
        self._parquet: Any = None
        self._encoder = ThreadPoolExecutor(1, "segment")
        self._encoding: Future[None] | None = None
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def add(self, table: pa.Table) -> None:
        """Append rows in a thread, so that the next ones can be parsed meanwhile.

        May raise the OSError of the last call.
        """
        if self._parquet is None:
            self._sink = _Hashing(self._path)
            self._parquet = _parquet(self._sink, table.schema, is_small=table.nbytes < SMALL_BYTES)
        self._wait()
        self._encoding = self._encoder.submit(self._parquet.write_table, table.cast(self._parquet.schema))
        self.rows += table.num_rows

    def _wait(self) -> None:
        if self._encoding is not None:
            self._encoding.result()

    def seal(self, replaces: str = "") -> "Sealed":
        """Finish the file and make it durable; at least one table must have been added.

        The bytes include the name of the segment that it `replaces`; otherwise they might equal those of a removed
        segment.
        """
        assert self._sink is not None
        self._wait()
        if replaces:
            self._parquet.add_key_value_metadata({"replaces": replaces})
        if self._epoch is not None:
            self._parquet.add_key_value_metadata({"epoch": str(self._epoch)})
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
            self._sink.void = True  # closing writes a footer, which fails on a full disk
            self._parquet.close()
            self._sink.close()


@dataclass(frozen=True)
class Sealed:
    """A segment that is complete and durable under a hidden name outside the dataset, and has no final name yet.

    A named file that the journal does not know counts as an orphan. So nothing may come between naming and recording:
    `entry` does both within one step of the loop.
    """

    path: Path
    folder: Path
    segment: Segment

    @property
    def object(self) -> tuple[str, str, Path]:
        """The facts for an object store: its future name, its md5, and the path of its bytes."""
        return self.segment.name, self.segment.md5, self.path

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
        """Name the file around a body that records it in the journal, so that both happen or neither.

        If the body fails, the file is removed, unless `is_recorded` says that the journal has its name nevertheless.
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


def write(folder: Path, tables: Iterable[pa.Table], replaces: str = "", epoch: int | None = None) -> Sealed:
    """One segment of all rows of `tables`, to be named; raises OSError. See `Writer.seal`."""
    with Writer(folder, epoch) as writer:
        for table in tables:
            writer.add(table)
        return writer.seal(replaces)


class _Hashing:
    """A file that hashes the bytes written to it, so that none has to be read again."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)
        self.sha256, self.md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self.size = 0
        self.closed = False
        self.void = False
        """Whether the file was abandoned; nothing more is written."""

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
        """Do nothing, because there is no buffer."""

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        self.closed = True


def _parquet(sink: _Hashing, schema: pa.Schema, *, is_small: bool) -> Any:
    # Row numbers count up, so as differences they take almost no space. The Arrow schema and the statistics would take
    # most of a small segment.
    names = [name for name in schema.names if name != "_row"]
    # The dictionary of a column of mostly different values is abandoned early, because it costs time and space.
    options: dict[str, Any] = {"compression": "lz4" if is_small else "zstd", "dictionary_pagesize_limit": 32_768}
    options |= {"write_statistics": False, "store_schema": False}
    return pq.ParquetWriter(
        sink, schema, use_dictionary=names, column_encoding={"_row": "DELTA_BINARY_PACKED"}, **options
    )
