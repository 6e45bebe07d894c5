"""Drop: a settled file that was read once, piece by piece, within the limits."""

import errno
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.core.shared_folder import Folder
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.tabular import file_content
from retraind.daemon.tabular.file_content import Content

VANISHED = (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EAGAIN)
"""Errors of opening a file that is gone, was replaced, or (the last one) is being written under a lease."""


@dataclass(frozen=True)
class Drop:
    """A settled file that was read: its name and stamp in the inbox, its content, when it was first seen (UTC).

    `origin`: URL and version of the object that it was, if it came from a bucket.
    """

    name: str
    stamp: Stamp
    content: Content
    seen_at: str
    origin: str | None = None

    @property
    def bytes(self) -> int:
        """Its size in the inbox."""
        return self.stamp.size

    @property
    def sha256(self) -> str:
        """The drop's identity."""
        return self.content.sha256


def open_file(inbox: Folder, name: str) -> int | None:
    """A descriptor of a file in the inbox; None if it is gone or can't be read now. Raises InvalidDrop, OSError."""
    try:
        return inbox.open(name)
    except OSError as error:
        if error.errno in VANISHED:
            return None
        if error.errno in (errno.EACCES, errno.EPERM):
            # One such file must not delay the others.
            raise InvalidDrop(f"The file can't be read by this user ({error.strerror}).") from None
        raise


def read_content(fd: int, name: str, limits: Limits, spool: Path) -> Generator[None, None, Content]:
    """The bytes of an open file, decompressed if need be; yields after each piece.

    Large ones go to a nameless file in `spool`. Raises InvalidDrop beyond the `limits`.
    """
    size, most = os.fstat(fd).st_size, limits.max_bytes
    if size > most:
        raise InvalidDrop(f"The file has {size} bytes; inbox.max_bytes = {most}.")
    packed = file_content.is_packed(name)
    most = limits.max_inflated_bytes if packed else most
    return (yield from file_content.taking(fd, spool, inflate=packed, most=most))
