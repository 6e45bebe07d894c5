"""OldVersions: removes the model files of old versions, and keeps their records.

Versions that are in use or may be requested next keep their files, and so do the newest ones. Of all others these stay:
the manifest (late labels and lineage read it), the journal's rows, and MLflow's run, figures and version, so that every
version number can still be explained. The version gets a tag. By it the trainer finds and removes the nested runs of
the candidates, which are most of a training's rows in MLflow's database.
"""

import shutil
from collections.abc import Iterable, Sequence

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import logs
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote
from retraind.daemon.core.states import EventKind
from retraind.daemon.promotion.champion import Champion
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import ModelVersions, Registered
from retraind.daemon.stored.bundles import StoredBundles

log = logs.Logger()

MOST = 200
"""Maximum number of versions that one call clears, because the loop has other work."""


class OldVersions:
    """Removes files that are no longer needed from `registry/`, never from `data/`; used by the loop thread."""

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
        if not self._models.database.exists():
            return  # it is unknown which versions are registered
        registered = {self._home.staging(version.run) for version in self._models.versions()}
        for staging in self._home.bundles.glob(self._home.staging("*").name):
            if staging not in registered:
                shutil.rmtree(staging)

    def clear(self) -> int:
        """Clear old versions; returns their number. After a kill the next call does the rest."""
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
        """Judged versions that are no longer needed and not yet cleared, oldest first."""
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
        """Remove its files; those that are `in_use` stay in the object store, which stores equal files once."""
        folder = self._home.bundle(version.version)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in bundle.KEPT:
                path.unlink()
        folders = self._models.artifacts(version)
        for artifacts in folders:
            if artifacts.exists():
                shutil.rmtree(artifacts)
        self._stored.clear_artifacts(str(folder.relative_to(self._home.artifacts)) for folder in folders)
        self._stored.clear(version, in_use)
        # Last, because the tag means that nothing is left to do.
        self._models.mark_cleared(version.version)
