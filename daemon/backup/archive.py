"""Archives: many files in one tar, with a manifest of their sha256 at its end.

It is written and read with bounded memory. The content of an archive is not trusted. Only regular files below the
expected folders are unpacked, each once, and their bytes must match the manifest.
"""

import contextlib
import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from retraind.daemon.core import durable
from retraind.daemon.core.errors import BackupDamaged
from retraind.daemon.core.status import utcnow

MANIFEST = "manifest.json"

PIECE = 1 << 20
"""Bytes per read."""


class Moved(Exception):
    """Raised when a file that the copy needs was removed meanwhile, so the copy starts over."""


class Entry(BaseModel):
    """One file of an archive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size: int


class Manifest(BaseModel):
    """The files of an archive; `facts` are the counts shown to people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["retraind-backup/1"] = "retraind-backup/1"
    made: str
    facts: dict[str, int]
    files: dict[str, Entry]


class _Hashing(io.RawIOBase):
    """Exactly `size` bytes of a file, hashed as they are read.

    A file that shrinks meanwhile is an error, and a file that grows is cut.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self.left, self.digest = file, size, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        piece = self._file.read(min(self.left, PIECE if size < 0 else size))
        self.left -= len(piece)
        self.digest.update(piece)
        return piece


class Packer:
    """Writes an archive to a new file that only its owner can read, because it contains tokens."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(fd, "wb", buffering=PIECE)
        self._tar = tarfile.open(fileobj=self._file, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - `finish` closes it
        self._files: dict[str, Entry] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._file.close()
            return
        with contextlib.suppress(OSError):  # the partial archive is useless, and the disk may be full
            self._tar.close()
        with contextlib.suppress(OSError):
            self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def sha256(self, name: str) -> str:
        """The sha256 of a file that was packed."""
        return self._files[name].sha256

    def add(self, name: str, path: Path) -> None:
        """Pack the present bytes of a file under `name`.

        Raises OSError: FileNotFoundError if it is gone, BlockingIOError if it is leased.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            self._add(name, file, status.st_size, status.st_mode & 0o777, int(status.st_mtime))

    def _add(self, name: str, file: IO[bytes], size: int, mode: int, modified: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, mode, modified
        content = _Hashing(file, size)
        self._tar.addfile(info, content)
        self._tar.members = []  # type: ignore[attr-defined]  # else it would keep all of them in memory
        self._files[name] = Entry(sha256=content.digest.hexdigest(), size=size)

    def finish(self, facts: Mapping[str, int]) -> dict[str, int]:
        """Write the manifest and sync the archive; returns the numbers of files and bytes."""
        files, total = dict(self._files), sum(entry.size for entry in self._files.values())
        data = Manifest(made=utcnow(), facts=dict(facts), files=files).model_dump_json().encode()
        self._add(MANIFEST, io.BytesIO(data), len(data), 0o600, 0)
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        return {"files": len(files), "bytes": total}


def unpack(archive: Path, folder: Path, expected: Iterable[str]) -> Manifest:
    """Unpack an archive of files at or below the `expected` names into an empty folder; raises BackupDamaged for any fault."""
    allowed, files, manifest = tuple(expected), dict[str, Entry](), b""
    try:
        with tarfile.open(archive, "r|") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]
                name = _checked(member, allowed, files)
                content = tar.extractfile(member)
                assert content is not None
                if name == MANIFEST:
                    manifest = content.read()
                else:
                    files[name] = _write(content, member, folder / name)
    except (tarfile.TarError, EOFError) as error:
        raise BackupDamaged(f"{archive} is not a complete archive: {error}.") from None
    return _compare(archive, manifest, files)


def _checked(member: tarfile.TarInfo, allowed: tuple[str, ...], files: Mapping[str, Any]) -> str:
    """The name of a member that may be written; raises BackupDamaged."""
    path = PurePosixPath(member.name)
    plain = member.isreg() and not path.is_absolute() and ".." not in path.parts and str(path) == member.name
    inside = member.name == MANIFEST or any(path.is_relative_to(one) for one in allowed)
    if not plain or not inside or member.name in files:
        raise BackupDamaged(f"The archive has a member that is not part of a backup: {member.name!r:.200}.")
    return member.name


def _write(content: IO[bytes], member: tarfile.TarInfo, path: Path) -> Entry:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        while piece := content.read(PIECE):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
        os.fchmod(file.fileno(), member.mode & 0o755)
        file.flush()
        os.fsync(file.fileno())
    os.utime(path, (member.mtime, member.mtime))
    return Entry(sha256=digest.hexdigest(), size=size)


def _compare(archive: Path, manifest: bytes, files: Mapping[str, Entry]) -> Manifest:
    try:
        named = Manifest.model_validate_json(manifest)
    except ValidationError:
        raise BackupDamaged(f"{archive} is not a complete backup of retraind: its manifest is missing.") from None
    for name in named.files.keys() | files.keys():
        if named.files.get(name) != files.get(name):
            raise BackupDamaged(f"{name} in {archive} is not what its manifest names.", hint="Use another backup.")
    return named


def sync(folder: Path) -> None:
    """Make the names of everything below a folder durable."""
    for at, _, _ in os.walk(folder):
        durable.fsync_dir(Path(at))
