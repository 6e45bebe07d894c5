"""Bundles in the object store: put before the verdict on a version is recorded, fetched if this machine lacks them.

So every version that the journal names has its bundle in the store. A put runs in a thread. Until it ends, the version
waits for its verdict, and all other work continues.
"""

import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from threading import Lock

from retraind.daemon.artifacts.manifest import KEPT, read_manifest
from retraind.daemon.core import logs
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import BundleRefused, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.objects import background
from retraind.daemon.objects.backoff import Backoff
from retraind.daemon.objects.store import ObjectLost, ObjectStore, StoreUnavailable, by_sha256
from retraind.daemon.storage.model_versions import Registered
from retraind.daemon.stored import artifacts, bundle_files

log = logs.Logger()

PAUSE_SECONDS = 10.0
"""Time without a new try after a bundle could not be fetched."""

CONSEQUENCE = "A new version waits for its verdict until its bundle is safe there; predictions continue."


class StoredBundles:
    """The bundles of one home in its object store; without a store, nothing is done. Used by the loop thread."""

    def __init__(self, home: Home, store: ObjectStore | None = None, wake: Callable[[], object] = lambda: None) -> None:
        self._home, self._store, self._wake = home, store, wake
        self._backoff = Backoff()
        self._put: set[str] = set()
        self._refused: tuple[float, str] | None = None
        """Until when nothing is fetched, and why: the loop must not wait for a store that hangs at each of its steps."""
        self.lost: set[int] = set()
        """Versions whose model files the store lacked at the last try, although they were not removed; they may return."""
        self._fetching = Lock()
        """Held while a bundle is fetched, because the loop and another thread may need the same one."""
        self._putting: tuple[str, Future[None]] | None = None

    @property
    def problem(self) -> str | None:
        """Why a bundle can't be put or fetched; None if it can."""
        return self._backoff.problem

    @property
    def waits(self) -> bool:
        """Whether a version waits for its bundle to be put."""
        return self._putting is not None or self.problem is not None

    @property
    def ended(self) -> bool:
        """Whether a put has ended, and `is_put` has not been called since."""
        return self._putting is not None and self._putting[1].done()

    def is_put(self, version: int, sha256: str) -> bool:
        """Whether the bundle of a version is in the store; if not, a thread puts it and wakes the loop at its end.

        Also True for a damaged bundle, which does not belong there: its verdict reports it.
        """
        if self._store is None or sha256 in self._put:
            return True
        if self._putting is None:
            if self._backoff.ready(time.monotonic()):
                self._begin(self._store, version, sha256)
            return False
        if not self._putting[1].done():
            return False
        (put, ended), self._putting = self._putting, None
        return self._is_concluded(put, ended.exception()) and put == sha256

    def _begin(self, store: ObjectStore, version: int, sha256: str) -> None:
        folder = self._home.bundle(version)
        putting = background.start("bundle-put", lambda: bundle_files.put(store, folder, sha256))
        self._putting = sha256, putting
        putting.add_done_callback(lambda _: self._wake())

    def _is_concluded(self, sha256: str, error: BaseException | None) -> bool:
        if isinstance(error, StoreUnavailable):
            self._backoff.failed(error, CONSEQUENCE, time.monotonic())
            return False
        if error is not None and not isinstance(error, BundleRefused):
            raise error
        self._backoff.succeeded()
        self._put.add(sha256)
        return True

    def fetch(self, version: int, sha256: str, only: Collection[str] = ()) -> None:
        """Fetch missing files of a judged version's bundle (with `only`, of these).

        If the store lacks them, too, the version counts as cleared, until they are there again. Raises
        StoreUnavailable.
        """
        folder = self._home.bundle(version)
        if self._store is None or not bundle_files.lacking(folder, sha256, only):
            return
        if self._refused is not None and time.monotonic() < self._refused[0]:
            raise StoreUnavailable(self._refused[1])
        try:
            with self._fetching:
                bundle_files.fetch(self._store, folder, sha256, only)
            self.lost.discard(version)
            log.warning("bundle_restored", version=version, source=self._store.place)
        except StoreUnavailable as error:
            self._refused = time.monotonic() + PAUSE_SECONDS, str(error)
            raise
        except ObjectLost:
            if set(only) != KEPT:
                self.fetch(version, sha256, only=KEPT)
                self.lost.add(version)
        except RetraindError as error:
            log.error("bundle_not_restored", version=version, reason=str(error))

    def restore(self, version: int, sha256: str, *, emptied: bool) -> None:
        """Fetch missing files of a judged version.

        Of an `emptied` one, only those that later versions and lineage need. It may run in any thread. Raises
        StoreUnavailable.
        """
        self.fetch(version, sha256, only=KEPT if emptied else ())

    def files_of(self, versions: Iterable[Registered]) -> frozenset[str] | None:
        """The sha256 of all files of these versions; None if a manifest can't be read, or without a store."""
        if self._store is None:
            return None
        try:
            manifests = [
                read_manifest(self._home.bundle(one.version), one.bundle) for one in versions if one.bundle is not None
            ]
        except BundleRefused as error:  # its files are unknown, so nothing may be removed
            log.warning("objects_kept", reason=str(error))
            return None
        return frozenset(sha256 for manifest in manifests for sha256 in manifest.files.values())

    def clear_artifacts(self, folders: Iterable[str]) -> None:
        """Remove MLflow's files of these runs and models, if they are in the store; raises StoreUnavailable."""
        server = mlflow_server.beside(self._home)
        if self._store is not None and server is not None and server.artifacts:
            artifacts.clear(self._store, folders)

    def clear(self, version: Registered, in_use: frozenset[str] | None) -> None:
        """Remove the objects of a version's model files, except those `in_use`; raises StoreUnavailable."""
        if self._store is None or in_use is None or version.bundle is None:
            return
        try:
            manifest = read_manifest(self._home.bundle(version.version), version.bundle)
        except BundleRefused as error:
            log.warning("objects_kept", version=version.version, reason=str(error))
            return
        self._store.delete(map(by_sha256, sorted(bundle_files.removable(manifest) - in_use)))
