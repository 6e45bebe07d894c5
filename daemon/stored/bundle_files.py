"""A bundle in the object store: each file, including the manifest, is an object named by its sha256.

The journal has the sha256 of a version's manifest, which is enough to fetch and verify the whole bundle.
"""

import shutil
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.manifest import KEPT, MANIFEST, Manifest, cleared, read_manifest
from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.objects.store import ObjectLost, ObjectStore, by_sha256

log = logs.Logger()

AT_ONCE = 4
"""Number of files of a bundle that are transferred at once; a bundle has about ten."""

FETCHED = ".fetched-"
"""Prefix of a manifest while its files are still missing, because a folder with only a manifest means a cleared
version."""


UNFINISHED_SECONDS = 600.0
"""Seconds after which an unfinished file was left by a killed process."""


def put(store: ObjectStore, folder: Path, sha256: str) -> None:
    """Put the files of a bundle, then its manifest with this sha256; raises BundleRefused for other bytes, StoreUnavailable, OSError."""
    manifest = read_manifest(folder, sha256)

    def put_file(name: str) -> None:
        data = (folder / Path(name).name).read_bytes()
        if durable.sha256(data) != manifest.files[name]:
            raise BundleRefused(f"{folder / name} is not the file that was recorded ({manifest.files[name][:12]}…).")
        store.put(by_sha256(manifest.files[name]), data)

    with ThreadPoolExecutor(AT_ONCE, "object-put") as pool:
        list(pool.map(put_file, manifest.files))
    store.put(by_sha256(sha256), (folder / MANIFEST).read_bytes())


def lacking(folder: Path, sha256: str, only: Collection[str] = ()) -> bool:
    """Whether a bundle lacks a file (with `only`, one of these) or its manifest; `bundle.load` checks the bytes."""
    try:
        manifest = read_manifest(folder, sha256)
    except BundleRefused:
        return not (folder / MANIFEST).exists()
    return any(not (folder / name).exists() for name in manifest.files if not only or name in only)


def fetch(store: ObjectStore, folder: Path, sha256: str, only: Collection[str] = ()) -> None:
    """Fetch missing files of a bundle (with `only`, of these), the manifest last.

    Each file is verified before it gets its name. If one is lost, the others are removed again, except those in KEPT:
    with a part of its files a version would count as damaged, not as cleared.

    Raises ObjectLost, ObjectDamaged, BundleRefused, StoreUnavailable, OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    durable.sweep(folder, seconds=UNFINISHED_SECONDS)
    early = folder.with_name(f"{FETCHED}{sha256}")
    manifest = _manifest(store, folder, early, sha256)
    wanted = {name: digest for name, digest in manifest.files.items() if not only or name in only}

    def fetch_file(name: str) -> None:
        store.get(by_sha256(wanted[name]), folder / Path(name).name, wanted[name])

    missing = [name for name in wanted if not (folder / name).exists()]
    try:
        with ThreadPoolExecutor(AT_ONCE, "object-get") as pool:
            list(pool.map(fetch_file, missing))
    except ObjectLost:
        for name in set(missing) - KEPT:
            (folder / name).unlink(missing_ok=True)
        raise
    if early.exists():
        early.replace(folder / MANIFEST)
        durable.fsync_dir(folder)
    durable.fsync_dir(folder.parent)


def prepare(store: ObjectStore, folder: Path, sha256: str) -> None:
    """Fetch a bundle's missing files, verify all and load it once; a damaged one is fetched again.

    It may run in any thread. Raises StoreUnavailable, RetraindError, OSError.
    """
    try:
        _load(store, folder, sha256)
    except BundleRefused as error:
        if folder.exists():
            log.warning("bundle_fetched_again", folder=str(folder), reason=str(error))
            shutil.rmtree(folder)
        _load(store, folder, sha256)


def _load(store: ObjectStore, folder: Path, sha256: str) -> None:
    if cleared(folder) or lacking(folder, sha256):
        fetch(store, folder, sha256)
    bundle.load(folder, sha256)


def _manifest(store: ObjectStore, folder: Path, early: Path, sha256: str) -> Manifest:
    if (folder / MANIFEST).exists():
        return read_manifest(folder, sha256)
    store.get(by_sha256(sha256), early, sha256)
    return Manifest.model_validate_json(early.read_bytes())


def objects(folder: Path, sha256: str) -> set[str]:
    """The names of all objects of a bundle; raises BundleRefused."""
    return set(map(by_sha256, (*read_manifest(folder, sha256).files.values(), sha256)))


def removable(manifest: Manifest) -> set[str]:
    """The sha256 of the files that are removed when a version is cleared."""
    return {sha256 for name, sha256 in manifest.files.items() if name not in KEPT}
