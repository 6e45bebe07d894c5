"""The dataset: the segments that the journal names, and their projection in DVC and git.

DVC never fsyncs and trusts any cache object of mode 0444. So this module hashes and fsyncs every new object before the
journal records the batch as committed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import SegmentRow
from retraind.daemon.dataset.dvc import Dvc
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.dataset.git_history import POINTER, SCHEMA
from retraind.daemon.dataset.git_repository import Repository, Revision, pointed
from retraind.daemon.dataset.segment_folder import SegmentFolder
from retraind.daemon.stored.segments import StoredSegments

log = logs.Logger()


class Dataset:
    """Writes segments and commits them; used by one thread of one process that holds the home's lock."""

    def __init__(
        self,
        home: Home,
        tell: Callable[[str], object] | None = None,
        stored: StoredSegments | None = None,
        epoch: int | None = None,
    ) -> None:
        """`epoch` is that of a leader with a standby."""
        self._home, self._cache, self._dvc = home, Cache(home.data), Dvc(home)
        self.folder = SegmentFolder(home, epoch)
        self._tell = tell or (lambda sentence: log.warning("repaired", detail=sentence))
        self._repository = Repository(home, self._cache, self._tell)
        self.stored = stored or StoredSegments(home)

    def open(self, recorded: Mapping[str, str], replaced: Callable[[Iterable[str]], set[str]]) -> None:
        """Make or repair the repository; `recorded` maps the journal's segments to their md5.

        Other files in the dataset are removed if a merge has replaced them (`replaced` knows). All others were never
        accepted and are set aside. A missing segment is restored from the orphans, DVC or the object store.
        """
        self._dvc.isolate()
        self.folder.make()
        self._cache.adopt_stamps()
        self.stored.schema.restore()
        self._repository.repair()
        names = self.folder.names()
        gone = replaced(names - recorded.keys())
        self.folder.remove(gone)
        self.folder.set_aside(names - recorded.keys() - gone)
        self.folder.restore(recorded, self._cache, self.stored)

    def close(self) -> None:
        """Close DVC's caches and databases."""
        self._dvc.close()

    # Commits

    def commit(self, seq: int, segments: Mapping[str, str], message: str, gone: Iterable[str] = ()) -> Revision:
        """Make a revision of all `segments` (name: md5); a repetition after a crash gives the same revision.

        `gone` are segments of earlier revisions that are not in this one; DVC's cache keeps them. Damage that a restart
        would repair is repaired, once. Raises DatasetDamaged when DVC's objects differ from the segments.
        """
        self.folder.remove(gone)
        try:
            return self._commit(seq, segments, message)
        except (DatasetDamaged, OSError) as error:
            log.warning("commit_failed", batch=seq, reason=str(error), hint="It is repaired and tried again.")
        self.repair(segments)
        return self._commit(seq, segments, message)

    def _commit(self, seq: int, segments: Mapping[str, str], message: str) -> Revision:
        self._repository.scaffold()
        self._repository.require_newest()
        self._dvc.add(self._home.segments)
        dvc_md5 = pointed(self._home.data)
        self._secure(dvc_md5, segments)
        return self._repository.commit(seq, dvc_md5, message)

    def _secure(self, dvc_md5: str, segments: Mapping[str, str]) -> None:
        """Check that the folder object lists exactly our segments, hash what is not yet durable, fsync it."""
        if self._cache.listed(dvc_md5) != dict(segments):
            raise DatasetDamaged("DVC's list of the dataset differs from the journal's.", hint="Run `retraind doctor`.")
        for md5 in (*segments.values(), dvc_md5):
            self._cache.make_durable(md5)
        for name in (POINTER, ".gitignore", SCHEMA):
            durable.fsync_file(self._home.data / name)
        durable.fsync_dir(self._home.data)

    def revision(self) -> Revision | None:
        """The newest revision; None before the first commit."""
        return self._repository.head()

    def purge(self, md5s: Iterable[str]) -> int:
        """Remove objects of earlier revisions for good, from the object store and then from DVC's cache.

        Returns the number of those in the cache. The revisions that need them can't be checked out any more. Raises
        StoreUnavailable before anything is removed here.
        """
        gone = list(md5s)
        with self.stored.purging:
            self.stored.purge(gone)
            return self._cache.purge(gone)

    def recover(self, segments: Iterable[SegmentRow]) -> None:
        """Restore objects of earlier revisions that DVC's cache lacks, if the object store has them."""
        for row in segments:
            if not self._cache.path(row["md5"]).exists():
                self._cache.path(row["md5"]).parent.mkdir(parents=True, exist_ok=True)
                self.stored.fetch_to(self._cache.path(row["md5"]), row["md5"], row["sha256"])

    # Repairs

    def damage(self, segments: Mapping[str, str]) -> str | None:
        """Damage that would stop the next commit, found within a few milliseconds; None if there is none."""
        if missing := self.folder.missing(segments):
            return f"{len(missing)} segments are gone from {self._home.segments}, first {min(missing)}."
        return self._repository.damage()

    def repair(self, segments: Mapping[str, str]) -> None:
        """Repair damage to `data/` by killed programs, people and disks, as far as a copy of the bytes exists."""
        self._dvc.reset()
        self.folder.make()
        self.stored.schema.restore()
        self._repository.repair()
        self.folder.restore(segments, self._cache, self.stored)
        gone = self._cache.missing(segments.values())
        for name, md5 in segments.items():
            if md5 in gone and (self._home.segments / name).exists():
                log.warning("object_restored", segment=name)
                self._cache.replace_from(md5, self._home.segments / name)
        self._repository.restore(SCHEMA)

    def repair_all(self, segments: Mapping[str, tuple[str, str]]) -> Iterator[None]:
        """Check every byte of `segments` (name: sha256 and md5), DVC's objects and git, and repair them if possible.

        In pieces. Raises DatasetDamaged when no copy of some rows is left.
        """
        hashes = {name: sha256 for name, (sha256, _) in segments.items()}
        live = {name: md5 for name, (_, md5) in segments.items()}
        for name, sha256 in hashes.items():
            if self.folder.keep_damaged(name, sha256):
                self._tell(
                    f"The segment {name} was damaged; it is kept in data/orphans, and restored if DVC has its bytes."
                )
            yield
        self.repair(live)
        yield
        yield from self._repair_cache(live)
        self._repository.repair_history()
        if gone := self.folder.verify(hashes):
            hint = "Put them back from a backup."
            raise DatasetDamaged(f"{len(gone)} segments are gone for good, first {gone[0]}.", hint=hint)

    def _repair_cache(self, live: Mapping[str, str]) -> Iterator[None]:
        """Check every byte of DVC's objects for the present segments (name: md5), and rebuild damaged ones."""
        for name, md5 in live.items():
            if (self._home.segments / name).exists() and self._cache.replace_from(md5, self._home.segments / name):
                self._tell(f"DVC's object of the segment {name} was gone or damaged and has been rebuilt.")
            yield
        newest = self._repository.newest
        if newest and self._cache.compose(newest.dvc_md5, live):
            self._tell("DVC's list of the present revision was gone or damaged and has been rebuilt.")
