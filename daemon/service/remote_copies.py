"""RemoteCopies: copies git's history, DVC's lists of revisions and MLflow's files to their remotes, after the commits.

Nothing waits for these copies, because journal, segments and bundles contain all their data. With both, a clone of the remote
and `dvc pull` from the store give any revision. Status and metrics show how far the copies lag behind.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import BatchRow
from retraind.daemon.core.states import BatchState
from retraind.daemon.dataset import git_command
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.dataset.git_history import BATCH, MD5
from retraind.daemon.objects.retried_work import RetriedWork
from retraind.daemon.objects.store import ObjectStore, by_md5
from retraind.daemon.records import batches
from retraind.daemon.records.batches import Batches
from retraind.daemon.stored.artifacts import StoredArtifacts

LOOK_SECONDS = 1.0
"""Interval of checks for new revisions. One push takes all new ones."""

MOST = 1000
"""Maximum of the counted lag, in batches."""

CONSEQUENCE = "Only the copies in the remotes wait for it."

BRANCH = "refs/heads/main"

FETCHED = "refs/retraind/remote"
"""The local ref of the remote's newest revision during its check."""


class Lag(NamedTuple):
    """The lag of the remotes: the number of missing committed batches, and the age (seconds) of the oldest of them."""

    batches: int
    seconds: float


class RemoteCopies(RetriedWork):
    """The copying thread. It writes neither to the journal nor to the dataset."""

    def __init__(self, home: Home, store: ObjectStore | None, remote: str) -> None:
        super().__init__("projection", self._look, CONSEQUENCE)
        self._home, self._store, self._remote = home, store, remote
        server = mlflow_server.beside(home)
        self._artifacts = StoredArtifacts(home, store) if store and server and server.artifacts else None
        self._cache, self._batches = Cache(home.data), Batches(home.journal)
        self._behind: Sequence[BatchRow] = ()
        self._done = 0

    @property
    def lag(self) -> Lag:
        """The current lag of the remotes."""
        behind = self._behind
        since = [datetime.fromisoformat(row["committed_at"]) for row in behind if row["committed_at"]]
        return Lag(len(behind), max(0.0, (datetime.now(UTC) - min(since)).total_seconds()) if since else 0.0)

    def _look(self) -> float:
        if self._artifacts is not None:
            self._artifacts.put_new()
        self.follow()
        return LOOK_SECONDS

    def follow(self) -> None:
        """Copy the revisions that are new to the remotes; raises RetraindError, OSError."""
        rows = [row for row in self._batches.newest(MOST) if row["state"] == BatchState.COMMITTED]
        self._behind = [row for row in rows if row["seq"] > self._done]
        if not self._behind:
            return
        if self._store is not None:
            self._store.check()
        for row in reversed(self._behind):  # the newest last
            if self._store is not None and row["dvc_md5"]:
                self._put_list(self._store, row["dvc_md5"])
        if self._remote:
            self._push()
        self._done, self._behind = self._behind[0]["seq"], ()

    def _put_list(self, store: ObjectStore, dvc_md5: str) -> None:
        """Put DVC's list of a revision's segments, which are in the store already."""
        if self._cache.has(dvc_md5) and not store.has(by_md5(dvc_md5)):
            store.put(by_md5(dvc_md5), self._cache.path(dvc_md5))

    def _push(self) -> None:
        """Push the history. If it was rebuilt, it replaces the same revisions, which have other commits in the remote."""
        try:
            self._git("push", "--quiet", self._remote, f"HEAD:{BRANCH}")
        except DatasetDamaged as error:
            tip = self._git("ls-remote", self._remote, BRANCH).partition("\t")[0]
            if not tip:
                raise
            seq, is_ours = self._fetched()
            if not is_ours:
                hint = "Use an empty repository, or another branch of history for each home."
                raise DatasetDamaged(f"{self._remote} has the history of another home. {error}", hint=hint) from None
            if (
                seq > self._newest("HEAD")[0]
            ):  # a leader that was deposed must not put back what the next one has pushed
                raise DatasetDamaged(
                    f"{self._remote} already has batch {seq}, which {self._home.data} lacks."
                ) from None
            self._git("push", "--quiet", f"--force-with-lease={BRANCH}:{tip}", self._remote, f"HEAD:{BRANCH}")

    def _fetched(self) -> tuple[int, bool]:
        """The batch of the remote's newest revision, and whether the journal has it, perhaps with another commit id."""
        self._git("fetch", "--quiet", "--no-tags", self._remote, f"+{BRANCH}:{FETCHED}")
        seq, md5 = self._newest(FETCHED)
        self._git("update-ref", "-d", FETCHED)
        return seq, any((row["seq"], row["dvc_md5"]) == (seq, md5) for row in batches.all_of(self._home.journal))

    def _newest(self, commit: str) -> tuple[int, str]:
        """Batch and DVC's md5 in the trailers of a commit; 0 and nothing if it has none."""
        trailers = "".join(f"%(trailers:key={key},valueonly,separator=)%x00" for key in (BATCH, MD5))
        seq, md5, *_ = self._git("log", "-1", f"--format={trailers}", commit).split("\0")
        return int(seq) if seq.isdecimal() else 0, md5

    def _git(self, *arguments: str) -> str:
        return git_command.run(self._home.data, *arguments)
