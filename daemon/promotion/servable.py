"""Servable: whether a version may be served. Its bundle must load here, and MLflow must still have it.

People may delete versions in MLflow's pages. If it is the served version, it keeps serving; no other deleted version
can be chosen.
"""

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import VersionRow
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.stored.bundles import StoredBundles

REMOVED = "were removed (promote.keep_versions)"


def deleted(version: int) -> str:
    """The sentence for a version that a person has deleted in MLflow."""
    return f"Version {version} was deleted in MLflow, so it can't be served."


def verify(home: Home, version: int, sha256: str, stored: StoredBundles) -> bundle.Model:
    """Load a version's bundle, after fetching missing files.

    Raises BundleRefused, with a hint if `promote.keep_versions` removed its files, and StoreUnavailable.
    """
    folder = home.bundle(version)
    if not bundle.cleared(folder) or version in stored.lost:
        stored.fetch(version, sha256)
    if bundle.cleared(folder):
        kept = "Its manifest, its figures and the revision of its data are kept."
        removed = "are gone from here and from the object store" if version in stored.lost else REMOVED
        raise BundleRefused(f"The model files of version {version} {removed}. {kept}")
    return bundle.load(folder, sha256)


def damage(home: Home, version: int, sha256: str, stored: StoredBundles) -> str | None:
    """Why the bundle of a version can't be served; None if it can. Raises StoreUnavailable while it is only in the object store."""
    try:
        verify(home, version, sha256, stored)
    except BundleRefused as error:
        return str(error)
    return None


def objection(home: Home, models: ModelVersions, judged: VersionRow, stored: StoredBundles) -> str | None:
    """Why a judged version (a row of the journal) can't be chosen to serve; None if it can. Raises StoreUnavailable."""
    if not models.has(judged["version"]):
        return deleted(judged["version"])
    return damage(home, judged["version"], judged["bundle"], stored)
