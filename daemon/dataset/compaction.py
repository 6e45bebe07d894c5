"""Compaction merges many small segments into one, piece by piece, when nothing more urgent is due.

The journal knows nothing of a merge until its segment is finished; a kill before that leaves a temporary file. The
segment gets its name and its journal entry in one step, because drops may be ingested and rows forgotten between the
steps of a merge. Segments that can't be merged (types that a person's schema change made incompatible, or a damaged
file) stay as they are and delay nothing.
"""

from collections.abc import Iterator, Mapping

from retraind.daemon.core import logs
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.dataset import segment_tiers
from retraind.daemon.dataset.segment_folder import SegmentFolder
from retraind.daemon.dataset.segment_writer import Sealed
from retraind.daemon.dataset.segments import UnlikeError
from retraind.daemon.storage.journal import Journal
from retraind.daemon.stored.segments import StoredSegments

log = logs.Logger()

RETRY_SECONDS = 60.0
"""Seconds before the next attempt after a failure (a full disk, say)."""


class Compaction:
    """The merge under way; used by the loop thread, only while no training reads segments."""

    def __init__(self, folder: SegmentFolder, stored: StoredSegments, journal: Journal) -> None:
        self._folder, self._stored, self._journal = folder, stored, journal
        self._work: Iterator[None] | None = None
        self._unlike: set[str] = set()
        self._retry_at = 0.0

    def step(self, now: float) -> bool:
        """Do one piece of a merge; `now` is monotonic seconds. True: call again at once."""
        if self._work is None and (now < self._retry_at or not self._begin()):
            return False
        assert self._work is not None
        try:
            next(self._work)
        except StopIteration:
            self._work = None
        except (OSError, RetraindError) as error:
            self._work, self._retry_at = None, now + RETRY_SECONDS
            log.warning("merge_failed", reason=str(error))
        return True

    def _begin(self) -> bool:
        live = [one for one in self._journal.segments.current() if one["name"] not in self._unlike]
        names = segment_tiers.due(live)
        if names:
            self._work = self._merge({one["name"]: one["sha256"] for one in live if one["name"] in names})
        return bool(names)

    def _merge(self, sources: Mapping[str, str]) -> Iterator[None]:
        sealed = None
        try:
            for sealed in self._folder.merging(sources):
                if sealed is None:
                    yield
        except UnlikeError as error:
            self._unlike |= sources.keys()
            log.warning("segments_not_merged", segments=len(sources), reason=str(error))
        if sealed is not None:
            try:
                yield from self._stored.put(*sealed.object)
            except BaseException:
                sealed.discard()
                raise
            self._record(sealed, sources)

    def _record(self, sealed: Sealed, sources: Mapping[str, str]) -> None:
        """Replace the sources by the finished segment, in the step that finished it."""
        if not sources.keys() <= {one["name"] for one in self._journal.segments.current()}:
            sealed.discard()  # a drop was forgotten meanwhile, and its rows are in the segment just written
            self._stored.abandon(sealed.segment.name, sealed.segment.md5)
            return
        with sealed.entry(self._journal.segments.has) as merged:
            self._journal.batches.merge(merged.record, list(sources))
        log.info("merged", segments=len(sources), rows=merged.rows, bytes=merged.bytes)
