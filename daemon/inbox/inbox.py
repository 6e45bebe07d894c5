"""The inbox: finds finished drops, reads, clears and rejects them.

Events only wake the loop (`daemon/inbox/watcher.py`); the folder's listing decides. Other users may write to the
folder, so all access uses its descriptor (`daemon/core/shared_folder.py`).
"""

import os
import stat
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import suppress
from itertools import islice

from retraind.daemon.core import logs, shared_folder
from retraind.daemon.core.errors import InvalidDrop, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import PREDICT, ignored, real_names, shown
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.core.shared_folder import Folder
from retraind.daemon.inbox import drop_removal, rejected_folder
from retraind.daemon.inbox.drop import Drop, open_file, read_content
from retraind.daemon.inbox.non_files import NonFiles
from retraind.daemon.inbox.open_writers import is_written
from retraind.daemon.inbox.rejected_folder import Rejected
from retraind.daemon.inbox.settling import Settling, Stamp
from retraind.daemon.inbox.skipped_files import SkippedFiles
from retraind.daemon.tabular.file_content import Content, finish

log = logs.Logger()


MOST_NAMED = 20
"""Number of waiting files whose reasons are told."""

LEFT = "its outcome is recorded, but it can't be removed; that is tried again every minute, or remove it by hand"


class Inbox:
    """Lists, settles, reads and clears the folder; used by the loop thread, woken by the watcher's thread."""

    def __init__(self, home: Home, limits: Limits, wake: Callable[[], None], settling: Settling | None = None) -> None:
        """`settling` holds the earlier observations of the files."""
        self._home, self._limits, self._wake = home, limits, wake
        self._settling = settling or Settling(limits.settle_seconds)
        self._left: dict[str, int] = {}
        """Files that can't be removed, with the time of each one's last change in content or rights."""
        self.backlog = (0, 0)
        """Number and bytes of the files waiting at the last scan."""
        self.unread: frozenset[int] = frozenset()
        """The sizes of the waiting files; a held drop of another size can't be one of them."""
        self.skipped, self.strays = SkippedFiles(), NonFiles()
        self.waits: dict[str, str] = {}
        """Files that were not taken at the last scan and why, by name as text; the first MOST_NAMED of them."""

    def hint(self, name: str, *, moved: bool = False, closed: bool = False) -> None:
        """Wake the loop for a file that has changed; any thread may call it.

        A file renamed into place is finished; a file that a writer has closed may be.
        """
        if moved:
            self._settling.moved(name)
        if closed:
            with suppress(OSError):
                self._settling.closed(name, Stamp.of(os.lstat(self._home.inbox / name)))
        self._wake()

    def _open_folder(self) -> Folder:
        """The folder at the inbox's path; its folder or mount may have changed a moment ago."""
        return shared_folder.inbox(self._home)

    # Settling

    def settled(self, now: float, most: int = 1_000_000) -> dict[str, Stamp]:
        """Finished drops with their stamps, oldest first, at most `most`; `now` is monotonic seconds.

        Empty if there is no safe `rejected/` for files that must be rejected; the watcher reports that.
        """
        inbox = self._open_folder()
        stamps = self._scan(inbox)
        self._settling.observe(stamps, now)
        stamps = self.skipped.remaining(stamps)
        self.backlog = (len(stamps), sum(stamp.size for stamp in stamps.values()))
        self.unread = frozenset(stamp.size for stamp in stamps.values())
        self.waits = dict.fromkeys(map(shown, islice(self._left, MOST_NAMED)), LEFT)
        if not stamps or not _has_rejected_folder(inbox):
            return {}
        oldest = sorted(stamps, key=lambda name: (stamps[name].modified, name))
        ready = (name for name in oldest if self._is_ready(inbox, name, now))
        return {name: stamps[name] for name in islice(ready, most)}

    def _is_ready(self, inbox: Folder, name: str, now: float) -> bool:
        objection = self._settling.objection(inbox, name, now)
        if objection is not None and len(self.waits) < MOST_NAMED:
            self.waits[shown(name)] = objection
        return objection is None

    def wait_seconds(self, now: float) -> float | None:
        """Seconds until the next file may be settled; None if none is."""
        return self._settling.wait_seconds(now)

    def _scan(self, inbox: Folder) -> dict[str, Stamp]:
        stamps, left, strays, hidden = {}, {}, [], False
        for entry in inbox.entries():
            if ignored(entry.name) or entry.name == rejected_folder.NAME:
                hidden |= entry.name.startswith(drop_removal.HIDDEN_PREFIX)
                continue
            if entry.name == PREDICT and entry.is_dir(follow_symlinks=False):
                continue  # the outbox takes its files
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
        if hidden:  # its name could not be restored earlier
            drop_removal.recover(inbox)
        return stamps

    # Reading and clearing

    def read(self, name: str, stamp: Stamp) -> Drop | None:
        """`reading` without a pause."""
        return finish(self.reading(name, stamp))

    def reading(self, name: str, stamp: Stamp) -> Generator[None, None, Drop | None]:
        """The drop's bytes, read once, piece by piece; raises InvalidDrop when it is too large or unreadable for us.

        None if it is gone, or changes during the read and so must settle again.
        """
        fd = open_file(self._open_folder(), name)
        if fd is None:
            return None
        content: Content | InvalidDrop
        try:
            content = yield from read_content(fd, name, self._limits, self._home.registry)
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
        """The stamp of the file with this name now; None if there is none."""
        try:
            return Stamp.of(self._open_folder().stat(name))
        except FileNotFoundError:
            return None

    def awaits(self, name: str) -> bool:
        """Whether a drop of this name may come that no scan can see yet."""
        return False

    def remote(self) -> tuple[str | None, str] | None:
        """Why drops of a bucket can't be taken, if so, and a sentence for people; None without a bucket."""
        return None

    def clear(self, drops: Collection[tuple[str, str]]) -> dict[str, OSError]:
        """Remove drops (name, sha256) whose rows are committed; returns those that can't be removed.

        A name may be the journal's text (`names.shown`). A file whose bytes have changed is a new drop and stays.
        """
        if not drops:
            return {}
        inbox, stuck = self._open_folder(), {}
        for name, sha256 in real_names((entry.name for entry in inbox.entries()), drops):
            try:
                drop_removal.remove(inbox, name, sha256)
            except OSError as error:
                stuck[name] = OSError(*error.args)  # without the traceback, which would keep the folder open
            self._settling.forget(name)
        inbox.sync()
        return stuck

    def recover(self) -> None:
        """Give drops their names back that a kill, or a failing disk, left hidden.

        If the folder can't be used, the next scan does it: the watcher reports the folder, or makes it again.
        """
        try:
            drop_removal.recover(self._open_folder())
        except (OSError, Unavailable) as error:
            log.warning("inbox_not_recovered", reason=str(error))

    def leave(self, name: str) -> None:
        """Ignore a file that can be neither removed nor moved, until its content or rights change."""
        try:
            self._left[name] = self._open_folder().stat(name).st_ctime_ns
        except FileNotFoundError:
            self._settling.forget(name)

    def reject(self, refused: Collection[tuple[str, Stamp, Mapping[str, object]]]) -> dict[str, OSError]:
        """Move rejected drops to `rejected/` under free names; returns those that can't be moved.

        Each drop comes with its name, its stamp when it was judged, and its report. A file that has changed is a new
        drop and stays. Raises Unavailable if there is no `rejected/` of ours.
        """
        if not refused:
            return {}
        inbox, stuck = self._open_folder(), {}
        rejected = Rejected.of(inbox)
        for name, stamp, report in refused:
            try:
                drop_removal.reject(inbox, rejected, name, stamp, report)
            except OSError as error:
                stuck[name] = OSError(*error.args)  # without the traceback, which would keep the folder open
            self._settling.forget(name)
        rejected.sync()
        inbox.sync()
        return stuck

    def quarantine(self, drop: Drop, lines: Iterable[bytes]) -> str:
        """Write the rejected rows of a drop to `rejected/`, durably; returns the file's name there.

        Raises OSError, or Unavailable if there is no `rejected/` of ours.
        """
        return Rejected.of(self._open_folder()).quarantine(shown(drop.name), drop.sha256, lines)


def _has_rejected_folder(inbox: Folder) -> bool:
    try:
        Rejected.of(inbox)
    except (OSError, Unavailable):
        return False
    return True
