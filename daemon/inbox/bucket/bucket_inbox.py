"""An inbox with a bucket beside its folder: fetched objects are drops that are settled as soon as they are there.

A drop of the bucket is known by its URL, which no file's name can be. Its object is deleted after its outcome: the
journal first has its origin in a list of those that are leaving, so that a kill in between does not fetch it again.
"""

import errno
import os
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from typing import NamedTuple

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import shown
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.core.shared_folder import Folder
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.inbox.bucket.courier import Courier
from retraind.daemon.inbox.bucket.shelf import Arrival, Shelf
from retraind.daemon.inbox.bucket.staging import Staging
from retraind.daemon.inbox.drop import Drop, read_content
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.rejected_folder import Rejected
from retraind.daemon.inbox.settling import Settling, Stamp
from retraind.daemon.storage.journal import Journal
from retraind.daemon.tabular import file_content
from retraind.daemon.tabular.file_content import Content

KEY = "leaving objects"
"""The journal's key for the origins of objects with an outcome, which must be deleted."""

SCHEME = "s3://"

GATHER_SECONDS = 2.0
"""Time for which fetched objects wait for others that are being fetched."""


class Transfer(NamedTuple):
    """The parts between a bucket and the loop."""

    shelf: Shelf
    staging: Staging
    courier: Courier


class BucketInbox(Inbox):
    """Drops from the folder and the bucket; used by the loop thread."""

    def __init__(
        self,
        home: Home,
        limits: Limits,
        wake: Callable[[], None],
        settling: Settling | None,
        transfer: Transfer,
        journal: Journal,
    ) -> None:
        """Continues what a kill left; the courier of `transfer` need not run yet."""
        super().__init__(home, limits, wake, settling)
        self._shelf, self._staging, self._courier = transfer
        self._journal = journal
        self._left_objects: dict[str, Stamp] = {}
        """Objects that can't be taken out, as `_left` for files."""
        self._is_reported = False
        self._gathers = False
        self._gathering_since: float | None = None
        """Since when the next batch is gathered (monotonic seconds); None after one was taken."""
        self._leaving = dict.fromkeys(journal.key_values.get(KEY) or ())
        self._shelf.leave(self._leaving)

    # Settling

    def settled(self, now: float, most: int = 1_000_000) -> dict[str, Stamp]:
        """Finished drops of both; those that are not fetched yet count as waiting."""
        self._note_removed()
        self._report()
        sizes = self._shelf.waiting()
        self._gathers = bool(sizes) and self._waits_for_more(now)
        settled = super().settled(now, most)
        self.backlog = (self.backlog[0] + len(sizes), self.backlog[1] + sum(sizes))
        self.unread |= frozenset(sizes)
        return settled

    def _scan(self, inbox: Folder) -> dict[str, Stamp]:
        files, held = super()._scan(inbox), [name for names in self.skipped.files.values() for name in names]
        for name in self._shelf.set_aside([*held, *self._left_objects]):
            self._discard(name)
        arrivals = self._shelf.stamps()
        self._left_objects = {name: stamp for name, stamp in self._left_objects.items() if arrivals.get(name) == stamp}
        return files | {name: stamp for name, stamp in arrivals.items() if name not in self._left_objects}

    def _waits_for_more(self, now: float) -> bool:
        """Whether the fetched objects wait for others that are being fetched: a revision costs as much as many drops."""
        count = self._shelf.count()
        if self._gathering_since is None or not count:
            self._gathering_since = now
        return count < self._limits.batch_drops and now - self._gathering_since < GATHER_SECONDS

    def _is_ready(self, inbox: Folder, name: str, now: float) -> bool:
        return not self._gathers if _is_object(name) else super()._is_ready(inbox, name, now)

    def stamp(self, name: str) -> Stamp | None:
        """The stamp of a drop with this name now."""
        if not _is_object(name):
            return super().stamp(name)
        arrival = self._shelf.get(name)
        return None if arrival is None else arrival.stamp

    def awaits(self, name: str) -> bool:
        """Whether a drop of this name may still come."""
        return _is_object(name) and self._shelf.awaits(name)

    def remote(self) -> tuple[str | None, str]:
        """Why objects can't be taken, if so, and a sentence for people."""
        overview = self._courier.overview
        return self._courier.objection or overview.objection(), overview.sentence(len(self._shelf.waiting()))

    def _report(self) -> None:
        """Record that the bucket fails, and that it is back."""
        objection = self._courier.objection
        if objection is not None and not self._is_reported:
            self._journal.events.record(EventKind.PROBLEM, f"inbox.url: {objection}", level=Level.WARNING)
        elif objection is None and self._is_reported:
            self._journal.events.record(EventKind.HEALED, "The inbox's bucket works again.")
        self._is_reported = objection is not None

    # Reading and clearing

    def reading(self, name: str, stamp: Stamp) -> Generator[None, None, Drop | None]:
        """The drop's bytes, read once."""
        if not _is_object(name):
            return (yield from super().reading(name, stamp))
        arrival = self._shelf.get(name)
        if arrival is None or arrival.stamp != stamp:
            return None
        if arrival.staged is None:
            raise InvalidDrop(f"The object has {stamp.size} bytes; inbox.max_bytes = {self._limits.max_bytes}.")
        try:
            fd = self._staging.folder.open(arrival.staged)
        except FileNotFoundError:  # another program has removed it; it is fetched again
            self._shelf.take(name)
            return None
        if stamp.size > file_content.SMALL_BYTES and not file_content.is_packed(name):
            # No other program can write to it, so it is not copied.
            content = Content(arrival.sha256, stamp.size, None, fd)
        else:
            try:
                content = yield from read_content(fd, name, self._limits, self._home.registry)
            finally:
                os.close(fd)
        return Drop(name, stamp, content, self._settling.seen_at(name), arrival.origin)

    def quarantine(self, drop: Drop, lines: Iterable[bytes]) -> str:
        """Write the rejected rows of a drop to `rejected/`."""
        if not _is_object(drop.name):
            return super().quarantine(drop, lines)
        return Rejected.of(self._open_folder()).quarantine(shown(_file_name(drop.name)), drop.sha256, lines)

    def clear(self, drops: Collection[tuple[str, str]]) -> dict[str, OSError]:
        """Remove drops whose rows are committed; those of the bucket follow in the courier's thread."""
        objects = {name: sha256 for name, sha256 in drops if _is_object(name)}
        here = {name: arrival for name in objects if (arrival := self._shelf.get(name)) is not None}
        done = [arrival for name, arrival in here.items() if arrival.sha256 == objects[name]]
        self._finish(done, self._earlier(objects[name] for name in objects.keys() - {one.name for one in done}))
        return super().clear([one for one in drops if one[0] not in objects])

    def _earlier(self, sha256s: Iterable[str]) -> list[str]:
        """The origins of drops that were accepted before a restart, and may still be in the bucket."""
        rows = filter(None, map(self._journal.drops.taken, sha256s))
        return [origin for row in rows if (origin := row["origin"]) is not None]

    def reject(self, refused: Collection[tuple[str, Stamp, Mapping[str, object]]]) -> dict[str, OSError]:
        """Move rejected drops to `rejected/`; returns those that can't be moved."""
        stuck = super().reject([one for one in refused if not _is_object(one[0])])
        done = []
        for name, stamp, report in refused:
            arrival = self._shelf.get(name) if _is_object(name) else None
            if arrival is None or arrival.stamp != stamp:
                continue
            try:
                self._keep(arrival, report)
                done.append(arrival)
            except OSError as error:
                stuck[name] = OSError(*error.args)
        if done:
            Rejected.of(self._open_folder()).sync()
            self._finish(done)
        return stuck

    def _keep(self, arrival: Arrival, report: Mapping[str, object]) -> None:
        """Move a rejected object's bytes to `rejected/`, durably, because the object is deleted next."""
        rejected, name = Rejected.of(self._open_folder()), _file_name(arrival.name)
        report = {**report, "origin": arrival.origin}
        if arrival.staged is None:
            rejected.report(rejected.free_name(name), report)
            raise OSError(errno.EFBIG, "it is too large to be fetched, so it stays in the bucket")
        staging = self._staging.folder
        fd = staging.open(arrival.staged)
        try:
            os.fsync(fd)
            rejected.keep(staging, arrival.staged, fd, name, report)
        finally:
            os.close(fd)

    def leave(self, name: str) -> None:
        """Ignore a drop that can't be removed, until it changes."""
        if not _is_object(name):
            super().leave(name)
        elif (arrival := self._shelf.get(name)) is not None:
            self._left_objects[name] = arrival.stamp

    def _finish(self, arrivals: Collection[Arrival], earlier: Iterable[str] = ()) -> None:
        """Have objects deleted; the journal knows it first."""
        origins = dict.fromkeys([*(arrival.origin for arrival in arrivals), *earlier])
        if not origins:
            return
        self._gathering_since = None
        self._note_leaving(self._leaving | origins)
        self._shelf.leave(origins)
        for arrival in arrivals:
            self._discard(arrival.name)

    def _discard(self, name: str) -> None:
        arrival = self._shelf.take(name)
        self._settling.forget(name)
        if arrival is not None and arrival.staged is not None:
            self._staging.remove(arrival.staged)

    def _note_removed(self) -> None:
        gone = set(self._shelf.gone())
        if gone & self._leaving.keys():
            self._note_leaving({origin: None for origin in self._leaving if origin not in gone})

    def _note_leaving(self, leaving: dict[str, None]) -> None:
        self._journal.key_values.put(KEY, list(leaving))
        self._leaving = leaving


def _is_object(name: str) -> bool:
    return name.startswith(SCHEME)


def _file_name(name: str) -> str:
    """A file name for an object: the last part of its URL."""
    return name.rpartition("/")[2]
