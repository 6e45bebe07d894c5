"""DVC's cache as plain files: which objects exist, whether they match their names, and whether they are durable.

DVC never fsyncs and trusts any object of mode 0444, so every new object is hashed and fsynced here, once. A special
modification time then marks it as checked. This mark needs no extra file, disappears when a program writes to the
object, and means nothing to DVC. An object can be rebuilt from the segment with the same bytes, and a revision's list
of segments from the journal.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import orjson

from retraind.daemon.core import durable
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.records.segments import SegmentLife

OBJECTS = ".dvc/cache/files/md5"
SECURED = 99_357_421 * 10**9
"""Modification time (ns since 1970) of an object that was hashed and fsynced: a moment in 1973 that no clock gives."""

STAMPS = ".dvc/tmp/secured"
"""Folder in which earlier releases kept an empty file for each such object."""

LIST = ".dir"
"""Suffix of the md5 of an object that lists the files of a folder."""


class Cache:
    """The objects below one `data/`, by their md5 as DVC writes it."""

    def __init__(self, data: Path) -> None:
        self._objects, self._stamps = data / OBJECTS, data / STAMPS

    def path(self, md5: str) -> Path:
        """The path of an object, whether it exists or not."""
        return self._objects / md5[:2] / md5[2:]

    def has(self, md5: str) -> bool:
        """Whether the object exists and its bytes match its name."""
        path = self.path(md5)
        return path.exists() and md5_of(path) == md5.removesuffix(LIST)

    def listed(self, md5: str) -> dict[str, str]:
        """Name and md5 of each file in a folder, from the folder's object."""
        return {entry["relpath"]: entry["md5"] for entry in orjson.loads(self.path(md5).read_bytes())}

    def make_durable(self, md5: str) -> None:
        """Make an object durable; raises DatasetDamaged when its bytes do not match its name, OSError when it is gone."""
        path = self.path(md5)
        if path.stat().st_mtime_ns == SECURED:
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if digest != md5.removesuffix(LIST):
                raise DatasetDamaged(
                    f"The DVC object {md5} is damaged.", hint="Restart: it is rebuilt from the segment."
                )
            os.fsync(file.fileno())
        durable.fsync_dir(path.parent)
        os.utime(path, ns=(SECURED, SECURED))

    def adopt_stamps(self) -> None:
        """Mark the objects that an earlier release has stamped, and remove the stamps."""
        for stamp in self._stamps.iterdir() if self._stamps.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.path(stamp.name), ns=(SECURED, SECURED))
            stamp.unlink()
        if self._stamps.is_dir():
            self._stamps.rmdir()

    def replace_from(self, md5: str, source: Path) -> bool:
        """Rebuild an object that is gone or damaged from a file with this md5; True if that was needed."""
        if self.has(md5) or md5_of(source) != md5:
            return False
        self._replace(md5, source.read_bytes())
        return True

    def compose(self, md5: str, files: Mapping[str, str]) -> bool:
        """Rebuild the list of a folder (name to md5) if it is gone or damaged.

        True if that was needed and gave the same list.
        """
        # Exactly as DVC writes it, because another text would have another md5.
        entries = [f'{{"md5": "{files[name]}", "relpath": "{name}"}}' for name in sorted(files)]
        data = f"[{', '.join(entries)}]".encode()
        if self.has(md5) or hashlib.md5(data, usedforsecurity=False).hexdigest() != md5.removesuffix(LIST):
            return False
        self._replace(md5, data)
        return True

    def _replace(self, md5: str, data: bytes) -> None:
        self.path(md5).parent.mkdir(parents=True, exist_ok=True)
        durable.write(self.path(md5), data, mode=0o444)

    def missing(self, md5s: Iterable[str]) -> set[str]:
        """Those objects that are gone; this lists the folders once and reads no bytes."""
        return set(md5s) - {prefix + name for prefix, name in self._names()}

    def implausible(self) -> Iterator[Path]:
        """Objects not yet known to be durable whose bytes do not match their names."""
        for prefix, name in self._names():
            path = self._objects / prefix / name
            if path.stat().st_mtime_ns != SECURED and md5_of(path) != (prefix + name).removesuffix(LIST):
                yield path

    def _names(self) -> Iterator[tuple[str, str]]:
        for at, _, names in os.walk(self._objects):
            yield from ((Path(at).name, name) for name in names)

    def purge(self, md5s: Iterable[str]) -> int:
        """Remove objects for good; returns their number."""
        there = [md5 for md5 in md5s if self.path(md5).exists()]
        for md5 in there:
            durable.remove(self.path(md5))
        return len(there)


def places(home: Home) -> Callable[[SegmentLife], tuple[Path, Path]]:
    """Possible files with the bytes of a segment in a home: in the dataset, or among DVC's objects."""
    cache = Cache(home.data)
    return lambda row: (home.segments / row["name"], cache.path(row["md5"]))


def md5_of(path: Path) -> str:
    """Hexadecimal md5 of a file's bytes; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
