"""The removal of traces: bytes of a drop's rows outside the dataset. Used by the loop thread.

Traces are recognised by the rows in DVC's cache. So its objects are removed last, by another module, and after a kill
in between the whole removal is repeated.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import orjson

from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import BAD_ROWS, REPORT
from retraind.daemon.core.journal_rows import DropRow
from retraind.daemon.core.shared_folder import inbox
from retraind.daemon.dataset import segment_writer, segments
from retraind.daemon.inbox.rejected_folder import Rejected
from retraind.daemon.ingest.erasure import held_files, trace_search
from retraind.daemon.ingest.erasure.row_matching import Split
from retraind.daemon.storage import log_lines
from retraind.daemon.storage.journal import Journal

log = logs.Logger()


class Eraser:
    """Removes traces, except DVC's objects and the files of versions.

    `erase` removes predictions from the history's database, by id, and `erase_old` from its files, one after the other.
    """

    def __init__(
        self,
        home: Home,
        journal: Journal,
        erase: Callable[[Sequence[str]], int],
        erase_old: Callable[[Sequence[str]], Iterator[int]] | None = None,
    ) -> None:
        self._home, self._journal, self._erase, self._erase_old = home, journal, erase, erase_old

    def run(self, drop: DropRow) -> Generator[None, None, list[str]]:
        """Remove the traces, piece by piece; returns sentences on the removed ones. A repeated call removes the rest."""
        lines = yield from self._refused(drop)
        waiting = yield from self._held(drop)
        predictions = yield from self._predictions(drop)
        done = [lines, waiting, self._orphans(drop), predictions]
        self._journal.labels.forget_predictions(drop)
        self._journal.erasures.blank_suspicion(drop["sha256"])
        return [sentence for sentence in done if sentence]

    def _refused(self, drop: DropRow) -> Generator[None, None, str]:
        count = 0
        place = Rejected.of(inbox(self._home))
        for looked in trace_search.refused(self._home, self._journal, place.path, drop):
            if looked is None:
                yield
                continue
            path, split = looked
            if split is None:
                log.warning("refused_file_not_read", name=path.name, hint="Look into it by hand.")
                continue
            self._take_out(path, split)
            count += split.matched
        return f"{count} lines were removed from rejected files" if count else ""

    def _held(self, drop: DropRow) -> Generator[None, None, str]:
        count, place = 0, inbox(self._home)
        for looked in trace_search.held(self._home, self._journal, drop):
            if looked is None:
                yield
            elif looked.split is None:
                log.warning("held_file_not_read", name=looked.name, hint="Look into it by hand.")
            else:  # the journal's quotes go first; after a kill in between, the file is read and held again
                self._journal.held.forget(looked.row["sha256"])
                held_files.take_out(place, looked)
                count += looked.split.matched
        return f"{count} lines were removed from held files" if count else ""

    def _take_out(self, path: Path, split: Split) -> None:
        """Remove the rows of the drop from a rejected file."""
        report = path.with_name(path.name + REPORT)
        self._journal.erasures.blank_refused(durable.sha256_file(path))
        # The report may quote cells, and its file has changed.
        durable.remove(report)
        if split.matched == split.lines:
            durable.remove(path)
            return
        before = path.stat()
        durable.write(path, split.rest, mode=before.st_mode & 0o777)
        os.chown(path, -1, before.st_gid)
        if not path.name.endswith(BAD_ROWS):
            durable.write(report, orjson.dumps({"name": path.name, "reason": "Some of its rows were forgotten."}))

    def _orphans(self, drop: DropRow) -> str:
        holding = trace_search.orphans(self._home, self._journal, drop)
        for path in holding:
            self._rewrite(path, drop)
            durable.remove(path)
        return f"{len(holding)} segments in data/orphans are without them" if holding else ""

    def _rewrite(self, path: Path, drop: DropRow) -> None:
        """Keep only other drops' rows in a segment that was set aside, unless it can't be read."""
        try:
            table = segments.load(path)
        except DatasetDamaged:
            return
        if set(segments.drops(table)) - {drop["sha256"]}:
            with segment_writer.write(self._home.orphans, [segments.without(table, drop["sha256"], {})]).entry(_never):
                pass

    def _predictions(self, drop: DropRow) -> Generator[None, None, str]:
        ids = self._journal.labels.predictions_of(drop)
        if not ids:
            return ""
        logged = frozenset(ids)
        for path in log_lines.files_with(self._home, logged):
            log_lines.blank(path, logged)
        erased = self._erase(ids)
        for count in () if self._erase_old is None else self._erase_old(ids):
            erased += count
            yield
        # A damaged history can't be read, so all of it is removed.
        for path in trace_search.lost_histories(self._home):
            durable.remove(path)
        return f"{erased} predictions were removed from the history"


def _never(_name: str) -> bool:
    return False
