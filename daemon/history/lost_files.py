"""Notices recorded files of old predictions that are gone or damaged: their predictions can't be joined with labels any more."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from retraind.daemon.core import logs
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.history_files import HistoryFile
from retraind.daemon.history.files import HistoryPlace
from retraind.daemon.records.search import history_files
from retraind.daemon.schema.score_names import counted

log = logs.Logger()

HERE_SECONDS, REMOTE_SECONDS = 60.0, 600.0
"""Interval of looks at the files here, and in the object store."""

ADVICE = "Until it is back, for example from a backup, they can't get labels."


class LostFiles:
    """The lost files of one home; `examine` and `of` are for any thread, `step` for the loop's."""

    def __init__(self, home: Home, place: HistoryPlace) -> None:
        self._home, self._place = home, place
        self._lost: dict[str, tuple[HistoryFile, str]] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="old-files")
        self._looking: Future[None] | None = None
        self._failure: str | None = None
        """Why the last look at the files failed."""
        self._look_at, self._turn = 0.0, 0

    @property
    def problem(self) -> str | None:
        """A sentence on the files that are lost, or on why that is unknown; None if neither."""
        with self._lock:
            lost = list(self._lost.values())
        if not lost:
            return self._failure
        rows = counted(sum(file["rows"] for file, _ in lost), "old prediction")
        others = f" {counted(len(lost) - 1, 'other file')} too." if len(lost) > 1 else ""
        return f"{rows} can't be read: {lost[0][1]}{others} {ADVICE}"

    def step(self, now: float) -> bool:
        """Look at the files in a thread, once in a while; `now` is monotonic seconds. Whether a look began."""
        if self._looking is not None and not self._looking.done():
            return False
        if self._looking is not None:
            self._note_end(self._looking.exception())
        self._looking = None
        if now < self._look_at:
            return False
        self._look_at = now + (REMOTE_SECONDS if self._place.remote else HERE_SECONDS)
        self._looking = self._threads.submit(self.look)
        return True

    def _note_end(self, error: BaseException | None) -> None:
        failure = None if error is None else f"The files of old predictions can't be examined: {error}"
        if failure is not None and failure != self._failure:
            log.warning("old_predictions_not_examined", reason=str(error))
        self._failure = failure

    def close(self) -> None:
        """End after the present look."""
        self._threads.shutdown(cancel_futures=True)

    def look(self) -> None:
        """Compare the sizes of all files, and the bytes of those that were lost and of the next one in turn.

        Raises StoreUnavailable, OSError, sqlite3.Error.
        """
        files = history_files.all_files(self._home.journal)
        sizes = self._place.sizes(files)
        wrong = {file["object"] for file in files if sizes.get(file["object"]) != file["bytes"]}
        with self._lock:
            suspects = wrong | self._lost.keys()
        if files and not self._place.remote:
            self._turn = (self._turn + 1) % len(files)
            suspects.add(files[self._turn]["object"])
        for file in files:
            if file["object"] in suspects:
                self.examine(file)
        self._forget({file["object"] for file in files})

    def examine(self, file: HistoryFile) -> bool:
        """Whether a file is lost, by all of its bytes; raises StoreUnavailable, OSError, sqlite3.Error."""
        reason = self._place.objection(file)
        # It may have been erased or written again meanwhile.
        is_lost = reason is not None and history_files.names(self._home.journal, file["object"])
        with self._lock:
            if is_lost and file["object"] not in self._lost:
                log.error("old_predictions_lost", file=file["object"], rows=file["rows"], reason=reason)
            if reason is not None and is_lost:
                self._lost[file["object"]] = file, reason
            else:
                self._lost.pop(file["object"], None)
        return is_lost

    def of(self, ids: Sequence[str]) -> dict[str, str]:
        """Why predictions can't be found, by id: those that may be in a lost file. Raises sqlite3.Error."""
        with self._lock:
            reasons = {name: reason for name, (_, reason) in self._lost.items()}
        if not reasons:
            return {}
        holders = history_files.holding(self._home.journal, ids)
        return {one: reasons[file["object"]] for file, some in holders if file["object"] in reasons for one in some}

    def _forget(self, names: set[str]) -> None:
        with self._lock:
            for name in self._lost.keys() - names:
                del self._lost[name]
