"""StoreUpkeep: completes home and object store from each other, in a thread after the start.

A home that lost its bundles gets those of all versions back, so that `/predict?version=N` and the next comparison find
them. A store that was set up later, or lost objects, gets the journal's objects that this machine has. Until then the
check `storage` says what is missing.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from daemon.artifacts.manifest import cleared
from daemon.core import logs
from daemon.core.errors import RetraindError, Unavailable
from daemon.core.home import Home
from daemon.dataset.dvc_cache import places
from daemon.objects.backoff import Backoff
from daemon.objects.store import SHA256, ObjectStore, StoreUnavailable
from daemon.records import segments
from daemon.records.versions import MOST, JudgedVersion, Versions
from daemon.storage.model_versions import ModelVersions
from daemon.stored import bundle_files
from daemon.stored.bundles import StoredBundles
from daemon.stored.segments import StoredSegments

log = logs.Logger()

CONSEQUENCE = "The store still lacks earlier objects."


class Step(NamedTuple):
    """One step of the work: a description for people, and the function."""

    name: str
    run: Callable[[], None]


class StoreUpkeep:
    """A thread that works until home and store have all objects that the journal names."""

    def __init__(
        self,
        home: Home,
        store: ObjectStore,
        stored: StoredSegments,
        bundles: StoredBundles,
        models: ModelVersions,
        again_seconds: float | None = None,
    ) -> None:
        """With `again_seconds`, the store is compared with the journal again after this time."""
        self._again_seconds = again_seconds
        self._home, self._store, self._models = home, store, models
        self._segments, self._bundles = stored, bundles
        self._versions = Versions(home)
        self._backoff, self._stopping = Backoff(), threading.Event()
        self._steps = [
            Step("bundles are fetched", self._fetch_bundles),
            Step("older bundles are put", self._put_bundles),
            Step("older segments are put", self._put_segments),
        ]
        self._thread = threading.Thread(target=self._run, name="store-upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End after the present object, or without it if it hangs."""
        self._stopping.set()
        self._thread.join(1.0)

    @property
    def problem(self) -> str | None:
        """Why it can't continue; None if it can."""
        return self._backoff.problem

    @property
    def is_fetching(self) -> bool:
        """Whether bundles may still be missing here; a training needs those that it is compared with."""
        return any(step.run == self._fetch_bundles for step in self._steps)

    @property
    def sentence(self) -> str:
        """Its present work; empty once nothing is left to do."""
        return next((step.name for step in self._steps), "")

    def _run(self) -> None:
        puts = self._steps[1:]
        self._finish()
        while self._again_seconds is not None and not self._stopping.wait(self._again_seconds):
            self._steps = list(puts)
            self._finish()

    def _finish(self) -> None:
        while self._steps and not self._stopping.is_set():
            if self._try(self._steps[0].run):
                self._steps = self._steps[1:]
            else:
                self._stopping.wait(1.0)

    def _try(self, run: Callable[[], None]) -> bool:
        """Whether a step is done. What may pass is retried; any other failure is logged and skipped."""
        if not self._backoff.ready(time.monotonic()):
            return False
        try:
            run()
        except (
            Unavailable,
            OSError,
            sqlite3.Error,
        ) as error:  # the store, a disk, or the journal that names the objects
            self._backoff.failed(error, CONSEQUENCE, time.monotonic())
            return False
        except Exception:  # the loop and the other steps continue
            log.exception("store_upkeep_failed", step=self.sentence)
        self._backoff.succeeded()
        return not self._stopping.is_set()

    def _rows(self) -> Sequence[JudgedVersion]:
        """Every judged version, newest first."""
        return self._versions.newest(MOST)

    def _fetch_bundles(self) -> None:
        emptied = frozenset(one.version for one in self._models.versions() if one.cleared)
        for row in self._rows():
            if self._stopping.is_set():
                return
            self._bundles.restore(row["version"], row["bundle"], emptied=row["version"] in emptied)

    def _put_bundles(self) -> None:
        there = {entry.name for entry in self._store.listing(SHA256)}
        for row in self._rows():
            folder, sha256 = self._home.bundle(row["version"]), row["bundle"]
            if self._stopping.is_set():
                return
            if cleared(folder) or not folder.is_dir():
                continue
            try:
                if not bundle_files.objects(folder, sha256) <= there:
                    bundle_files.put(self._store, folder, sha256)
            except StoreUnavailable:
                raise
            except (OSError, RetraindError) as error:  # a damaged bundle does not belong there
                log.warning("bundle_not_put", version=row["version"], reason=str(error))

    def _put_segments(self) -> None:
        for _ in self._segments.put_missing(segments.ever(self._home.journal), places(self._home)):
            if self._stopping.is_set():
                return
