"""Checkout: fetches an earlier revision of a home into another, empty home, for reproducing a training.

The first home is only read. DVC fetches the segments from its cache as from any remote.
"""

import contextlib
import shutil

from retraind.daemon.core import durable
from retraind.daemon.core.errors import DatasetDamaged, NotFound, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import dvc, git_command, git_history
from retraind.daemon.dataset.dvc import Dvc
from retraind.daemon.dataset.dvc_cache import Cache, md5_of
from retraind.daemon.dataset.git_repository import Revision, pointed
from retraind.daemon.objects.store import ObjectLost, ObjectStore, by_md5
from retraind.daemon.records import segments as recorded_segments


def check_out(source: Home, target: Home, revision: Revision, store: ObjectStore | None = None) -> list[str]:
    """Fetch a revision of `source`, which may be in use, into the empty home `target`.

    Returns the names of its segments. Raises NotFound when they are gone from the cache of `source` and from the object
    `store`, Unavailable when there is no room for them or the store does not answer, DatasetDamaged when they differ
    from the revision.
    """
    checkout = Dvc(target)
    checkout.isolate()
    git_command.clone(source.data, target.data)
    commit = git_history.locate(target.data, *revision)
    if commit is None:
        raise NotFound(f"git has neither revision {revision.commit[:10]} nor a rebuilt one for it.")
    git_command.run(target.data, "checkout", "--quiet", "--detach", commit)
    if (md5 := pointed(target.data)) != revision.dvc_md5:
        raise DatasetDamaged(f"Revision {revision.commit[:10]} names DVC's {md5}, not {revision.dvc_md5}.")
    cache = Cache(target.data)
    _copy_list(source, cache, revision)
    listed = cache.listed(revision.dvc_md5)
    if store is not None:
        _fetch(source, cache, listed, store)
    _require_objects(source, target, listed, revision)
    checkout.pull(source.data / ".dvc/cache")
    for name, md5 in listed.items():
        if md5_of(target.segments / name) != md5:
            raise DatasetDamaged(f"DVC gave other bytes than {md5} for {name}.", hint="Run `retraind doctor`.")
    return list(listed)


def _copy_list(source: Home, cache: Cache, revision: Revision) -> None:
    """Put DVC's list of a revision's segments into `cache`: composed from the journal, or copied from `source`."""
    if cache.compose(revision.dvc_md5, recorded_segments.listed(source.journal, revision.dvc_md5)):
        return
    original, copy = Cache(source.data).path(revision.dvc_md5), cache.path(revision.dvc_md5)
    if not original.exists():
        raise NotFound(f"DVC's list of revision {revision.commit[:10]} is gone.", hint="A backup of data/ has it.")
    copy.parent.mkdir(parents=True, exist_ok=True)
    durable.write(copy, original.read_bytes(), mode=0o444)


def _fetch(source: Home, cache: Cache, listed: dict[str, str], store: ObjectStore) -> None:
    """Fetch the segments of `listed` (name: md5) that the cache of `source` lacks into `cache`, if the store has them."""
    hashes = recorded_segments.hashes(source.journal)
    for name, md5 in listed.items():
        if not Cache(source.data).path(md5).exists() and name in hashes:
            cache.path(md5).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(ObjectLost):
                store.get(by_md5(md5), cache.path(md5), hashes[name], mode=0o444)


def _require_objects(source: Home, target: Home, listed: dict[str, str], revision: Revision) -> None:
    """Raise NotFound if the segments of `listed` (name: md5) are gone, Unavailable if they are too large for the disk."""
    here, fetched = Cache(source.data), Cache(target.data)
    objects = [fetched.path(md5) if fetched.path(md5).exists() else here.path(md5) for md5 in listed.values()]
    if gone := sum(not path.exists() for path in objects):
        hint = "They may have been purged (`retraind forget --purge`); a backup of data/ has them."
        raise NotFound(f"{gone} segments of revision {revision.commit[:10]} are gone from DVC's cache.", hint=hint)
    needed = 2 * sum(path.stat().st_size for path in objects)  # in the cache here, and checked out
    free = shutil.disk_usage(target.data).free
    if needed + dvc.LEAST_BYTES > free:
        hint = "Set TMPDIR to a folder with more room."
        raise Unavailable(f"{needed} bytes must be fetched into {target.data}; {free} are free.", hint=hint)
