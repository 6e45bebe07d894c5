"""A standby's copies of what the journal names: segments, schema, git's revisions and bundles, fetched ahead.

A take-over fetches what is still missing, so these copies only make it fast.
"""

import time

from retraind.daemon.core import durable, logs
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import dvc, git_command
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.dataset.git_repository import Repository
from retraind.daemon.dataset.segment_folder import SegmentFolder
from retraind.daemon.leadership import purged_copies
from retraind.daemon.leadership.follower import Follower
from retraind.daemon.objects.store import ObjectStore, by_sha256
from retraind.daemon.records import segments
from retraind.daemon.records.versions import MOST, Versions
from retraind.daemon.storage.server import leader_rows
from retraind.daemon.storage.server.node_session import NodeSession
from retraind.daemon.stored.bundles import StoredBundles
from retraind.daemon.stored.segments import StoredSegments

log = logs.Logger()

CHANNEL = "retraind_desired"

GIT_SECONDS = 5.0
"""Minimum time between two appends to git's history, which reads all batches of the journal."""


class JournalCopy:
    """Keeps a home close to the journal; for the thread of a Follower."""

    def __init__(self, home: Home, store: ObjectStore) -> None:
        self._home, self._store = home, store
        self._folder, self._cache = SegmentFolder(home), Cache(home.data)
        self._stored, self._bundles = StoredSegments(home, store), StoredBundles(home, store)
        self._versions = Versions(home)
        self._repository = Repository(home, self._cache, lambda sentence: log.warning("repaired", detail=sentence))
        self._seen: int | None = None
        self._git_at = 0.0
        self._git_due, self._preloaded = True, False
        self.complete = False
        """Whether the home had everything at the last look."""

    def follow(self, session: NodeSession, follower: Follower) -> None:
        """Fetch what is new; raises Unavailable, RetraindError, OSError, Ended."""
        if not self._preloaded:
            dvc.preload()
            self._preloaded = True
        writes = leader_rows.writes(session)
        if writes is not None and writes != self._seen:
            self._fetch(follower)
            self._seen, self._git_due = writes, True
        now = time.monotonic()
        if self._git_due and self._seen is not None and now >= self._git_at:
            with follower.changing():
                self._repository.catch_up()
                self._repository.repair()
                self._list()
            self._git_due, self._git_at = False, now + GIT_SECONDS
        self.complete = self._seen is not None

    def _list(self) -> None:
        """Write DVC's list of the newest revision, which DVC itself writes only where a revision is committed."""
        if newest := self._repository.newest:
            recorded = {name: row["md5"] for name, row in segments.current(self._home.journal).items()}
            self._cache.compose(newest.dvc_md5, recorded)

    def _fetch(self, follower: Follower) -> None:
        self._home.data.mkdir(exist_ok=True)
        git_command.isolate()
        self._schema(follower)
        self._segments(follower)
        with follower.changing():
            purged_copies.remove(self._home)
        for row in self._versions.newest(MOST):
            follower.require()
            self._bundles.restore(row["version"], row["bundle"], emptied=False)

    def _schema(self, follower: Follower) -> None:
        sha256 = segments.stored_schema(self._home.journal)
        path = self._home.schema
        if sha256 is None or (path.exists() and durable.sha256(path.read_bytes()) == sha256):
            return
        with follower.changing():
            path.unlink(missing_ok=True)
            self._store.get(by_sha256(sha256), path, sha256)

    def _segments(self, follower: Follower) -> None:
        recorded = {name: row["md5"] for name, row in segments.current(self._home.journal).items()}
        self._folder.make()
        if self._folder.missing(recorded):
            self._folder.restore(recorded, self._cache, self._stored)
        dead = {row["name"] for row in segments.ever(self._home.journal) if row["died"] is not None}
        with follower.changing():
            self._folder.remove(dead & self._folder.names() - recorded.keys())
        for md5, name in {md5: name for name, md5 in recorded.items()}.items():
            follower.require()
            if not self._cache.path(md5).exists() and (self._home.segments / name).exists():
                self._cache.replace_from(md5, self._home.segments / name)
