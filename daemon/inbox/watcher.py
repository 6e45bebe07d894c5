"""The watcher: wakes the loop when something changes in the inbox.

The only module that uses watchdog. Events are only hints; the folder's listing decides. So a failure here makes a drop
wait for the next scan, but never loses it. The loop thread calls it about once a second.
"""

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from watchdog.events import FileClosedEvent, FileCreatedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyEvent, InotifyFD

from retraind.daemon.core import durable, file_modes, logs, shared_folder
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.status import utcnow
from retraind.daemon.inbox.rejected_folder import Rejected

log = logs.Logger()

CANARY_SECONDS = 2.0
"""Seconds that the event of the canary, a hidden file, may take before the folder counts as one without events."""

RETRY_SECONDS = 30.0
"""Seconds between attempts to watch after a refusal or missing events."""

STARTING = "Scanned; a test of whether events arrive is running."
SILENT = "Only scanned: no events arrive from this folder, as on some network and container mounts."
WAITING = "Until then drops wait in the inbox."
UNSAFE = " Everyone who may drop files can also remove other users' files: chmod +t the inbox."
LIMITS = {errno.EMFILE: "fs.inotify.max_user_instances", errno.ENOSPC: "fs.inotify.max_user_watches"}
KINDS: list[type[FileSystemEvent]] = [FileClosedEvent, FileMovedEvent, FileCreatedEvent]


class Hint(Protocol):
    """A callback for the name of a changed file.

    `moved`: a rename gave it that name or brought it into the folder. `closed`: a program that could write to it has
    closed it.
    """

    def __call__(self, name: str, *, moved: bool = False, closed: bool = False) -> None:
        """Report a file; called by the observer's thread."""


class Watcher:
    """Keeps one observer on the inbox, and detects when it gets no events."""

    def __init__(self, home: Home, hint: Hint, wake: Callable[[], None]) -> None:
        self._home, self._hint, self._wake = home, hint, wake
        self._watch: _Watch | None = None
        self._identity: tuple[int, int, bool] | None = None
        self._problem: str | None = None
        self._rejected_problem: str | None = None
        self._rights = (file_modes.FOLDER, -1)
        """The last mode and group of the inbox, for the case that it must be made again."""
        self._remark = ""
        self._refused: str | None = None
        self._retry_at = 0.0
        self._overflows, self._overflowed_at = 0, ""

    def watch(self, now: float) -> list[str]:
        """Make the inbox if it is missing, and watch it; `now` is monotonic seconds.

        Returns sentences for the journal. Problems with the folder raise nothing; `watching` reports them.
        """
        sentences = []
        try:
            if self._make_folder():
                sentences.append(f"The inbox was gone and has been made again: {self._home.inbox}.")
            status = os.stat(self._home.inbox)
        except OSError as error:
            self._problem = f"{self._home.inbox} can't be used: {error.strerror}. Make it a folder of this user."
            return sentences
        usable = os.access(self._home.inbox, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)
        self._problem = None if usable else f"{self._home.inbox} can't be read or written by this user."
        if usable:
            self._inspect()
        self._count_overflows()
        self._check_watch((status.st_dev, status.st_ino, usable), now)
        return sentences

    def watching(self) -> str | None:
        """A problem with the folder and what to do, for people.

        None while drops are noticed, by events or only by scans.
        """
        return self._problem or self._rejected_problem

    def description(self) -> str:
        """How drops are noticed, for people (watched, or only scanned and why), and a warning about the folder's mode."""
        return f"{self._noticed_by()}{self._remark}"

    def _noticed_by(self) -> str:
        if self._watch is None or not self._watch.alive:
            return self._refused or STARTING
        if not self._watch.proven:
            return SILENT if self._watch.silent else STARTING
        if self._overflows:
            times = "once" if self._overflows == 1 else f"{self._overflows} times"
            return f"Watched. The kernel dropped events {times}, last at {self._overflowed_at}; the scan replaced them."
        return "Watched."

    def close(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _make_folder(self) -> bool:
        """Make the folder if it is missing; True if it was. Each start has made it before."""
        if self._home.inbox.is_dir():
            return False
        file_modes.make(self._home.inbox)
        file_modes.keep_rights(self._home.inbox, *self._rights)
        log.warning("inbox_made_again", path=str(self._home.inbox))
        return True

    def _inspect(self) -> None:
        """Check that `rejected/` is safe, and whether users can remove each other's drops."""
        try:
            inbox = shared_folder.inbox(self._home)
            Rejected.of(inbox)
            self._rejected_problem = None
        except OSError as error:
            self._rejected_problem = f"{self._home.rejected} can't be used: {error.strerror}. {WAITING}"
            return
        except Unavailable as error:
            self._rejected_problem = f"{error} {WAITING}"
            return
        self._rights = file_modes.keep_sticky(inbox.fd)
        self._remark = "" if file_modes.is_safe(inbox.status) else UNSAFE

    def _count_overflows(self) -> None:
        if self._watch is not None and (dropped := self._watch.take_overflows()):
            self._overflows, self._overflowed_at = self._overflows + dropped, utcnow()
            log.warning("events_dropped", times=self._overflows)

    def _check_watch(self, identity: tuple[int, int, bool], now: float) -> None:
        """Restart the watch if it is dead or the folder or its rights have changed; otherwise check that events arrive."""
        if identity == self._identity and self._watch is not None and self._watch.alive:
            self._watch.check_events(now)
        elif identity != self._identity or self._watch is not None or now >= self._retry_at:
            self._identity = identity
            self._begin(now)

    def _begin(self, now: float) -> None:
        self.close()
        self._retry_at = now + RETRY_SECONDS
        if self._problem:  # watchdog reports no error for a folder that it may not read
            self._refused = self._problem
            return
        try:
            self._watch = _Watch(self._home.inbox, self._hint, self._wake)
        except OSError as error:
            limit = LIMITS.get(error.errno or 0)
            advice = f" Raise {limit}." if limit else ""
            self._refused = f"Only scanned: watching is refused ({os.strerror(error.errno or 0)}).{advice}"
            log.warning("not_watched", reason=str(error))
            return
        self._refused = None
        self._watch.check_events(now)


class _Watch(FileSystemEventHandler):
    """One observer on one folder, from its start to its end; raises OSError when the kernel refuses it.

    It is composed here from watchdog's parts, because only the reader of the kernel's queue learns of lost events.
    """

    def __init__(self, folder: Path, hint: Hint, wake: Callable[[], None]) -> None:
        self._folder, self._hint = folder, hint
        self._reader = _Reader(hint, wake)
        self._observer = BaseObserver(InotifyEmitter, inotify_fd=self._reader)
        self._canary, self._canary_at = "", 0.0
        self.proven = False
        """Whether the canary's event has arrived."""
        self.silent = False
        """Whether a canary's event did not arrive in time."""
        self._reader.start()
        try:
            self._observer.schedule(self, str(folder), event_filter=KINDS, follow_symlink=True)
            self._observer.start()
        except OSError:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether every thread runs and the kernel still watches the folder."""
        threads = [self._reader, self._observer, *self._observer.emitters]
        return not self._reader.lost and all(thread.is_alive() for thread in threads)

    def take_overflows(self) -> int:
        """How often the kernel's queue has overflowed since the last call."""
        return self._reader.take_overflows()

    def check_events(self, now: float) -> None:
        """Make and remove a hidden file, unless its event has arrived or may still arrive."""
        waited = now - self._canary_at
        self.silent = not self.proven and bool(self._canary) and (self.silent or waited >= CANARY_SECONDS)
        if self.proven or (self._canary and waited < RETRY_SECONDS):
            return
        self._canary, self._canary_at = f"{durable.MARK}canary-{secrets.token_hex(6)}{durable.TMP}", now
        path = self._folder / self._canary
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            os.unlink(path)
        except OSError as error:
            log.warning("canary_failed", reason=str(error))

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass on a change. It must not raise, because an exception would end the observer's thread."""
        moved, closed = isinstance(event, FileMovedEvent), isinstance(event, FileClosedEvent)
        name = os.path.basename(os.fsdecode(event.dest_path if moved else event.src_path))
        if name == self._canary:
            self.proven, self.silent = True, False
        else:
            self._hint(name, moved=moved, closed=closed)

    def close(self) -> None:
        """End the threads."""
        self._observer.stop()
        if self._observer.is_alive():
            self._observer.join(timeout=5)
        self._reader.stop()
        self._reader.join(timeout=5)


class _Reader(InotifyFD):
    """Reads the kernel's queue, and notes what watchdog hides: lost events, a lost folder, files moved in."""

    def __init__(self, hint: Hint, wake: Callable[[], None]) -> None:
        super().__init__()
        self._overflown, self._taken = 0, 0
        self._hint, self._wake = hint, wake
        self.lost = False
        """Whether the folder was removed or unmounted, so that no more events come."""

    def take_overflows(self) -> int:
        """How often the queue has overflowed since the last call."""
        total = self._overflown
        taken, self._taken = self._taken, total
        return total - taken

    def handle_event(self, event: InotifyEvent) -> None:
        """Wake the loop for events that no handler gets; this thread calls it for every event."""
        self._overflown += event.is_queue_overflow
        self.lost |= event.is_ignored
        super().handle_event(event)
        if event.is_queue_overflow or event.is_ignored:
            self._wake()
        elif (
            event.is_moved_to and event.name
        ):  # watchdog reports it as created, because it does not see the other half of the move
            self._hint(os.fsdecode(event.name), moved=True)
