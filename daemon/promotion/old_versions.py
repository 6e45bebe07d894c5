"""Clearance: the model files of old versions go, what was known of them stays.

A version that is in use, or may be asked for next, keeps its files, and so do the newest ones. Of all others the
manifest stays (late labels and lineage read it), the journal's rows, and MLflow's run, figures and version, which gets a
tag: numbers that were given are not given again, and a version that vanished would be a question without an answer. The runs
of its candidates, nested in its own, go: they are most of what a training adds to MLflow's database.
"""

import shutil
from collections.abc import Iterable

import structlog

from daemon.artifacts import bundle
from daemon.core.errors import BundleRefused
from daemon.core.home import Home
from daemon.core.settings import Promote
from daemon.registry.registry import CHALLENGER, CHAMPION, PREVIOUS, Registered, Registry
from daemon.storage.journal import Journal

log = structlog.get_logger()

STAGING = ".staging-"
"""The trainer's bundles are named so, and by their run, until they are judged."""

MOST = 200
"""Versions that one call clears at most: the loop has other things to do."""


class Clearance:
    """Removes what nobody needs from `registry/`, never from `data/`; used by the loop thread."""

    def __init__(self, home: Home, settings: Promote, journal: Journal, registry: Registry) -> None:
        self._home, self._settings, self._journal, self._registry = home, settings, journal, registry

    def sweep_staging(self) -> None:
        """Remove bundles of trainings that were killed before they registered a version; call while none runs."""
        registered = {version.run for version in self._registry.versions()}
        for staging in self._home.bundles.glob(f"{STAGING}*"):
            if staging.name.removeprefix(STAGING) not in registered:
                shutil.rmtree(staging)

    def clear(self) -> int:
        """Clear old versions; returns how many. A kill at any moment leaves the rest of the work to the next call."""
        old = list(self._old())[:MOST] if self._settings.keep_versions else []
        for version in old:
            self._clear(version)
        if old:
            numbers = f"{old[0].version}" if len(old) == 1 else f"{old[0].version} to {old[-1].version}"
            kept = f"promote.keep_versions = {self._settings.keep_versions}"
            self._journal.tell("cleared", f"The model files of {len(old)} versions ({numbers}) were removed: {kept}.")
            log.info("cleared", versions=len(old))
        return len(old)

    def _old(self) -> Iterable[Registered]:
        """Judged versions of ours that are not cleared yet and that nobody needs, oldest first."""
        versions = [version for version in self._registry.versions() if version.bundle is not None]
        used = self._used()
        for version in versions[: -self._settings.keep_versions]:
            if not version.cleared and version.version not in used and self._journal.version(version.version):
                yield version

    def _used(self) -> set[int | None]:
        swap = self._journal.last_swap()
        served = {swap["version"], swap["previous"]} if swap else set()
        return served | {self._registry.alias(alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)}

    def _clear(self, version: Registered) -> None:
        folder = self._home.bundle(version.version)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in bundle.KEPT:
                path.unlink()
        for artifacts in self._registry.artifacts(version):
            if artifacts.exists():
                shutil.rmtree(artifacts)
        self._registry.thin(version)
        # Last: the tag says that there is nothing more to do.
        self._registry.mark_cleared(version.version)


def verify(home: Home, version: int, sha256: str) -> bundle.Model:
    """Load a version's bundle; raises BundleRefused, which says so if the version was cleared."""
    folder = home.bundle(version)
    if bundle.cleared(folder):
        kept = "Its manifest, its figures and the revision of its data are kept."
        raise BundleRefused(f"The model files of version {version} were removed (promote.keep_versions). {kept}")
    return bundle.load(folder, sha256)
