"""The folder of the segments, `data/dataset/`: the only code that writes, lists, moves or removes files there."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from retraind.daemon.core import durable, logs
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import segment_writer, segments
from retraind.daemon.dataset.dvc_cache import Cache, md5_of
from retraind.daemon.dataset.segment_writer import Sealed, Writer, name_of
from retraind.daemon.stored.segments import StoredSegments

log = logs.Logger()


class SegmentFolder:
    """The segments of one home by name; the journal says which of them are part of the dataset.

    Used by the loop thread.
    """

    def __init__(self, home: Home, epoch: int | None = None) -> None:
        """`epoch` is that of a leader with a standby."""
        self._path, self._orphans, self._epoch = home.segments, home.orphans, epoch

    def write(self, tables: Iterable[pa.Table], replaces: str = "") -> Sealed:
        """A finished, unnamed segment of these rows; see `retraind.daemon.dataset.segment_writer.write`."""
        return segment_writer.write(self._path, tables, replaces, self._epoch)

    def writer(self) -> Writer:
        """Writes a segment piece by piece."""
        return Writer(self._path, self._epoch)

    def merging(self, sources: Mapping[str, str]) -> Iterator[Sealed | None]:
        """One segment with the rows of all `sources` (name: sha256), in their order; None after each piece, then the segment.

        Raises UnlikeError, DatasetDamaged, OSError; see `retraind.daemon.dataset.segments.unified`.
        """
        with self.writer() as writer:
            for piece in segments.unified(self._path, sources):
                writer.add(piece)
                yield None
            yield writer.seal()

    def find(self, candidates: Mapping[str, str], drop: str) -> tuple[str, pa.Table] | None:
        """The first of these segments (name: sha256) with rows of a drop (sha256), and its rows."""
        return segments.find(self._path, candidates, drop)

    def names(self) -> set[str]:
        """Names of all its files; raises FileNotFoundError if the folder is gone."""
        return {path.name for path in self._path.iterdir()}

    def remove(self, names: Iterable[str]) -> None:
        """Remove those of the files that exist."""
        for name in names:
            (self._path / name).unlink(missing_ok=True)

    def set_aside(self, names: Iterable[str]) -> None:
        """Move unknown files out of the dataset.

        They are kept, because with a lost journal every segment would be unknown.
        """
        for name in names:
            log.warning("orphan_segment_set_aside", segment=name)
            self._orphans.mkdir(exist_ok=True)
            (self._path / name).replace(self._orphans / name)

    def sweep(self) -> int:
        """Remove unfinished files that a killed process left; returns how many."""
        return durable.sweep(self._path) if self._path.is_dir() else 0

    def make(self) -> None:
        """Create the folder if it is gone."""
        self._path.mkdir(exist_ok=True)

    def missing(self, names: Iterable[str]) -> set[str]:
        """Those of these files that do not exist."""
        return set(names) - (self.names() if self._path.is_dir() else set())

    def verify(self, segments: Mapping[str, str]) -> list[str]:
        """Names of segments (name: sha256) that are gone or have other bytes."""
        return [name for name, sha256 in segments.items() if not durable.is_intact(self._path / name, sha256)]

    def keep_damaged(self, name: str, sha256: str) -> bool:
        """Move a segment to the orphans if its bytes differ; True if they did."""
        if not (self._path / name).exists() or durable.is_intact(self._path / name, sha256):
            return False
        self._orphans.mkdir(exist_ok=True)
        (self._path / name).replace(self._orphans / f"{name}.damaged")
        return True

    def restore(self, segments: Mapping[str, str], cache: Cache, stored: StoredSegments) -> None:
        """Restore missing segments (name: md5) from the orphans, DVC's `cache` or the object store, if these have them."""
        gone = self.missing(segments)
        # Whatever names the files that were set aside have now.
        orphans = {name_of(durable.sha256_file(path)): path for path in _files(self._orphans)} if gone else {}
        for name in gone:
            if name in orphans and md5_of(orphans[name]) == segments[name]:
                log.warning("segment_restored", segment=name, source="data/orphans")
                orphans[name].replace(self._path / name)
                durable.fsync_dir(self._path)
            elif cache.has(segments[name]):
                log.warning("segment_restored", segment=name, source="DVC's cache")
                durable.write(self._path / name, cache.path(segments[name]).read_bytes(), mode=0o444)
        stored.fetch({name: segments[name] for name in self.missing(gone)} if gone else {})


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.is_file() and not path.is_symlink()]
