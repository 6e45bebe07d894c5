"""The inbox: which drops are finished, their bytes, and how refused ones leave it.

Events are hints that wake the loop (`daemon/inbox/watcher.py`); listing the folder is the truth. Others may write to the
folder, so everything in it goes by its descriptor (`daemon/core/shared_folder.py`).
"""

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import structlog

from daemon.core import durable, shared_folder
from daemon.core.errors import InvalidDrop, Unavailable
from daemon.core.home import Home
from daemon.core.inbox_names import LONGEST, as_they_are, ignored, last_part, shown
from daemon.core.settings import Inbox as Limits
from daemon.core.shared_folder import Folder
from daemon.inbox import rejected_folder
from daemon.inbox.non_files import NonFiles
from daemon.inbox.open_writers import is_written
from daemon.inbox.rejected_folder import Rejected
from daemon.inbox.set_aside import Aside
from daemon.inbox.settling import Settling, Stamp
from daemon.tabular.file_content import Content, finish, is_packed, taking

log = structlog.get_logger()

CLEARING = ".retraind-clearing-"
"""Prefix of a drop's name while it is removed or moved; eight random digits, a hyphen and the name follow."""

HIDDEN = re.compile(r"(?:[0-9a-f]{8}-)?(.+)", re.DOTALL)
"""What follows the prefix; the digits were not there always."""


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


class Inbox:
    """Lists, settles, reads and clears the folder; used by the loop thread, fed hints by the watcher's."""

    def __init__(self, home: Home, limits: Limits, wake: Callable[[], None]) -> None:
        self._home, self._limits, self._wake = home, limits, wake
        self._settling = Settling(limits.settle_seconds)
        self._left: dict[str, int] = {}
        """Files that can't be taken away, and when each was changed last, in content or rights."""
        self.backlog = (0, 0)
        """Files and bytes that wait to be read, at the last scan."""
        self.unread: frozenset[int] = frozenset()
        """Their sizes: what is on record of a file that has none of these is not one of them."""
        self.aside, self.strays = Aside(), NonFiles()

    def hint(self, name: str, *, moved: bool = False, closed: bool = False) -> None:
        """Wake the loop for a file that has changed; for any thread.

        One that was renamed into place is finished; one that a writer has closed may be.
        """
        if moved:
            self._settling.moved(name)
        if closed:
            with suppress(OSError):
                self._settling.closed(name, Stamp.of(os.lstat(self._home.inbox / name)))
        self._wake()

    def _open_folder(self) -> Folder:
        """What lies at the inbox's path now: it may be another folder, or another mount, than a moment ago."""
        return shared_folder.inbox(self._home)

    # Settling

    def settled(self, now: float, most: int = 1_000_000) -> dict[str, Stamp]:
        """Finished drops with their stamps, oldest first, at most `most`; `now` is monotonic seconds.

        None while there is no safe place for what may have to be refused: the watcher says so.
        """
        inbox = self._open_folder()
        stamps = self._scan(inbox)
        self._settling.observe(stamps, now)
        stamps = self.aside.rest(stamps)
        self.backlog = (len(stamps), sum(stamp.size for stamp in stamps.values()))
        self.unread = frozenset(stamp.size for stamp in stamps.values())
        if not stamps or not self._can_refuse(inbox):
            return {}
        oldest = sorted(stamps, key=lambda name: (stamps[name].modified, name))
        ready = (name for name in oldest if self._settling.is_settled(inbox, name, now))
        return {name: stamps[name] for name in islice(ready, most)}

    def _can_refuse(self, inbox: Folder) -> bool:
        try:
            Rejected.of(inbox)
        except (OSError, Unavailable):
            return False
        return True

    def wait_seconds(self, now: float) -> float | None:
        """Seconds until the next file may be settled; None if none is."""
        return self._settling.wait_seconds(now)

    def _scan(self, inbox: Folder) -> dict[str, Stamp]:
        stamps, left, strays, hidden = {}, {}, [], False
        for entry in inbox.entries():
            if ignored(entry.name) or entry.name == rejected_folder.NAME:
                hidden |= entry.name.startswith(CLEARING)
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if self._left.get(entry.name) == status.st_ctime_ns:
                left[entry.name] = status.st_ctime_ns
            elif stat.S_ISREG(status.st_mode):
                stamps[entry.name] = Stamp.of(status)
            else:
                strays.append((entry.name, status.st_mode))
        self._left = left
        self.strays.note(strays)
        if hidden:  # it could not be put back when it should have been
            self.recover()
        return stamps

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
        content: Content | InvalidDrop
        try:
            content = yield from self._content(fd, name)
        except InvalidDrop as error:
            content = error
        finally:
            settled = Stamp.of(os.fstat(fd)) == stamp and is_written(fd) is not True
            os.close(fd)
        if not settled:
            log.info("changed_while_read", name=ascii(name))
            self._settling.unsettle(name)
            return None
        if isinstance(content, InvalidDrop):
            raise content
        return Drop(name, stamp, content, self._settling.seen_at(name))

    def stamp(self, name: str) -> Stamp | None:
        """That of the file which has this name now; None if none has."""
        try:
            return Stamp.of(self._open_folder().stat(name))
        except FileNotFoundError:
            return None

    def _open(self, name: str) -> int | None:
        try:
            return self._open_folder().open(name)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EAGAIN):  # the last: a lease is on it
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

    def clear(self, drops: Collection[tuple[str, str]]) -> dict[str, OSError]:
        """Remove drops (name, sha256) whose rows are committed; gives those that can't be removed.

        A name may be the journal's, as text (`names.shown`). A file that has other bytes by now is a new drop and stays.
        """
        if not drops:
            return {}
        inbox, stuck = self._open_folder(), {}
        for name, sha256 in as_they_are((entry.name for entry in inbox.entries()), drops):
            try:
                with self._hidden(inbox, name) as hidden:
                    if hidden is not None and inbox.sha256(hidden) == sha256:
                        inbox.remove(hidden)
            except OSError as error:
                stuck[name] = OSError(*error.args)  # without the frames, which would hold the folder open
            self._settling.forget(name)
        inbox.sync()
        return stuck

    @contextmanager
    def _hidden(self, inbox: Folder, name: str) -> Iterator[str | None]:
        """The name of a drop that is out of the way: what gets its own from now on can't be the file that is judged.

        None if it is gone. Whatever is left of it at the end, however that comes, gets its name back.
        """
        hidden = f"{CLEARING}{secrets.token_hex(4)}-"
        hidden += last_part(name, LONGEST - len(hidden))
        try:
            inbox.rename(name, hidden)
        except FileNotFoundError:
            yield None
            return
        try:
            yield hidden
        finally:
            if inbox.has(hidden):
                self._put_back(inbox, hidden, name)

    def recover(self) -> None:
        """Give drops their names back that a kill, or a failing disk, left out of the way."""
        inbox = self._open_folder()
        for hidden in [entry.name for entry in inbox.entries() if entry.name.startswith(CLEARING)]:
            if match := HIDDEN.fullmatch(hidden.removeprefix(CLEARING)):
                self._put_back(inbox, hidden, match[1])

    def _put_back(self, inbox: Folder, hidden: str, name: str) -> None:
        """Under its name or, where that is another file's by now, one with a number."""
        try:
            count, target = 1, name
            while not inbox.rename_new(hidden, target):
                count += 1
                target = f"{count}-{last_part(name, LONGEST - len(f'{count}-'))}"
        except OSError as error:
            log.error("drop_stays_hidden", path=f"{inbox.path}/{hidden}", reason=str(error), hint="Rename it by hand.")

    def leave(self, name: str) -> None:
        """Don't look at a file again until it, or who may read it, changes: it can be neither removed nor moved."""
        try:
            self._left[name] = self._open_folder().stat(name).st_ctime_ns
        except FileNotFoundError:
            self._settling.forget(name)

    def reject(self, refused: Collection[tuple[str, Stamp, dict[str, Any]]]) -> dict[str, OSError]:
        """Move refused drops to `rejected/` under names that are free there; gives those that can't be moved.

        Of each: its name, its stamp when it was judged, its report. A file that is another by now is a new drop and stays.
        Raises Unavailable if there is no `rejected/` of ours.
        """
        if not refused:
            return {}
        inbox, stuck = self._open_folder(), {}
        place = Rejected.of(inbox)
        for name, stamp, report in refused:
            try:
                self._reject(inbox, place, name, stamp, report)
            except OSError as error:
                stuck[name] = OSError(*error.args)  # without the frames, which would hold the folder open
            self._settling.forget(name)
        place.sync()
        inbox.sync()
        return stuck

    def _reject(self, inbox: Folder, place: Rejected, name: str, stamp: Stamp, report: dict[str, Any]) -> None:
        with self._hidden(inbox, name) as hidden, _judged(inbox, hidden, stamp, report.get("sha256")) as fd:
            if hidden is None or fd is None:
                place.report(place.free_name(name), report)
                log.warning("rejected_drop_vanished", name=name)
                return
            place.keep(inbox, hidden, fd, name, report)

    def quarantine(self, drop: Drop, lines: Iterable[bytes]) -> str:
        """Write the refused rows of a drop to `rejected/`, durably; returns the file's name there.

        Raises OSError, or Unavailable if there is no `rejected/` of ours.
        """
        return Rejected.of(self._open_folder()).quarantine(shown(drop.name), drop.sha256, lines)


@contextmanager
def _judged(inbox: Folder, hidden: str | None, stamp: Stamp, sha256: str | None) -> Iterator[int | None]:
    """A descriptor (O_PATH) of the file if it is the one that had the stamp, or at least its bytes."""
    if hidden is None:
        yield None
        return
    fd = inbox.open(hidden, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        same = stat.S_ISREG(status.st_mode) and status.st_size == stamp.size
        if same and Stamp.of(status) != stamp:
            same = sha256 is not None and durable.sha256_file(f"/proc/self/fd/{fd}") == sha256
        yield fd if same else None
    finally:
        os.close(fd)
