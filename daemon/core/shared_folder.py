"""A folder that other users may write to, held open, so that all access goes through its descriptor.

The kernel looks a path up again at each call. So a user who can rename a folder on the way, or put a link there,
decides which file is reached. A descriptor keeps naming the folder that was opened, and no link in it is followed.
"""

import errno
import os
import stat
import time
import weakref
from collections.abc import Iterator
from typing import Self

from retraind.daemon.core import durable
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home

READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags that never follow a link or wait for a pipe."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Folder:
    """An open folder; `path` is only for people. Every method raises OSError. It closes when it is garbage-collected.

    `owners`: the users whose files in it count as ours.
    """

    def __init__(self, fd: int, path: str, owners: frozenset[int]) -> None:
        self.fd, self.path, self.owners = fd, path, owners
        weakref.finalize(self, os.close, fd)

    @property
    def status(self) -> os.stat_result:
        """The status of the folder itself."""
        return os.fstat(self.fd)

    def folder(self, name: str) -> Self:
        """A folder in it; a link is refused."""
        return type(self)(os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=self.fd), f"{self.path}/{name}", self.owners)

    def entries(self) -> Iterator["os.DirEntry[str]"]:
        """Its entries, with names instead of paths."""
        with os.scandir(self.fd) as entries:
            yield from entries

    def stat(self, name: str) -> os.stat_result:
        """The status of the entry; a link is not followed."""
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def has(self, name: str) -> bool:
        """Whether there is an entry with the name; a dangling link counts."""
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def open(self, name: str, flags: int = READING) -> int:
        """A descriptor of a file; the caller closes it."""
        return os.open(name, flags, dir_fd=self.fd)

    def create(self, name: str) -> int:
        """A descriptor of a new file that only this user can access; the caller closes it."""
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self.fd)

    def rename(self, name: str, target: str) -> None:
        """Rename within the folder, replacing an existing file."""
        os.rename(name, target, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def rename_new(self, name: str, target: str, to: "Folder | None" = None) -> bool:
        """Rename, maybe into another folder, but never replace: False when `target` exists."""
        return durable.rename_new(name, target, self.fd, (to or self).fd)

    def remove(self, name: str) -> None:
        """Remove a file; it may be gone already."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            return

    def sync(self) -> None:
        """Make the names in it durable."""
        os.fsync(self.fd)

    def sha256(self, name: str) -> str | None:
        """Sha256 of a regular file; None for anything else, or if it does not exist."""
        try:
            fd = self.open(name)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # nothing, a link, a socket
                return None
            raise
        try:
            return durable.sha256_of(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else None
        finally:
            os.close(fd)

    def sweep(self, seconds: float = 0.0) -> int:
        """`durable.sweep`, here."""
        ours = [
            entry.name
            for entry in self.entries()
            if entry.name.startswith(durable.MARK) and entry.name.endswith(durable.TMP)
        ]
        stale = [name for name in ours if time.time() - self.stat(name).st_mtime >= seconds]
        for name in stale:
            self.remove(name)
        return len(stale)


def inbox(home: Home) -> Folder:
    """The inbox. It may be a link (say, to a share) that this user, root or the home's owner made.

    Raises OSError, or Unavailable for a link of another user.
    """
    path = home.inbox
    ours = frozenset({os.geteuid(), home.root.stat().st_uid})
    try:
        return Folder(os.open(path, FOLDER | os.O_NOFOLLOW), str(path), ours)
    except OSError:
        if not path.is_symlink():
            raise
    owner = path.lstat().st_uid
    if owner not in {0, *ours}:
        raise Unavailable(
            f"{path} is a link that another user ({owner}) has made.", hint="Make it a folder of this user."
        )
    return Folder(os.open(path, FOLDER), str(path), ours)
