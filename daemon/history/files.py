"""Where the files of old predictions lie: in `logs/predictions/` or in the object store. This module puts, opens and removes them."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from retraind.daemon.core import durable, file_modes
from retraind.daemon.core.errors import NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.history_files import FOLDER, HIDDEN, HistoryFile
from retraind.daemon.objects.store import ObjectLost, ObjectStore

WHOLE_BYTES = 524_288
"""A file in the store is fetched at once up to this size; of a larger one its tail, and then one range for each row group."""

RANGES = 8
"""So many row groups of a file in the store stay in memory: a page looks into as many, and then reads those with its rows."""


class FileGone(NotFound):
    """Raised when a recorded file is neither here nor in the store."""


class HistoryPlace:
    """The files of one home. Any thread may use it."""

    def __init__(self, home: Home, store: ObjectStore | None) -> None:
        self._home, self._store = home, store

    @property
    def folder(self) -> Path:
        """Where files are made."""
        return self._home.logs / FOLDER

    @property
    def remote(self) -> bool:
        """Whether new files go into the object store."""
        return self._store is not None

    def make(self) -> None:
        """Make the folder, and remove files that were not recorded; raises OSError."""
        file_modes.make(self.folder)
        for path in self.folder.glob(f"{HIDDEN}*"):
            path.unlink(missing_ok=True)

    def hidden(self, file: HistoryFile) -> Path:
        """The file under its hidden name."""
        return self.folder / f"{HIDDEN}{file['sha256']}"

    def local(self, name: str) -> Path:
        """Where a file of this name is, if it is here."""
        return self._home.logs / name

    def put(self, file: HistoryFile) -> None:
        """Give a hidden file its name, durably, here or in the store; raises OSError, StoreUnavailable."""
        hidden = self.hidden(file)
        if self._store is not None:
            self._store.put(file["object"], hidden)
            hidden.unlink()
            return
        target = self.local(file["object"])
        file_modes.make(target.parent)
        durable.fsync_dir(self.folder)
        hidden.rename(target)
        durable.fsync_dir(target.parent)

    def discard(self, files: Iterable[HistoryFile]) -> None:
        """Remove hidden files."""
        for file in files:
            self.hidden(file).unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files for good, and empty folders; raises OSError, StoreUnavailable."""
        for name in names:
            path = self.local(name)
            if path.exists():
                durable.remove(path)
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()
            if self._store is not None:
                self._store.delete([name])

    def sizes(self, files: Iterable[HistoryFile]) -> dict[str, int]:
        """The bytes of each file that is here or in the store, by name; raises StoreUnavailable, OSError."""
        sizes = {file["object"]: path.stat().st_size for file in files if (path := self.local(file["object"])).exists()}
        if self._store is None:
            return sizes
        return {entry.name: entry.size for entry in self._store.listing(f"{FOLDER}/")} | sizes

    def objection(self, file: HistoryFile) -> str | None:
        """Why a recorded file can't be used, by all of its bytes; None if it can. Raises StoreUnavailable, OSError."""
        path = self.local(file["object"])
        if path.exists():
            return None if durable.is_intact(path, file["sha256"]) else f"{path} is damaged."
        if self._store is None:
            return f"{path} is gone."
        try:
            data = self._store.read_range(file["object"], 0, file["bytes"])
        except ObjectLost as error:
            return str(error)
        return (
            None if hashlib.sha256(data).hexdigest() == file["sha256"] else f"{file['object']} is damaged in the store."
        )

    @contextmanager
    def opened(self, file: HistoryFile) -> Iterator[pq.ParquetFile]:
        """The file, of which only what is asked for is read. Raises FileGone, StoreUnavailable, OSError, ArrowException."""
        path = self.local(file["object"])
        if path.exists():
            with closing(pq.ParquetFile(path, memory_map=False, pre_buffer=False)) as parquet:
                yield parquet
        elif self._store is None:
            raise FileGone(f"{path} is gone.", hint="A backup may have it, or the object store of `storage.url`.")
        else:
            ranges = _Ranges(self._store, file)
            with closing(pq.ParquetFile(pa.PythonFile(ranges, "r"), pre_buffer=False)) as parquet:
                ranges.of(parquet.metadata)
                yield parquet


class _Ranges(io.RawIOBase):
    """An object as a file: a read fetches the row group around it."""

    def __init__(self, store: ObjectStore, file: HistoryFile) -> None:
        super().__init__()
        self._store, self._name, self._size, self._at = store, file["object"], file["bytes"], 0
        tail = self._size if self._size <= WHOLE_BYTES else min(file["tail"], self._size)
        self._blocks = [(self._size - tail, self._fetch(self._size - tail, tail))]
        self._groups: list[tuple[int, int]] = []

    def of(self, metadata: pq.FileMetaData) -> None:
        """Use the row groups of the file's metadata as ranges."""
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            chunks = [group.column(place) for place in range(group.num_columns)]
            begins = [min(filter(None, (one.dictionary_page_offset, one.data_page_offset))) for one in chunks]
            ends = [begin + one.total_compressed_size for begin, one in zip(begins, chunks, strict=True)]
            self._groups.append((min(begins), max(ends)))

    def _fetch(self, start: int, length: int) -> bytes:
        try:
            return self._store.read_range(self._name, start, length)
        except ObjectLost as error:
            raise FileGone(str(error), hint="A backup may have it.") from None

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The bytes at the position; raises FileGone, StoreUnavailable."""
        end = self._size if size < 0 else min(self._at + size, self._size)
        data = self._bytes(self._at, end)
        self._at = end
        return data

    def _bytes(self, start: int, end: int) -> bytes:
        for begin, block in self._blocks:
            if begin <= start and end <= begin + len(block):
                return block[start - begin : end - begin]
        low, high = next((pair for pair in self._groups if pair[0] <= start and end <= pair[1]), (start, end))
        self._blocks[1:] = [(low, self._fetch(low, high - low)), *self._blocks[1:RANGES]]
        return self._blocks[1][1][start - low : end - low]
