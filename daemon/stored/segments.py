"""Segments in the object store: put before the journal names them, fetched if the folder lacks them.

The order is: hidden file durable here, object durable there, name, journal. So every segment that the journal names is
in the store, and a kill in between leaves at most one object that no entry names. Its name is noted before the put, and
`sweep` removes it a day later, unless the journal names it by then. Nothing is removed because of a listing: a copy of
the home with an older journal would treat newer segments as garbage.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.objects import background
from retraind.daemon.objects.backoff import Backoff
from retraind.daemon.objects.store import MD5, ObjectLost, ObjectStore, StoreUnavailable, by_md5, by_sha256
from retraind.daemon.records.segments import SegmentLife
from retraind.daemon.storage.journal import Journal
from retraind.daemon.stored.schema import StoredSchema, conclude

log = logs.Logger()

UNNAMED = "unnamed_objects"
"""The journal's key for objects that may have been put but have no entry: segment to md5 and time."""

KEPT = timedelta(days=1)
"""Seconds that an object without an entry is kept."""

SWEEP_SECONDS = 3600.0
"""Interval of searches for old objects that no entry names."""

WAIT_SECONDS = 0.05
"""Seconds that a step of the loop waits for a put before other work comes first."""

FETCHES = 8
"""Number of segments that are fetched at once."""


class StoredSegments:
    """The segments of one home in its object store; without a store, nothing is done. Used by the loop thread.

    Without a journal, it only fetches.
    """

    def __init__(self, home: Home, store: ObjectStore | None = None, journal: Journal | None = None) -> None:
        self._home, self._store, self._journal = home, store, journal
        self._backoff = Backoff()
        self.schema = StoredSchema(home, store, journal, self._backoff)
        self._sweep_at = 0.0
        self._under_way: set[str] = set()
        """Segments that are put and not yet recorded: they have no entry, but are not leftovers either."""
        self.purging = Lock()
        """Held while objects are removed for good, here and in the store."""

    @property
    def problem(self) -> str | None:
        """Why segments can't be put or fetched; None if they can."""
        return self._backoff.problem

    def ready(self, now: float) -> bool:
        """Whether a segment may be put now: not soon after the store failed. `now` is monotonic seconds."""
        return self._store is None or self._backoff.ready(now)

    # Putting

    def put(self, name: str, md5: str, path: Path) -> Iterator[None]:
        """Put a finished segment that will have this name, and the schema if it has changed.

        Yields during the transfer. Raises StoreUnavailable, OSError.
        """
        if self._store is None or self._journal is None:
            return
        self._note(name, md5)
        schema, store = self.schema.changed(), self._store

        def work() -> None:
            store.put(by_md5(md5), path)
            if schema is not None:
                store.put(by_sha256(durable.sha256(schema)), schema)

        putting = background.start("object-put", work)
        try:
            while not background.is_done(putting, WAIT_SECONDS):
                yield
            conclude(putting.exception(), self._backoff)
        except BaseException:
            self._under_way.discard(name)
            raise
        if schema is not None:
            self.schema.record(durable.sha256(schema))

    def put_now(self, name: str, md5: str, path: Path) -> None:
        """As `put`, for callers that can't let other work come first."""
        for _ in self.put(name, md5, path):
            pass

    def _note(self, name: str, md5: str) -> None:
        """Record which object is about to be put; drops notes of objects that have entries by now."""
        assert self._journal is not None
        unnamed = {each: entry for each, entry in self._unnamed().items() if not self._journal.segments.has(each)}
        # Not only this one: the put of a merge goes on while batches are put and drops are forgotten.
        self._under_way = (self._under_way & unnamed.keys()) | {name}
        self._journal.key_values.put(UNNAMED, {**unnamed, name: [md5, datetime.now(UTC).isoformat()]})

    def _unnamed(self) -> dict[str, list[str]]:
        assert self._journal is not None
        return self._journal.key_values.get(UNNAMED) or {}

    def tend(self, now: float) -> None:
        """Tend the schema, and sweep once an hour; `now` is monotonic seconds. Raises StoreUnavailable."""
        self.schema.tend(now)
        if now >= self._sweep_at:
            self.sweep()
            self._sweep_at = now + SWEEP_SECONDS

    def put_missing(
        self, recorded: Iterable[SegmentLife], places: Callable[[SegmentLife], Iterable[Path]]
    ) -> Iterator[str]:
        """Put segments of the journal that the store lacks, from one of the possible `places` of each.

        Returns their names. It may run in any thread. Raises StoreUnavailable.
        """
        assert self._store is not None
        there = {entry.name for entry in self._store.listing(MD5)}
        for row in recorded:
            if by_md5(row["md5"]) in there:
                continue
            with self.purging:  # objects that are purged at this moment must not come back
                source = next((path for path in places(row) if durable.is_intact(path, row["sha256"])), None)
                if source is not None:
                    self._store.put(by_md5(row["md5"]), source)
            yield row["name"]

    # Fetching

    def fetch(self, segments: Mapping[str, str]) -> None:
        """Fetch segments (name: md5) into the folder, several at a time, each once its hash is verified.

        Segments that the store lacks, or has with other bytes, are logged and stay missing; so do the rest if the store
        fails.
        """
        if self._store is None or not segments or not self._backoff.ready(time.monotonic()):
            return
        self._home.segments.mkdir(exist_ok=True)
        failures: list[StoreUnavailable] = []

        def bring(name: str) -> None:
            if not failures:
                self._bring(name, segments[name], failures)

        with ThreadPoolExecutor(FETCHES, "object-get") as pool:
            list(pool.map(bring, sorted(segments)))
        restored = sum((self._home.segments / name).exists() for name in segments)
        log.warning("segments_restored", segments=restored, missing=len(segments) - restored, source=self._store.place)
        if failures:
            self._backoff.failed(failures[0], "Segments that are missing here wait for the store.", time.monotonic())
        else:
            self._backoff.succeeded()

    def _bring(self, name: str, md5: str, failures: list[StoreUnavailable]) -> None:
        assert self._store is not None
        try:
            # The name of a segment is half of its sha256; readers of the rows compare all of it.
            self._store.get(by_md5(md5), self._home.segments / name, Path(name).stem, mode=0o444)
        except StoreUnavailable as error:
            failures.append(error)
        except (OSError, RetraindError) as error:
            log.error("segment_not_restored", segment=name, reason=str(error))

    def fetch_to(self, target: Path, md5: str, sha256: str) -> None:
        """Fetch one segment to `target`, if the store has it; raises StoreUnavailable, ObjectDamaged, OSError."""
        if self._store is not None:
            with suppress(ObjectLost):
                self._store.get(by_md5(md5), target, sha256, mode=0o444)

    # Removing

    def purge(self, md5s: Iterable[str]) -> None:
        """Remove the objects of segments, with all their versions, and leftovers of a kill. Raises StoreUnavailable."""
        if self._store is not None:
            self._store.delete(map(by_md5, md5s))
            self.sweep(timedelta(0))

    def abandon(self, name: str, md5: str) -> None:
        """Remove a segment that was put but will not be recorded; if that fails now, `sweep` removes it later."""
        if self._store is not None:
            self._under_way.discard(name)
            with suppress(StoreUnavailable):
                self._store.delete([by_md5(md5)])

    def sweep(self, age: timedelta = KEPT) -> int:
        """Remove old objects that no entry of the journal names, and parts of such; returns the number of objects.

        Raises StoreUnavailable.
        """
        if self._store is None or self._journal is None:
            return 0
        unnamed, before = self._unnamed(), (datetime.now(UTC) - age).isoformat()
        named = {name for name in unnamed if self._journal.segments.has(name)}
        spared = named | self._under_way
        old = {name: md5 for name, (md5, at) in unnamed.items() if name not in spared and at < before}
        count = self._store.delete(map(by_md5, old.values()))
        # A purge must not break the put of a bundle; one that is left is removed after a day.
        under_way = {by_md5(unnamed[name][0]) for name in self._under_way & unnamed.keys()}
        self._store.abort_uploads("" if age else MD5, datetime.now(UTC) - age, under_way)
        if old.keys() | named:
            rest = {name: entry for name, entry in unnamed.items() if name not in old and name not in named}
            self._journal.key_values.put(UNNAMED, rest)
        return count
