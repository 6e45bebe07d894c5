"""From journal to revision: a recorded batch is committed to DVC and git, then its drops are removed from the inbox.

It also runs first after a crash, because both steps follow from the journal.
"""

from collections.abc import Callable

from retraind.daemon.core import logs
from retraind.daemon.core.states import BatchKind
from retraind.daemon.dataset import git_history
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.ingest.clearing import Clearing
from retraind.daemon.storage.journal import Journal

log = logs.Logger()


class BatchCommit:
    """Commits batches; used by the loop thread. `say` publishes its current step."""

    def __init__(self, dataset: Dataset, journal: Journal, clearing: Clearing, say: Callable[[str], None]) -> None:
        self._dataset, self._journal, self._clearing, self._say = dataset, journal, clearing, say
        newest = journal.batches.newest()
        self._to_clear = None if newest is None else int(newest["seq"])
        self.live_segments = 0
        """Segments of the dataset at the last commit."""

    def commit(self) -> bool:
        """Commit the oldest uncommitted batch; False if there is none."""
        pending = self._journal.batches.uncommitted()
        if pending is None:
            return False
        self._say(f"committing batch {pending['seq']}")
        live = {segment["name"]: segment["md5"] for segment in self._journal.segments.current()}
        self.live_segments = len(live)
        present = self._dataset.folder.names()
        gone = self._journal.segments.replaced(present - live.keys())
        # Remove segments that were written although the journal entry then failed, for example on a full disk.
        self._dataset.folder.set_aside(present - live.keys() - gone)
        message = git_history.subject(pending["seq"], pending["kind"], pending["rows"])
        revision = self._dataset.commit(pending["seq"], live, message, gone)
        self._journal.batches.commit(pending["seq"], revision.commit, revision.dvc_md5)
        self._to_clear = pending["seq"] if pending["kind"] == BatchKind.DROPS else self._to_clear
        log.info("committed", batch=pending["seq"], revision=revision.commit[:10], dvc_md5=revision.dvc_md5[:10])
        return True

    def clear_drops(self) -> bool:
        """Remove the drops of the newest committed batch from the inbox; False if that is done."""
        if self._to_clear is None:
            return False
        self._say(f"removing the files of batch {self._to_clear}")
        drops = self._journal.drops.of_batch(self._to_clear)
        self._clearing.clear((drop["name"], drop["sha256"]) for drop in drops)
        self._to_clear = None
        return True
