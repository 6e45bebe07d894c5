"""Files with the sorted hashes of a segment's rows, for `known_rows`.

A file is a description, then for each run the hashes of whole rows and those of their features, sorted.
"""

import mmap
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from retraind.daemon.core import durable
from retraind.daemon.schema import hash_mixing
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.hash_mixing import Prints
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import row_hashes

RUN_ROWS = 2**22
"""Rows per sorted run: 64 MB of hashes."""

HEAD = 4096
"""Bytes before the first run: the description of the file in JSON, padded with spaces."""


@dataclass(frozen=True)
class RowHashes:
    """Prints of rows (n,): `whole` of features and target, `content` of the features alone."""

    whole: Prints
    content: Prints


def hash_rows(table: Any, schema: Schema) -> RowHashes:
    """Hashes of typed rows."""
    content = row_hashes.of_rows(table, schema.columns)
    target = row_hashes.by_cell(table, [_target(schema)])[0]
    return RowHashes(hash_mixing.together(content, target), content)


def _target(schema: Schema) -> Column:
    kind: Any = "number" if schema.task == "regression" else "category"
    return Column(name=schema.target, kind=kind)


def kinds_of(schema: Schema) -> dict[str, str]:
    """The kind of each column; the hashes depend on it."""
    return {column.name: column.kind for column in [*schema.columns, _target(schema)]}


class HashFileWriter:
    """Writes the fingerprints of one segment: `add` those of its rows, then `close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._file.seek(HEAD)
        self._waiting: list[RowHashes] = []
        self._runs: list[int] = []
        self._sum = 0

    def add(self, rows: RowHashes) -> None:
        """Add the hashes of some rows; raises OSError."""
        self._waiting.append(rows)
        if sum(len(one.whole) for one in self._waiting) >= RUN_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        whole = np.sort(np.concatenate([one.whole for one in self._waiting]))
        content = np.sort(np.concatenate([one.content for one in self._waiting]))
        self._waiting = []
        for part in (whole, content):
            self._sum = zlib.crc32(part.data, self._sum)
            self._file.write(part.data)
        self._runs.append(len(whole))

    def close(self, place: Path, kinds: Mapping[str, str]) -> None:
        """Finish the file and give it its name; `kinds` are those of the columns. Raises OSError."""
        with self._file:
            self._flush()
            head = orjson.dumps({"kinds": kinds, "runs": self._runs, "crc": self._sum})
            if len(head) > HEAD:  # with thousands of columns, their digest is enough
                head = orjson.dumps({"kinds": _digest(kinds), "runs": self._runs, "crc": self._sum})
            self._file.seek(0)
            self._file.write(head.ljust(HEAD))
        # Not synced: a checksum detects a file torn by a power cut, and it is rebuilt.
        self._path.replace(place)

    def discard(self) -> None:
        """Remove the unfinished file, even on a full disk; it may be closed already."""
        with suppress(OSError):  # the unwritten part is no longer needed
            self._file.close()
        self._path.unlink(missing_ok=True)


def _digest(kinds: Mapping[str, str]) -> dict[str, str]:
    return {"": durable.sha256(orjson.dumps(dict(kinds), option=orjson.OPT_SORT_KEYS))}


@dataclass(frozen=True)
class HashFile:
    """The sorted hashes of one segment, mapped; `kinds` are the columns' kinds when they were computed."""

    kinds: dict[str, str]
    whole: list[Prints]
    content: list[Prints]
    pages: mmap.mmap | None = None
    """The mapped file."""

    def release(self) -> None:
        """Leave the pages to the system's cache: they count as this process's memory only while they are searched."""
        if self.pages is not None:
            self.pages.madvise(mmap.MADV_DONTNEED)

    def fits(self, schema: Schema) -> bool:
        """Whether these hashes are still valid for this schema: columns added since are empty in the rows."""
        kinds = kinds_of(schema)
        return self.kinds.items() <= kinds.items() or self.kinds == _digest(kinds)


def mapped(path: Path) -> HashFile | None:
    """A file of hashes; None if it is torn."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < HEAD:
            return None
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        head = orjson.loads(data[:HEAD])
        body = memoryview(data)[HEAD:]
        if zlib.crc32(body) != head["crc"] or len(body) != 16 * sum(head["runs"]):
            return None
        numbers = np.frombuffer(body, dtype=np.uint64)
        ends = np.cumsum(np.repeat(head["runs"], 2)).tolist()
        parts = [numbers[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return HashFile(head["kinds"], parts[::2], parts[1::2], data)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
