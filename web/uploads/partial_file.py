"""A file that arrives: hidden in the inbox, locked while it is written, and renamed to its name once it is whole.

It lies in the inbox, and not elsewhere in the home, because a rename is only atomic within one file system, and the
inbox may be a link to another one.
"""

import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, Self

from retraind.daemon.core import durable
from retraind.daemon.core.shared_folder import Folder
from retraind.web.http.problems import Problem

PREFIX, SUFFIX = ".upload-", ".part"
PIECE_BYTES = 1 << 18
KEPT_SECONDS = 86_400.0
"""A partial file that has not grown for a day is removed."""


class Body(Protocol):
    """The body of a request."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; empty at the end."""


class PartialFile:
    """The open file; methods raise OSError. `size` is the number of bytes so far."""

    def __init__(self, folder: Folder, name: str, fd: int) -> None:
        self._folder, self._name, self._fd = folder, name, fd
        self.size = os.fstat(fd).st_size
        self._hash = hashlib.sha256()
        self._hashed = 0

    @classmethod
    @contextmanager
    def opened(cls, folder: Folder, sha256: str | None) -> Iterator[Self]:
        """The partial file of a sha256, new or begun earlier; without one a new file, which is removed at the end.

        Raises Problem 409 while another request writes it.
        """
        name = f"{PREFIX}{sha256 or secrets.token_hex(16)}{SUFFIX}"
        fd = _locked(folder, name)
        try:
            yield cls(folder, name, fd)
        finally:
            if sha256 is None and _is(folder, name, fd):
                folder.remove(name)
            os.close(fd)

    def begin_at(self, offset: int) -> None:
        """Keep the first `offset` bytes; raises Problem 409 if there are fewer, or others follow a begun file."""
        if offset and offset != self.size:
            detail = f"The service has {self.size} bytes of this file, so it can't continue at {offset}."
            raise Problem(409, detail, hint=f"Send the rest with offset={self.size}, or all without offset.")
        if not offset:
            os.ftruncate(self._fd, 0)
            self.size = 0
        os.lseek(self._fd, self.size, os.SEEK_SET)

    def take(self, body: Body, most: int) -> int:
        """Append a body as it arrives; returns the size of the file, which stops growing beyond `most` bytes."""
        while self.size <= most and (piece := body.read(PIECE_BYTES)):
            if self._hashed == self.size:
                self._hash.update(piece)
                self._hashed += len(piece)
            view = memoryview(piece)
            while view:
                written = os.write(self._fd, view)
                view, self.size = view[written:], self.size + written
        return self.size

    def sha256(self) -> str:
        """Sha256 of all bytes."""
        return self._hash.hexdigest() if self._hashed == self.size else durable.sha256_of(self._fd)

    def sync(self) -> None:
        """Make its bytes durable."""
        os.fsync(self._fd)

    def remove(self) -> None:
        """Remove it: its bytes are of no use."""
        self._folder.remove(self._name)

    def publish(self, name: str, sha256: str) -> str:
        """Rename it, durably, to `name`, or beside another file of this name; returns the name that it has.

        A file of this name with the same bytes stands for it.
        """
        self.sync()
        stem, dot, suffix = name.partition(".")
        for target in (name, f"{stem}-{sha256[:12]}{dot}{suffix}"):
            if self._folder.rename_new(self._name, target):
                self._folder.sync()
                return target
            if self._folder.sha256(target) == sha256:
                self.remove()
                return target
        raise Problem(409, f"The inbox has other files named {name!r:.100}.", hint="Send it under another name.")


def received(folder: Folder, sha256: str) -> int | None:
    """Bytes of a partial file; None without one."""
    try:
        status = folder.stat(f"{PREFIX}{sha256}{SUFFIX}")
    except FileNotFoundError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def sweep(folder: Folder) -> None:
    """Remove partial files that nothing continues."""
    for entry in folder.entries():
        if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX):
            with suppress(FileNotFoundError):
                if time.time() - folder.stat(entry.name).st_mtime > KEPT_SECONDS:
                    folder.remove(entry.name)


def _locked(folder: Folder, name: str) -> int:
    """A locked descriptor of the file with this name, which is ours; raises Problem 409."""
    while True:
        try:
            fd = folder.create(name)
        except FileExistsError:
            fd = folder.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_uid not in folder.owners:
                raise Problem(409, "The inbox has a foreign file in the place of this upload.", hint="Remove it.")
            # The request that held the lock may have renamed the file: then this descriptor is that of a drop.
            if _is(folder, name, fd):
                return fd
        except BlockingIOError:
            os.close(fd)
            hint = "Wait until that request has ended, or ask GET /uploads/SHA256 how far it is."
            raise Problem(409, "Another request sends this file now.", hint=hint) from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is(folder: Folder, name: str, fd: int) -> bool:
    try:
        status = folder.stat(name)
    except FileNotFoundError:
        return False
    return os.path.samestat(status, os.fstat(fd))
