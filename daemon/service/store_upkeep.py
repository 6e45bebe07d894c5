"""StoreUpkeep: completes home and object store from each other, in a thread after the start.

A home that lost its bundles gets those of all versions back, so that `/predict?version=N` and the next comparison find
them. A store that was set up later, or lost objects, gets the journal's objects that this machine has. Until then the
check `storage` says what is missing.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from retraind.daemon.artifacts.manifest import cleared
from retraind.daemon.core import logs
from retraind.daemon.core.errors import RetraindError, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.dataset.dvc_cache import places
from retraind.daemon.objects.retried_work import RetriedWork
from retraind.daemon.objects.store import SHA256, ObjectStore, StoreUnavailable
from retraind.daemon.records import segments
from retraind.daemon.records.versions import MOST, JudgedVersion, Versions
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.stored import bundle_files
from retraind.daemon.stored.bundles import StoredBundles
from retraind.daemon.stored.segments import StoredSegments

log = logs.Logger()

CONSEQUENCE = "The store still lacks earlier objects."


class Step(NamedTuple):
    """One step of the work: a description for people, and the function."""

    name: str
    run: Callable[[], None]


class StoreUpkeep(RetriedWork):
    """Works in a thread until home and store have all objects that the journal names."""

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
        super().__init__("store-upkeep", self._step, CONSEQUENCE)
        self._again_seconds = again_seconds
        self._home, self._store, self._models = home, store, models
        self._segments, self._bundles = stored, bundles
        self._versions = Versions(home)
        self._puts = (
            Step("older bundles are put", self._put_bundles),
            Step("older segments are put", self._put_segments),
        )
        self._steps = [Step("bundles are fetched", self._fetch_bundles), *self._puts]
        self.is_fetching = True
        """Whether bundles may still be missing here; a training needs those that it is compared with."""

    @property
    def sentence(self) -> str:
        """Its present work; empty once nothing is left to do."""
        return next((step.name for step in self._steps), "")

    def _step(self) -> float | None:
        """Do the steps in turn; an unexpected failure of one delays only that one."""
        self._steps = self._steps or list(self._puts)
        for step in tuple(self._steps):
            try:
                step.run()
            except (Unavailable, OSError, sqlite3.Error):  # which the other steps would meet as well
                raise
            except Exception:
                self._leave(step)
                self._steps.append(step)
                raise
            if self.stopping:
                break
            self._leave(step)
        return self._again_seconds

    def _leave(self, step: Step) -> None:
        self._steps = [other for other in self._steps if other is not step]
        # A training does not wait for what fails for an unknown reason.
        self.is_fetching = self.is_fetching and step.run != self._fetch_bundles

    def _rows(self) -> Sequence[JudgedVersion]:
        """Every judged version, newest first."""
        return self._versions.newest(MOST)

    def _fetch_bundles(self) -> None:
        emptied = frozenset(one.version for one in self._models.versions() if one.cleared)
        for row in self._rows():
            if self.stopping:
                return
            self._bundles.restore(row["version"], row["bundle"], emptied=row["version"] in emptied)

    def _put_bundles(self) -> None:
        there = {entry.name for entry in self._store.listing(SHA256)}
        for row in self._rows():
            folder, sha256 = self._home.bundle(row["version"]), row["bundle"]
            if self.stopping:
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
            if self.stopping:
                return
