"""Archives finished logs: a process builds Parquet files, a thread puts them, and the loop's thread records them in the journal.

The order is: files durable under hidden names, names noted as leftovers, files put, one transaction with their entries and
the names of the logs, logs removed. After a kill in between, the files without an entry are removed and built again, and the
logs with one are removed. So each prediction of a log is in one recorded file, and no file without an entry stays.
"""

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from retraind.daemon.core import clock, durable, logs
from retraind.daemon.core.clock import Clock, Reading
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.history_files import HistoryFile
from retraind.daemon.core.settings import Settings
from retraind.daemon.history.building import Built, Order
from retraind.daemon.history.files import HistoryPlace
from retraind.daemon.processes.child import ELSEWHERE, environment, python
from retraind.daemon.storage.history_logs import began_at
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier

log = logs.Logger()

BUILDING = "retraind.daemon.history.building"
TIDY_SECONDS, TIDY_FILES = 60.0, 50
"""Interval of looks for files that are older than `predictions.keep_days`, and the number that one removes."""

AGAIN_SECONDS = 10.0
"""Pause after a failure."""

LATE_SECONDS = clock.DAY
"""Time after which no put of another process, which a start cleaned up after, can still end."""


class BuildFailed(RetraindError):
    """Raised when the process that builds files has failed."""


class Archiver:
    """The work of the loop's thread: `step`, about once a second, never waits for the disk or the store for long."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        journal: Journal,
        place: HistoryPlace,
        copier: HistoryCopier,
        read_clock: Callable[[], Reading] = clock.read,
    ) -> None:
        self._home, self._journal, self._place, self._copier = home, journal, place, copier
        self._group_bytes, self._keep_days = settings.predictions.rotate_bytes, settings.predictions.keep_days
        self._archives_all = settings.predictions.history == "parquet"
        self._clock, self._read_clock, self._tidy_at = Clock(), read_clock, 0.0
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="archiving")
        self._building: tuple[tuple[Path, ...], Future[list[HistoryFile]]] | None = None
        self._putting: tuple[tuple[Path, ...], list[HistoryFile], Future[None]] | None = None
        self._ending: Future[Any] | None = None
        """Work whose result is not wanted any more; nothing begins before its end."""
        self._again_at = 0.0
        self._has_recovered = False
        self.problem: str | None = None
        """Why old predictions stay in their logs; None if they do not."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being archived."""
        return self._building is None and self._putting is None and self._ending is None

    @property
    def waiting(self) -> tuple[Path, ...]:
        """Finished logs that are in no file yet."""
        return self._copier.complete

    def step(self, now: float) -> bool:
        """Do what can be done now; whether that was anything. `now` is monotonic seconds. Raises Unavailable for the journal."""
        if now < self._again_at:
            return False
        try:
            did = self._step()
            if now >= self._tidy_at:
                self._tidy_at = now + TIDY_SECONDS
                reading = self._read_clock()
                self._remove_late(reading.wall)
                self._tidy(reading)
        except (RetraindError, OSError) as error:
            if self.problem is None:
                log.warning("predictions_not_archived", reason=str(error))
            self.problem, self._again_at = f"Old predictions wait in their log files: {error}", now + AGAIN_SECONDS
            self.discard()
            return False
        if did:
            self.problem = None
        return did

    def close(self) -> None:
        """End after the present file; what was not recorded is built again after the next start."""
        self._threads.shutdown(cancel_futures=True)

    def discard(self) -> None:
        """Do not record what is being built, for example because some of its predictions were erased meanwhile."""
        under_way = self._building or self._putting
        if under_way is not None:
            self._ending = under_way[-1]
        self._building = self._putting = None
        self._has_recovered = False

    def _step(self) -> bool:
        if self._ending is not None:
            if not self._ending.done():
                return False
            self._ending = None
        if not self._has_recovered:
            self._recover()
        if self._building is not None:
            return self._built(*self._building)
        if self._putting is not None:
            return self._put(*self._putting)
        return self._begin()

    def _recover(self) -> None:
        """Remove what a kill left: files without an entry, and logs whose files have one."""
        self._place.make()
        if leftovers := self._journal.history_files.leftovers():
            self._place.remove(leftovers)
            self._journal.history_files.settle(
                leftovers, clock.iso(self._read_clock().wall) if self._place.remote else None
            )
        self._has_recovered = True

    def _remove_late(self, now: float) -> None:
        """Remove what another leader put after its files were removed, and no entry names."""
        if late := self._journal.history_files.late(clock.iso(now - LATE_SECONDS)):
            self._place.remove(late)
            self._journal.history_files.forget_late(late)

    def _tidy(self, reading: Reading) -> None:
        """Remove some of the files whose newest prediction is too old."""
        if not self._keep_days or not self._clock.trusts(reading):
            return
        old = self._journal.history_files.ended(clock.iso(reading.wall - self._keep_days * clock.DAY), TIDY_FILES)
        if old:
            self._journal.history_files.replace(old, [])
            self._place.remove(old)
            self._journal.history_files.settle(old)
            log.info("old_predictions_removed", files=len(old))

    def _begin(self) -> bool:
        """Start with logs that fill a file, are of a day that is over, or are the last ones before the setting went back."""
        complete = [path for path in self._copier.complete if path.exists()]
        if archived := self._journal.history_files.archived(path.name for path in complete) if complete else set():
            self._remove([path for path in complete if path.name in archived])
            return True
        group = self._group(complete)
        if not group:
            return False
        self._building = group, self._threads.submit(_built, self._home, group)
        return True

    def _group(self, paths: Sequence[Path]) -> tuple[Path, ...]:
        today = datetime.now(UTC).date()
        group, size, over = list[Path](), 0, False
        for path in paths:
            group.append(path)
            size, over = size + path.stat().st_size, over or began_at(path).date() < today
            if size >= self._group_bytes:
                return tuple(group)
        return tuple(group) if over or not self._archives_all else ()

    def _built(self, paths: tuple[Path, ...], building: "Future[list[HistoryFile]]") -> bool:
        if not building.done():
            return False
        files = building.result()
        self._building = None
        self._journal.history_files.expect([file["object"] for file in files])
        self._putting = paths, files, self._threads.submit(self._put_all, files)
        return True

    def _put_all(self, files: Sequence[HistoryFile]) -> None:
        for file in files:
            self._place.put(file)

    def _put(self, paths: tuple[Path, ...], files: list[HistoryFile], putting: "Future[None]") -> bool:
        if not putting.done():
            return False
        putting.result()
        self._putting = None
        self._journal.history_files.record(files, [path.name for path in paths])
        log.info("predictions_archived", files=len(files), rows=sum(file["rows"] for file in files), logs=len(paths))
        self._remove(paths)
        return True

    def _remove(self, paths: Sequence[Path]) -> None:
        for path in paths:
            durable.remove(path)


def _built(home: Home, paths: Sequence[Path]) -> list[HistoryFile]:
    """Build the files of some logs in a process; raises BuildFailed."""
    order: Order = {"home": str(home.root), "logs": [path.name for path in paths]}
    command = python(BUILDING)
    # In a session of its own, because niceness counts within a session.
    done = subprocess.run(
        command,
        input=orjson.dumps(order),
        stdout=subprocess.PIPE,
        check=False,
        cwd=ELSEWHERE,
        env=environment(),
        start_new_session=True,
    )
    if done.returncode:
        raise BuildFailed(
            f"The process that builds Parquet files ended with code {done.returncode}.", hint="Its error is in the log."
        )
    built: Built = orjson.loads(done.stdout)
    return built["files"]
