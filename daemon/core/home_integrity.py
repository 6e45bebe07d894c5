"""Checks the integrity of a home while it runs: its folders, its journal and the files of the served model.

Shared by the loop, the HTTP workers and the command line, so they all report the same. A check costs a few system calls
and writes nothing. It returns None, or a sentence that says what is wrong and what to do.
"""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server

LEAST_BYTES = 64 * 1024
"""With less room than this, the disk counts as full."""

RESTORE = "Put it back, or stop the service and restore the home from a backup"


class OpenedFile:
    """The file that a path named when a database was opened: SQLite silently keeps writing to a removed file.

    If no file existed then, the first file seen counts.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, _identity(path)

    def lost(self) -> str | None:
        """Why anything written to it now would be lost; None if it would not."""
        there = _identity(self._path)
        self._file = self._file or there
        if there == self._file:
            return None
        if there is None:
            return f"{self._path} is gone. {RESTORE}: until then nothing is recorded."
        return f"{self._path} is not the file that this process has opened. Put the old file back, or restart to use this one: until then nothing is recorded."


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def unwritable(folder: Path) -> str | None:
    """Why no file can be created in a folder: it is gone, read-only, or this user may not write to it."""
    # access(2) also fails on a read-only file system and in an immutable folder, even for root.
    if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return None
    if not folder.is_dir():
        return f"{folder} is gone. {RESTORE}."
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{folder} is on a read-only file system. Mount it writable; the kernel's log may say why it is not."
    return f"{folder} can't be written to by user {os.geteuid()}: give the rights back."


def disk(home: Home) -> str | None:
    """Why no data can be stored now."""
    try:
        room = os.statvfs(home.root)
    except OSError as error:
        return f"{home.root} can't be reached ({errno.errorcode.get(error.errno or 0, 'unknown')}). {RESTORE}."
    if room.f_bavail * room.f_frsize < LEAST_BYTES:
        return "The disk is full, so nothing is accepted: free some space."
    if room.f_files and room.f_favail == 0:
        return "The disk has no inodes left, so nothing is accepted: remove some files."
    return next(filter(None, map(unwritable, (home.registry, home.logs))), None)


def journal(home: Home) -> str | None:
    """Reports a missing journal in a home that has data or a model, and so must have a journal."""
    if journal_server.exists(home) or not has_data_or_model(home):
        return None
    return f"{home.journal} is gone. {RESTORE}."


def has_data_or_model(home: Home) -> bool:
    """Whether a home has data or a model, which only the journal can explain."""
    return home.pointer.exists() or home.dataset_pointer.exists()


def bundle(home: Home, version: int, names: Iterable[str]) -> str | None:
    """Why no process could load the served version again; `names` are the files of its bundle."""
    folder = home.bundle(version)
    gone = [name for name in names if not (folder / name).exists()]
    if not gone:
        return None
    return (
        f"{folder / gone[0]} is gone: version {version} answers from memory, but a restart could not load it. Put it back, "
        "restore it from a backup, or have another version: `retraind promote N`, `retraind retrain --force`."
    )
