"""The finding of `retraind doctor` on the object store."""

from retraind.daemon.artifacts.manifest import cleared
from retraind.daemon.core import settings
from retraind.daemon.core.errors import BundleRefused, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.objects import ownership, probe
from retraind.daemon.objects.opening import open_store
from retraind.daemon.objects.store import MD5, SHA256, by_md5, by_sha256
from retraind.daemon.records import segments, versions
from retraind.daemon.stored import bundle_files


def describe(home: Home) -> str:
    """Report the abilities of the object store, and segments of the present revision and bundles that it lacks."""
    store = open_store(settings.load(home.settings).storage)
    assert store is not None
    try:
        ownership.require(store, journal_server.identity(home))
        described, judged = probe.describe(store), versions.Versions(home).newest(versions.MOST)
        there = {entry.name for prefix in (MD5, SHA256) for entry in store.listing(prefix)}
    finally:
        store.close()
    gone = [name for name, one in segments.current(home.journal).items() if by_md5(one["md5"]) not in there]
    gone = [name for name in gone if name in segments.current(home.journal)] if gone else []
    hint = "A starting daemon puts those that it has; the check `storage` tells when it is done."
    if gone:
        raise RetraindError(f"{described} It lacks {len(gone)} segments of the dataset, first {gone[0]}.", hint=hint)
    if partial := [row["version"] for row in judged if _is_partial(home, row, there)]:
        raise RetraindError(f"{described} It lacks files of {len(partial)} versions, first {partial[0]}.", hint=hint)
    return f"{described} It has every segment of the dataset, and the bundles."


def _is_partial(home: Home, row: versions.JudgedVersion, there: set[str]) -> bool:
    """Whether the store lacks a file of a version that keeps its files here."""
    folder = home.bundle(row["version"])
    if cleared(folder):
        return False
    try:
        return not bundle_files.objects(folder, row["bundle"]) <= there
    except BundleRefused:  # which other findings and the check `bundle` report
        return by_sha256(row["bundle"]) not in there
