"""The inbox: which drops are finished, their bytes, and where refused ones go.

Level 3. Events are hints that wake the loop (`daemon/watcher.py`); listing the folder is the truth.
"""

import errno
import fcntl
import os
import re
import secrets
import signal
import stat
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import structlog

from daemon import durable
from daemon.content import Content, finish, is_packed, taking
from daemon.errors import InvalidDrop
from daemon.home import Home
from daemon.names import BAD_ROWS, REPORT, ignored
from daemon.settings import Inbox as Limits
from daemon.status import utcnow

log = structlog.get_logger()

CLEARING = ".retraind-clearing-"
"""Prefix of a drop's name while it is removed or moved; eight random digits, a hyphen and the name follow."""

HIDDEN = re.compile(r"(?:[0-9a-f]{8}-)?(.+)", re.DOTALL)
"""What follows the prefix; the digits were not there always."""

LONGEST = 255
"""Bytes that a name can have on all usual file systems."""

LONGEST_NAME = 220

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
    """A settled file that was read: its name and stamp in the inbox, its content, when it was seen there first (UTC)."""

    name: str
    stamp: Stamp
    content: Content
    seen_at: str

    @property
    def bytes(self) -> int:
        """Its size in the inbox."""
        return self.stamp.size

    @property
    def sha256(self) -> str:
        """The drop's identity."""
        return self.content.sha256


class _Seen(NamedTuple):
    """A file that waits: its stamp, since when it has it (monotonic seconds), and when the file was first seen (UTC)."""

    stamp: Stamp
    since: float
    at: str


class Inbox:
    """Lists, settles, reads and clears the folder; used by the loop thread, fed hints by the watcher's."""

    def __init__(self, home: Home, limits: Limits, wake: Callable[[], None]) -> None:
        self._home, self._limits, self._wake = home, limits, wake
        self._folder = f"{home.inbox}/"  # text: building a Path for each of 10,000 files costs more than reading it
        self._seen: dict[str, _Seen] = {}
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

    def settled(self, now: float, most: int = 1_000_000) -> dict[str, Stamp]:
        """Finished drops with their stamps, oldest first, at most `most`; `now` is monotonic seconds."""
        found = {name: stamp for name, stamp in self._scan().items() if self._left.get(name) != stamp}
        self._left = {name: stamp for name, stamp in self._left.items() if name not in found}
        at = utcnow()
        self._seen = {name: self._first_seen(name, stamp, now, at) for name, stamp in found.items()}
        self._moved_in &= found.keys()
        self.backlog = (len(found), sum(stamp.size for stamp in found.values()))
        oldest = sorted(found, key=lambda name: (found[name].modified, name))
        ready = (name for name in oldest if self._is_settled(name, now))
        return {name: found[name] for name in islice(ready, most)}

    def wait_seconds(self, now: float) -> float | None:
        """Seconds until the next file may be settled; None if none is: one that is quiet but still open tells us itself."""
        left = [self._limits.settle_seconds - (now - seen.since) for seen in self._seen.values()]
        return min((max(0.01, seconds) for seconds in left if seconds > 0), default=None)

    def _scan(self) -> dict[str, Stamp]:
        found, hidden = {}, False
        with os.scandir(self._home.inbox) as entries:
            for entry in entries:
                if ignored(entry.name):
                    hidden |= entry.name.startswith(CLEARING)
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    found[entry.name] = Stamp.of(status)
        if hidden:  # it could not be put back when it should have been
            self.recover()
        return found

    def _first_seen(self, name: str, stamp: Stamp, now: float, at: str) -> "_Seen":
        known = self._seen.get(name)
        return known if known is not None and known.stamp == stamp else _Seen(stamp, now, known.at if known else at)

    def _is_settled(self, name: str, now: float) -> bool:
        quiet = now - self._seen[name].since
        if quiet < self._limits.settle_seconds and name not in self._moved_in:
            return False
        written = _being_written(self._folder + name)
        # A file that was renamed into the folder was finished before it got its name.
        if name in self._moved_in:
            return written is not True
        patience = self._limits.settle_seconds if written is False else max(UNSURE_SECONDS, self._limits.settle_seconds)
        return written is not True and quiet >= patience

    # Reading and clearing

    def read(self, name: str, stamp: Stamp) -> Drop | None:
        """`reading` without a pause."""
        return finish(self.reading(name, stamp))

    def reading(self, name: str, stamp: Stamp) -> Generator[None, None, Drop | None]:
        """The drop's bytes, read once, piece by piece; raises InvalidDrop when it is too large or not ours to read.

        None if it is gone, or not, from beginning to end, the settled file that has the stamp: it is looked at again then.
        """
        fd = self._open(name)
        if fd is None:
            return None
        found: Content | InvalidDrop
        try:
            found = yield from self._content(fd, name)
        except InvalidDrop as error:
            found = error
        finally:
            settled = Stamp.of(os.fstat(fd)) == stamp and _is_written(fd) is not True
            os.close(fd)
        if not settled:
            log.info("changed_while_read", name=ascii(name))
            self._moved_in.discard(name)
            return None
        if isinstance(found, InvalidDrop):
            raise found
        seen = self._seen.get(name)
        return Drop(name, stamp, found, seen.at if seen else utcnow())

    def _open(self, name: str) -> int | None:
        try:
            return os.open(self._folder + name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                return None
            if error.errno in (errno.EACCES, errno.EPERM):
                # One such file must not keep the others waiting.
                raise InvalidDrop(f"The file can't be read by this user ({error.strerror}).") from None
            raise

    def _content(self, fd: int, name: str) -> Generator[None, None, Content]:
        size, most = os.fstat(fd).st_size, self._limits.max_bytes
        if size > most:
            raise InvalidDrop(f"The file has {size} bytes; inbox.max_bytes = {most}.")
        packed = is_packed(name)
        most = self._limits.max_inflated_bytes if packed else most
        return (yield from taking(fd, self._home.registry, inflate=packed, most=most))

    def clear(self, drops: Iterable[tuple[str, str]]) -> dict[str, OSError]:
        """Remove drops (name, sha256) whose rows are committed; gives those that can't be removed.

        A file that has other bytes by now is a new drop and stays.
        """
        stuck = {}
        for name, sha256 in drops:
            try:
                self._clear(name, sha256)
            except OSError as error:
                stuck[name] = error
            self._forget(name)
        durable.fsync_dir(self._home.inbox)
        return stuck

    def _clear(self, name: str, sha256: str) -> None:
        with self._hidden(name) as hidden:
            if hidden is not None and stat.S_ISREG(os.lstat(hidden).st_mode) and durable.sha256_file(hidden) == sha256:
                os.unlink(hidden)

    @contextmanager
    def _hidden(self, name: str) -> Iterator[str | None]:
        """The path of a drop that is out of the way: what gets its name from now on can't be the file that is judged.

        None if it is gone. Whatever is left of it at the end, however that comes, gets its name back.
        """
        hidden = f"{self._folder}{CLEARING}{secrets.token_hex(4)}-"
        hidden += _end(name, LONGEST - len(os.path.basename(hidden)))
        try:
            os.rename(self._folder + name, hidden)
        except FileNotFoundError:
            yield None
            return
        try:
            yield hidden
        finally:
            if os.path.lexists(hidden):
                self._put_back(hidden, name)

    def recover(self) -> None:
        """Give drops their names back that a kill, or a failing disk, left out of the way."""
        for hidden in self._home.inbox.glob(f"{CLEARING}*"):
            if found := HIDDEN.fullmatch(hidden.name.removeprefix(CLEARING)):
                self._put_back(str(hidden), found[1])

    def _put_back(self, hidden: str, name: str) -> None:
        """Under its name or, where that is another file's by now, one with a number."""
        try:
            count, target = 1, name
            while not durable.rename_new(hidden, self._folder + target):
                count += 1
                target = f"{count}-{_end(name, LONGEST - len(f'{count}-'))}"
        except OSError as error:
            log.error("drop_stays_hidden", path=hidden, reason=str(error), hint="Rename it by hand.")

    def leave(self, name: str) -> None:
        """Don't look at a file again until it changes: it can be neither removed nor moved."""
        try:
            self._left[name] = Stamp.of(os.lstat(self._home.inbox / name))
        except FileNotFoundError:
            self._forget(name)

    def reject(self, refused: Iterable[tuple[str, Stamp, dict[str, Any]]]) -> dict[str, OSError]:
        """Move refused drops to `rejected/` under names that are free there; gives those that can't be moved.

        Of each: its name, its stamp when it was judged, its report. A file that is another by now is a new drop and stays.
        """
        stuck = {}
        for name, stamp, report in refused:
            try:
                self._reject(name, stamp, report)
            except OSError as error:
                stuck[name] = error
            self._forget(name)
        durable.fsync_dir(self._home.rejected)
        durable.fsync_dir(self._home.inbox)
        return stuck

    def _reject(self, name: str, stamp: Stamp, report: dict[str, Any]) -> None:
        with self._hidden(name) as hidden:
            moved = False
            while not moved:
                target = self._free_name(name)
                # Not waited for: the journal holds the same facts, durably.
                durable.publish(
                    target.with_name(target.name + REPORT), orjson.dumps(report, option=orjson.OPT_INDENT_2)
                )
                if hidden is None or not _is_judged(hidden, stamp, report.get("sha256")):
                    log.warning("rejected_drop_vanished", name=name)
                    return
                moved = durable.rename_new(hidden, str(target))

    def quarantine(self, drop: Drop, lines: Iterable[bytes]) -> str:
        """Write the refused rows of a drop to `rejected/`, durably; returns the file's name there.

        The name tells drops of the same name apart. After a kill the same rows are written again: they get the same name then.
        """
        with tempfile.NamedTemporaryFile(
            dir=self._home.rejected, prefix=durable.MARK, suffix=durable.TMP, delete=False
        ) as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        digest = durable.sha256_file(Path(file.name))
        ending = f".{drop.sha256[:8]}{BAD_ROWS}"
        name = os.fsencode(drop.name).decode("utf-8", "replace")  # the journal keeps it, as text
        target, count = self._short(name, ending), 1
        while target.exists() and durable.sha256_file(target) != digest:
            count += 1
            target = self._short(f"{count}-{name}", ending)
        os.replace(file.name, target)
        durable.fsync_dir(self._home.rejected)
        return target.name

    def _forget(self, name: str) -> None:
        self._seen.pop(name, None)
        self._moved_in.discard(name)

    def _free_name(self, name: str) -> Path:
        target, count = self._short(name), 1
        while target.exists():  # a report alone is that of a move that was cut short
            count += 1
            target = self._short(f"{count}-{name}")
        return target

    def _short(self, name: str, ending: str = "") -> Path:
        """Where a file of this name is kept in `rejected/`; names too long for what is added to them are replaced."""
        if len(os.fsencode(name + ending)) <= LONGEST_NAME:
            return self._home.rejected / f"{name}{ending}"
        return self._home.rejected / f"{durable.sha256(os.fsencode(name))[:32]}{ending or '.csv'}"


def _is_judged(hidden: str, stamp: Stamp, sha256: str | None) -> bool:
    """Whether this is the file that had the stamp, or at least its bytes."""
    found = os.lstat(hidden)
    if not stat.S_ISREG(found.st_mode):
        return False
    return Stamp.of(found) == stamp or (bool(sha256) and durable.sha256_file(hidden) == sha256)


def _end(name: str, most: int) -> str:
    """The last `most` bytes of a name, all of it if it is shorter; what is cut does not begin with a dot: that would hide it."""
    data = os.fsencode(name)
    return name if len(data) <= most else os.fsdecode(data[-most:].lstrip(b".")) or "drop"


def _being_written(path: str) -> bool | None:
    """Whether some process has the file at the path open for writing; None where that can't be told."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _is_written(fd)
    finally:
        os.close(fd)


def _is_written(fd: int) -> bool | None:
    """Whether some process has the file open for writing: the kernel then gives no read lease (fcntl(2)).

    None where that can't be told: network file systems, and files of other users.
    """
    try:
        # Who opens the file for writing while the lease is held has us told by a signal. That of F_SETSIG is ignored unless
        # a process asks for it; SIGIO, which it would be otherwise, ends one.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    return False
