"""The inbox: which drops are finished, their bytes, and where refused ones go.

Level 3. Events are hints that wake the loop (`daemon/watcher.py`); listing the folder is the truth.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog

from daemon import durable
from daemon.errors import InvalidDrop
from daemon.home import Home
from daemon.names import ignored
from daemon.settings import Inbox as Limits

log = structlog.get_logger()

CLEARING = ".retraind-clearing-"
"""Prefix of a drop's name while it is removed."""

UNSURE_SECONDS = 10.0
"""Quiet time for a file of which nobody can tell whether it is still being written."""


@dataclass(frozen=True)
class Stamp:
    """What changes whenever a file's content may have changed."""

    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """The stamp of an `os.stat` result."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Drop:
    """A settled file: its name in the inbox, its stamp when it was read, its bytes and their sha256."""

    name: str
    stamp: Stamp
    data: bytes
    sha256: str

    @property
    def source(self) -> str:
        """`http` for a sample that came over HTTP, else `file`."""
        return "http" if self.name.startswith("http-") and self.name.endswith(".sample.json") else "file"


class Inbox:
    """Lists, settles, reads and clears the folder; used by the loop thread, fed hints by the watcher's."""

    def __init__(self, home: Home, limits: Limits, wake: Callable[[], None]) -> None:
        self._home, self._limits, self._wake = home, limits, wake
        self._seen: dict[str, tuple[Stamp, float]] = {}
        self._moved_in: set[str] = set()
        self._left: dict[str, Stamp] = {}
        self.backlog: tuple[int, int] = (0, 0)
        """Files and bytes that wait, at the last scan."""

    def hint(self, name: str, *, moved: bool) -> None:
        """Wake the loop for a file that has changed; one that was renamed into place is finished. For any thread."""
        if moved:
            self._moved_in.add(name)
        self._wake()

    # Settling

    def settled(self, now: float) -> list[str]:
        """Names of finished drops, oldest first; `now` is monotonic seconds."""
        found = {name: stamp for name, stamp in self._scan().items() if self._left.get(name) != stamp}
        self._left = {name: stamp for name, stamp in self._left.items() if name not in found}
        self._seen = {name: self._first_seen(name, stamp, now) for name, stamp in found.items()}
        self._moved_in &= found.keys()
        self.backlog = (len(found), sum(stamp.size for stamp in found.values()))
        ready = [name for name in found if self._is_settled(name, now)]
        return sorted(ready, key=lambda name: (found[name].modified, name))

    def wait_seconds(self, now: float) -> float | None:
        """Seconds until the next file may be settled; None if none is: one that is quiet but still open tells us itself."""
        left = [self._limits.settle_seconds - (now - since) for _, since in self._seen.values()]
        return min((max(0.01, seconds) for seconds in left if seconds > 0), default=None)

    def _scan(self) -> dict[str, Stamp]:
        found = {}
        with os.scandir(self._home.inbox) as entries:
            for entry in entries:
                if ignored(entry.name):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    found[entry.name] = Stamp.of(status)
        return found

    def _first_seen(self, name: str, stamp: Stamp, now: float) -> tuple[Stamp, float]:
        known = self._seen.get(name)
        return known if known is not None and known[0] == stamp else (stamp, now)

    def _is_settled(self, name: str, now: float) -> bool:
        quiet, written = now - self._seen[name][1], _being_written(self._home.inbox / name)
        # A file that was renamed into the folder was finished before it got its name.
        if name in self._moved_in:
            return written is not True
        patience = self._limits.settle_seconds if written is False else max(UNSURE_SECONDS, self._limits.settle_seconds)
        return written is not True and quiet >= patience

    # Reading and clearing

    def read(self, name: str) -> Drop | None:
        """The drop's bytes, read once; None if it vanished; raises InvalidDrop when it is too large or not ours to read."""
        try:
            fd = os.open(self._home.inbox / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                return None
            if error.errno in (errno.EACCES, errno.EPERM):
                # One such file must not keep the others waiting.
                raise InvalidDrop(f"The file can't be read by this user ({error.strerror}).") from None
            raise
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if status.st_size > self._limits.max_bytes:
                raise InvalidDrop(f"The file has {status.st_size} bytes; inbox.max_bytes = {self._limits.max_bytes}.")
            data = file.read()
        return Drop(name, Stamp.of(status), data, durable.sha256(data))

    def clear(self, name: str, data_sha256: str) -> None:
        """Remove a drop whose rows are committed; a file that has other bytes by now is a new drop and stays."""
        hidden = self._home.inbox / f"{CLEARING}{name}"
        try:
            # Out of the way first: what gets the name from now on can't be the file that is hashed and removed.
            os.rename(self._home.inbox / name, hidden)
        except FileNotFoundError:
            return
        if stat.S_ISREG(os.lstat(hidden).st_mode) and durable.sha256_file(hidden) == data_sha256:
            durable.remove(hidden)
        else:
            self._put_back(hidden)
        self._forget(name)

    def recover(self) -> None:
        """Give drops that a kill caught in `clear` their names back."""
        for hidden in self._home.inbox.glob(f"{CLEARING}*"):
            self._put_back(hidden)

    def _put_back(self, hidden: Path) -> None:
        name, count = hidden.name.removeprefix(CLEARING), 1
        target = self._home.inbox / name
        while target.exists():
            count += 1
            target = self._home.inbox / f"{count}-{name}"
        hidden.rename(target)

    def leave(self, name: str) -> None:
        """Don't look at a file again until it changes: it can be neither removed nor moved."""
        try:
            self._left[name] = Stamp.of(os.lstat(self._home.inbox / name))
        except FileNotFoundError:
            self._forget(name)

    def reject(self, name: str, report: dict[str, Any]) -> str:
        """Move a refused drop to `rejected/` under a name that is free there, with its report; returns that name."""
        target = self._free_name(name)
        durable.write(target.with_name(target.name + ".report.json"), orjson.dumps(report, option=orjson.OPT_INDENT_2))
        try:
            os.replace(self._home.inbox / name, target)
        except FileNotFoundError:
            log.warning("rejected_drop_vanished", name=name)
        durable.fsync_dir(self._home.rejected)
        durable.fsync_dir(self._home.inbox)
        self._forget(name)
        return target.name

    def _forget(self, name: str) -> None:
        self._seen.pop(name, None)
        self._moved_in.discard(name)

    def _free_name(self, name: str) -> Path:
        short = name if len(os.fsencode(name)) <= 220 else f"{durable.sha256(os.fsencode(name))[:32]}.csv"
        target, count = self._home.rejected / short, 1
        while target.exists() or target.with_name(target.name + ".report.json").exists():
            count += 1
            target = self._home.rejected / f"{count}-{short}"
        return target


def _being_written(path: Path) -> bool | None:
    """Whether some process has the file open for writing: the kernel then gives no read lease (fcntl(2)).

    None where that can't be told: network file systems, and files of other users.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(fd)
    return False
