"""The schema in the object store: it belongs to the rows, and the journal does not have it.

Each batch puts a schema that has changed since. All other changes, and a store that was emptied, are noticed here.
"""

import time
from concurrent.futures import Future

from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.objects import background
from retraind.daemon.objects.backoff import Backoff
from retraind.daemon.objects.store import ObjectStore, StoreUnavailable, by_sha256
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

RECORDED = "stored_schema"
"""The journal's key for the sha256 of the last schema that was put."""

LOOK_SECONDS = 60.0
"""Interval of checks that the store still answers and has the schema."""

CONSEQUENCE = "New drops wait in the inbox until their rows are safe there; predictions continue."


def conclude(error: BaseException | None, backoff: Backoff) -> None:
    """Note how a put has ended; raises its error."""
    if isinstance(error, StoreUnavailable):
        backoff.failed(error, CONSEQUENCE, time.monotonic())
    if error is not None:
        raise error
    backoff.succeeded()


class StoredSchema:
    """The schema of one home in its object store; without a store, nothing is done. Used by the loop thread."""

    def __init__(self, home: Home, store: ObjectStore | None, journal: Journal | None, backoff: Backoff) -> None:
        self._home, self._store, self._journal, self._backoff = home, store, journal, backoff
        self._put: tuple[str, Future[None]] | None = None
        self._look_at = 0.0
        self.is_stored = store is None
        """Whether the store had it at the last check."""

    def changed(self) -> bytes | None:
        """The schema, if it differs from the last one that was put."""
        assert self._journal is not None
        schema = self._home.schema.read_bytes() if self._home.schema.exists() else None
        stored = self._journal.key_values.get(RECORDED)
        return None if schema is None or durable.sha256(schema) == stored else schema

    def record(self, sha256: str) -> None:
        """Record that this schema was put."""
        assert self._journal is not None
        if self._journal.key_values.get(RECORDED) != sha256:
            self._journal.key_values.put(RECORDED, sha256)

    def tend(self, now: float) -> None:
        """Restore a missing schema, or put one that existed before the store, or was changed by hand.

        `now` is monotonic seconds. Raises StoreUnavailable.
        """
        self.restore()
        if self._store is None or self._journal is None:
            return
        self._end_put(now)
        schema = self.changed()
        self.is_stored = schema is None
        if schema is None and now >= self._look_at and self._home.schema.exists():
            schema = self._home.schema.read_bytes()
        if schema is not None and self._put is None and self._backoff.ready(now):
            self._put = durable.sha256(schema), self._begin_put(self._store, schema)
            self._look_at = now + LOOK_SECONDS

    def _end_put(self, now: float) -> None:
        """Note how a put has ended, if it has; raises StoreUnavailable."""
        if self._put is None or not self._put[1].done():
            return
        (sha256, putting), self._put = self._put, None
        self._look_at = now if putting.exception() else self._look_at
        conclude(putting.exception(), self._backoff)
        self.record(sha256)

    def _begin_put(self, store: ObjectStore, schema: bytes) -> Future[None]:
        """Put the schema unless it is there.

        Without drops, nothing else would notice a store that is gone, emptied, or taken over by another home.
        """
        name = by_sha256(durable.sha256(schema))
        failed = self._backoff.problem is not None  # that one can look proves nothing then

        def work() -> None:
            store.check()
            if failed or not store.has(name):
                store.put(name, schema)

        return background.start("object-put", work)

    def restore(self) -> None:
        """Restore a missing schema; if the store does not answer, `tend` tries again."""
        if self._store is None or self._journal is None or self._home.schema.exists():
            return
        sha256 = self._journal.key_values.get(RECORDED)
        if sha256 is None or not self._home.data.is_dir() or not self._backoff.ready(time.monotonic()):
            return
        try:
            self._store.get(by_sha256(sha256), self._home.schema, sha256)
            log.warning("schema_restored", source=self._store.place)
        except StoreUnavailable as error:
            self._backoff.failed(error, "The schema is missing here and waits for the store.", time.monotonic())
        except RetraindError as error:
            log.error("schema_not_restored", reason=str(error))
