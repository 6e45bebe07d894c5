"""Settling: when a file in the inbox is finished.

The signs are open writers, as far as the kernel knows them, renames, closings and quiet time.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from retraind.daemon.core import shared_folder
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import ignored
from retraind.daemon.core.shared_folder import Folder
from retraind.daemon.core.status import utcnow
from retraind.daemon.inbox.open_writers import is_written

UNSURE_SECONDS = 10.0
"""Quiet time for a file that may still be written, as far as the kernel knows."""


@dataclass(frozen=True)
class Stamp:
    """A value that changes whenever a file's content may have changed."""

    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """The stamp of an `os.stat` result."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


class _PendingFile(NamedTuple):
    """A waiting file: its stamp, the time of that stamp (monotonic seconds), and when the file was first seen (UTC)."""

    stamp: Stamp
    since: float
    at: str


class Settling:
    """The state of the waiting files; used by the loop thread, `moved` and `closed` by any thread."""

    def __init__(self, settle_seconds: float) -> None:
        self._seconds = settle_seconds
        self._seen: dict[str, _PendingFile] = {}
        self._moved_in: set[str] = set()
        self._closed: dict[str, Stamp] = {}

    def moved(self, name: str) -> None:
        """Note that a file got its name by a rename, so it was finished before."""
        self._moved_in.add(name)

    def closed(self, name: str, stamp: Stamp) -> None:
        """Note that a writer has closed a file, which had this stamp then."""
        self._closed[name] = stamp

    def look(self, home: Home, now: float) -> None:
        """Note the files in the folder, so that they settle during the start; `now` is monotonic seconds.

        If the folder can't be listed nothing is noted; the loop lists it again and reports the error.
        """
        with suppress(OSError, RetraindError):
            inbox = shared_folder.inbox(home)
            stamps = {
                entry.name: Stamp.of(entry.stat(follow_symlinks=False))
                for entry in inbox.entries()
                if not ignored(entry.name)
            }
            self.observe(stamps, now)

    def observe(self, stamps: Mapping[str, Stamp], now: float) -> None:
        """Note the present files; `now` is monotonic seconds."""
        at = utcnow()
        self._seen = {name: self._first_seen(name, stamp, now, at) for name, stamp in stamps.items()}
        self._moved_in &= stamps.keys()
        for name in self._closed.copy().keys() - stamps.keys():
            self._closed.pop(name, None)

    def _first_seen(self, name: str, stamp: Stamp, now: float, at: str) -> _PendingFile:
        seen = self._seen.get(name)
        return seen if seen is not None and seen.stamp == stamp else _PendingFile(stamp, now, seen.at if seen else at)

    def is_settled(self, inbox: Folder, name: str, now: float) -> bool:
        """Whether an observed file is finished."""
        return self.objection(inbox, name, now) is None

    def objection(self, inbox: Folder, name: str, now: float) -> str | None:
        """Why an observed file does not count as finished; None if it does."""
        seen = self._seen[name]
        quiet = now - seen.since
        if quiet < self._seconds and name not in self._moved_in:
            return (
                f"it has just changed; after {self._seconds:g} s of quiet it counts as finished (inbox.settle_seconds)"
            )
        written = _being_written(inbox, name)
        if written is True:
            return "a program still has it open for writing"
        if name in self._moved_in:
            return None
        # For files of other users the kernel only reports that a writer has closed them, and only on this machine.
        sure = written is False or self._closed.get(name) == seen.stamp
        patience = self._seconds if sure else max(UNSURE_SECONDS, self._seconds)
        if quiet >= patience:
            return None
        return f"the kernel can't tell whether a program still writes to it, so it waits for {patience:g} s of quiet"

    def wait_seconds(self, now: float) -> float | None:
        """Seconds until the next file may be settled; None if none waits.

        A quiet file that is still open gives an event when it is closed.
        """
        left = [self._seconds - (now - seen.since) for seen in self._seen.values()]
        return min((max(0.01, seconds) for seconds in left if seconds > 0), default=None)

    def seen_at(self, name: str) -> str:
        """When a file was seen first (UTC)."""
        seen = self._seen.get(name)
        return seen.at if seen else utcnow()

    def unsettle(self, name: str) -> None:
        """Note that a file has changed, so its rename into the folder no longer means that it is finished."""
        self._moved_in.discard(name)

    def forget(self, name: str) -> None:
        """Forget a file that is gone or was replaced."""
        self._seen.pop(name, None)
        self._moved_in.discard(name)
        self._closed.pop(name, None)


def _being_written(inbox: Folder, name: str) -> bool | None:
    """Whether a process has the file open for writing, or holds a write lease on it; None if unknown."""
    try:
        fd = inbox.open(name)
    except BlockingIOError:
        return True
    except OSError:
        return None
    try:
        return is_written(fd)
    finally:
        os.close(fd)
