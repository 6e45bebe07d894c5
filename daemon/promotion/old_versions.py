"""OldVersions: the model files of old versions go, what was known of them stays.

A version that is in use, or may be asked for next, keeps its files, and so do the newest ones. Of all others the
manifest stays (late labels and lineage read it), the journal's rows, and MLflow's run, figures and version, which gets a
tag: numbers that were given are not given again, and a version that vanished would be a question without an answer. By that tag
the trainer removes the runs of its candidates, nested in its own: they are most of what a training adds to MLflow's database.
"""

import shutil
from collections.abc import Iterable, Sequence

from daemon.artifacts import bundle
from daemon.core import logs
from daemon.core.home import Home
from daemon.core.settings import Promote
from daemon.core.states import EventKind
from daemon.promotion.champion import Champion
from daemon.storage.journal import Journal
from daemon.storage.model_versions import ModelVersions, Registered
from daemon.stored.bundles import StoredBundles

log = logs.Logger()

MOST = 200
"""Versions that one call clears at most: the loop has other things to do."""


class OldVersions:
    """Removes what is no longer needed from `registry/`, never from `data/`; used by the loop thread."""

    def __init__(
        self,
        home: Home,
        settings: Promote,
        journal: Journal,
        models: ModelVersions,
        champion: Champion,
        stored: StoredBundles,
    ) -> None:
        self._home, self._settings, self._journal, self._models = home, settings, journal, models
        self._champion, self._stored = champion, stored

    def sweep_staging(self) -> None:
        """Remove bundles of trainings that were killed before they registered a version; call while none runs."""
        if not self._home.mlflow.exists():
            return  # what is registered is unknown
        registered = {self._home.staging(version.run) for version in self._models.versions()}
        for staging in self._home.bundles.glob(self._home.staging("*").name):
            if staging not in registered:
                shutil.rmtree(staging)

    def clear(self) -> int:
        """Clear old versions; returns how many. A kill at any moment leaves the rest of the work to the next call."""
        old = list(self._old())[:MOST] if self._settings.keep_versions else []
        in_use = self._stored.files_of(self._kept(old)) if old else None
        for version in old:
            self._clear(version, in_use)
        if old:
            numbers = f"{old[0].version}" if len(old) == 1 else f"{old[0].version} to {old[-1].version}"
            kept = f"promote.keep_versions = {self._settings.keep_versions}"
            self._journal.events.record(
                EventKind.CLEARED, f"The model files of {len(old)} versions ({numbers}) were removed: {kept}."
            )
            log.info("cleared", versions=len(old))
        return len(old)

    def _old(self) -> Iterable[Registered]:
        """Judged versions of ours that are not cleared yet and no longer needed, oldest first."""
        versions = [version for version in self._models.versions() if version.bundle is not None]
        used = self._champion.in_use()
        for version in versions[: -self._settings.keep_versions]:
            if not version.cleared and version.version not in used and self._journal.versions.get(version.version):
                yield version

    def _kept(self, old: Sequence[Registered]) -> Iterable[Registered]:
        """Versions that keep their model files when the `old` ones lose theirs."""
        gone = {version.version for version in old}
        return [one for one in self._models.versions() if not one.cleared and one.version not in gone]

    def _clear(self, version: Registered, in_use: frozenset[str] | None) -> None:
        """Remove its files; those that are `in_use` stay in the object store, which has equal files once."""
        folder = self._home.bundle(version.version)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in bundle.KEPT:
                path.unlink()
        for artifacts in self._models.artifacts(version):
            if artifacts.exists():
                shutil.rmtree(artifacts)
        self._stored.clear(version, in_use)
        # Last: the tag says that there is nothing more to do.
        self._models.mark_cleared(version.version)
