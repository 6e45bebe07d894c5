"""The folder of fetched objects in the inbox: hidden, and only ours.

It is emptied at the start, because the objects are still in the bucket. So nothing in it has to be durable.
"""

import hashlib
import os
import secrets
from contextlib import suppress
from typing import BinaryIO

from retraind.daemon.core import shared_folder
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.shared_folder import Folder

NAME = ".objects"
"""On the inbox's file system, so that a rejected object can be renamed into `rejected/`."""

MODE = 0o700


class HashedFile:
    """A file whose bytes are hashed as they are written, while others are on their way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write some bytes; returns their number."""
        self._digest.update(data)
        return self._file.write(data)

    @property
    def sha256(self) -> str:
        """The hash of all bytes so far."""
        return self._digest.hexdigest()


class Staging:
    """The folder; its methods raise OSError, and Unavailable if another user has put something in its place."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder: Folder | None = None

    def prepare(self) -> None:
        """Make, open and empty the folder at the start, and after the inbox was removed."""
        if self._folder is None or self._folder.status.st_nlink == 0:
            folder = _opened(self._home)
            for entry in list(folder.entries()):
                folder.remove(entry.name)
            self._folder = folder

    @property
    def folder(self) -> Folder:
        """The open folder; call `prepare` before."""
        assert self._folder is not None
        return self._folder

    def create(self) -> tuple[str, int]:
        """The name and descriptor of a new file; the caller closes it."""
        name = secrets.token_hex(8)
        return name, self.folder.create(name)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.folder.remove(name)


def _opened(home: Home) -> Folder:
    inbox = shared_folder.inbox(home)
    with suppress(FileExistsError):
        os.mkdir(NAME, MODE, dir_fd=inbox.fd)
    folder = inbox.folder(NAME)
    status = folder.status
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise Unavailable(f"{folder.path} is not only ours.", hint="Remove it; then a new folder is made.")
    return folder
