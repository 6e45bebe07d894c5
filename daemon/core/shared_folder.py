"""A folder that others may write to, held open: what is done in it goes by its descriptor.

A path is looked up again at each call, so whoever can rename something on the way, or put a link there, decides where
a file ends. A descriptor stays the folder that it was when it was opened, and no link in it is followed.
"""

import errno
import os
import stat
import time
import weakref
from collections.abc import Iterator
from typing import Self

from daemon.core import durable
from daemon.core.errors import Unavailable
from daemon.core.home import Home

READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Neither a link that is followed nor a pipe that is waited for."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Folder:
    """An open folder; `path` is only for people. Every method raises OSError. Closed when it is no longer needed.

    `owners`: the users whose files in it count as ours.
    """

    def __init__(self, fd: int, path: str, owners: frozenset[int]) -> None:
        self.fd, self.path, self.owners = fd, path, owners
        weakref.finalize(self, os.close, fd)

    @property
    def status(self) -> os.stat_result:
        """Of the folder itself."""
        return os.fstat(self.fd)

    def folder(self, name: str) -> Self:
        """A folder in it, which no link may stand for."""
        return type(self)(os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=self.fd), f"{self.path}/{name}", self.owners)

    def entries(self) -> Iterator["os.DirEntry[str]"]:
        """What lies in it, with names instead of paths."""
        with os.scandir(self.fd) as entries:
            yield from entries

    def stat(self, name: str) -> os.stat_result:
        """Of what has the name: a link is a link."""
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def has(self, name: str) -> bool:
        """Whether anything has the name, a dangling link too."""
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def open(self, name: str, flags: int = READING) -> int:
        """A descriptor of a file; the caller closes it."""
        return os.open(name, flags, dir_fd=self.fd)

    def create(self, name: str) -> int:
        """A descriptor of a new file of this user alone; the caller closes it."""
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self.fd)

    def rename(self, name: str, target: str) -> None:
        """Within the folder, over what has the name."""
        os.rename(name, target, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def rename_new(self, name: str, target: str, to: "Folder | None" = None) -> bool:
        """Rename, maybe into another folder, but never over what exists: False when `target` does."""
        return durable.rename_new(name, target, self.fd, (to or self).fd)

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone is fine."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            return

    def sync(self) -> None:
        """Make the names in it durable."""
        os.fsync(self.fd)

    def sha256(self, name: str) -> str | None:
        """Of a regular file; None for anything else, also for nothing."""
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
    """The inbox, which may be a link, say to a share, if this user, root or the home's owner has made it.

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
