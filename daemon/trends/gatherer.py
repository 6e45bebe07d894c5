"""The gatherer: a thread that takes figures from workers, journal and status every ten seconds, and stores them.

The loop never waits for it. The copying thread of the history calls `count_predictions`, before old rows are removed.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from retraind.daemon.artifacts.manifest import read_pointer
from retraind.daemon.core import clock, status
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.status import Status, utcnow
from retraind.daemon.core.trends import spans
from retraind.daemon.core.trends.figures import Figures, Gauge, empty, gauge
from retraind.daemon.core.trends.position import Count, Position, Since, since
from retraind.daemon.records.totals import Totals
from retraind.daemon.storage.trends import tally
from retraind.daemon.storage.trends.store import Change, Mark, TrendStore
from retraind.daemon.trends import deployments, journal_figures, memory, worker_counts
from retraind.daemon.trends.journal_figures import LiveScore

EVERY_SECONDS = 10
"""Interval of gathering, at whole multiples of the time of day, so that a minute ends with one."""

NEW_SECONDS = 600.0
"""A home of at most this age is new, so everything that its workers have counted belongs to the figures."""

WORKERS, PREDICTIONS, JOURNAL, DEPLOYMENT = "workers", "predictions", "journal", "deployment"
"""The sources whose positions are stored."""

STATUS_GAUGES = ("rows", "rows_pending", "backlog_files", "backlog_bytes", "free_bytes")
"""Fields of the status that are measured."""

_log = logging.getLogger("retraind.trends")

Failure = (OSError, RetraindError, sqlite3.Error, ValueError, LookupError)


class Gatherer:
    """Keeps `logs/trends.db` up to date. Until it leads it has only what its own workers do, as on a serving node."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self._home, self._settings, self._alone = home, settings, True
        self.store = TrendStore(home.trends)
        self._live, self._totals = LiveScore(home), Totals(home.journal)
        self._measured_at = 0.0
        """When memory and scores were measured last, in monotonic seconds."""
        self._seq: int | None = None
        self._tally_at = 0.0
        """When predictions are counted again after a failure, in monotonic seconds."""
        self._problems: dict[str, str] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trends", daemon=True)

    def start(self) -> None:
        """Gather in a thread until `stop`."""
        self._thread.start()

    def lead(self) -> None:
        """Also read the journal and the status from now on, because it is this home's."""
        self._alone = False

    def stop(self) -> None:
        """Gather once more, end the thread and close the database."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._safely(WORKERS, self._count_workers)
        self.store.close()

    def gather(self) -> None:
        """Take what is new from every source. A failure of one is logged, and delays no other."""
        self._safely(WORKERS, self._count_workers)
        if not self._alone:
            self._safely(JOURNAL, self._read_journal)
        self._safely("status", self._measure)

    def count_predictions(self, history: sqlite3.Connection) -> None:
        """Count the predictions of the history that are new, with its own connection; failures are logged."""
        if time.monotonic() >= self._tally_at:
            self._safely(PREDICTIONS, lambda: self._tally(history))

    def _run(self) -> None:
        self._safely(DEPLOYMENT, self._mark_deployment)
        while True:
            self.gather()
            if self._ended.wait(EVERY_SECONDS - time.time() % EVERY_SECONDS + 0.05):
                return

    def _count_workers(self) -> None:
        count = worker_counts.count(self._home)
        before = self.store.position(WORKERS)
        taken = since(before, count) if before else self._first(count)
        if taken.fallen:
            if not count.position["pids"]:
                return  # the files may come back: a worker writes its own again
            _log.warning("Counters of HTTP workers are gone: %s.", ", ".join(sorted(taken.fallen)[:5]))
        running = gauge(len(count.position["pids"]), count.position["wall"])
        figures: Figures = {**taken.figures, "gauges": {"workers": running}}
        self._add([Change(taken.at, figures)], {WORKERS: count.position})

    def _first(self, count: Count) -> Since:
        """The figures before the first position: all counts in a new home, none in one that has counted for long."""
        now = count.position
        made = self._home.token.stat().st_mtime if self._home.token.exists() else 0.0
        if not 0 <= now["wall"] - made <= NEW_SECONDS:
            return Since(now["wall"], empty(), [])
        none: Position = {**now, "sums": {}, "latency": {}, "pids": []}
        return since(none, count)

    def _tally(self, history: sqlite3.Connection) -> None:
        highest = tally.highest(history)
        if highest == self._seq:
            return
        for counts in tally.new(history, self.store.position(PREDICTIONS), time.time()):
            self._add(counts.changes, {PREDICTIONS: counts.counted})
        self._seq = highest

    def _read_journal(self) -> None:
        positions = self.store.position(JOURNAL) or {}
        news = journal_figures.since(self._home.journal, positions)
        if news.positions != positions:
            self._add(news.changes, {JOURNAL: news.positions}, news.marks)

    def _mark_deployment(self) -> None:
        now = deployments.present(self._settings)
        before = self.store.position(DEPLOYMENT)
        if before is None or (before["release"], before["settings"]) != now:
            self._add([], {DEPLOYMENT: now._asdict()}, deployments.marks(before, now, utcnow()))

    def _measure(self) -> None:
        """What is measured now and then: sizes from a living daemon's status, and once a minute memory and scores."""
        at, now = clock.read().wall, time.monotonic()
        current = status.read(self._home.status)
        gauges = _sizes(current, at) if current is not None and current.alive and not self._alone else {}
        if now - self._measured_at >= spans.Span.MINUTE - EVERY_SECONDS / 2:
            self._measured_at = now
            position = self.store.position(WORKERS)
            sizes = memory.by_role(position["pids"] if position else ())
            gauges |= {f"memory.{role}": gauge(bytes_, at) for role, bytes_ in sizes.items()}
            gauges |= self._score(at)
        if gauges:
            self._add([Change(at, {**empty(), "gauges": gauges})], {})

    def _score(self, at: float) -> dict[str, Gauge]:
        if self._alone or (pointer := read_pointer(self._home.pointer)) is None:
            return {}
        score = self._live.value(pointer.version, self._totals.labels())
        return {} if score is None else {"live_score": gauge(score, at)}

    def _add(self, changes: list[Change], positions: dict[str, object], marks: list[Mark] | None = None) -> None:
        self.store.add(changes, positions, marks or [], time.time())

    def _safely(self, source: str, work: Callable[[], None]) -> None:
        try:
            work()
            self._problems.pop(source, None)
        except Failure as error:
            if self._problems.get(source) != str(error):
                _log.error("Figures over time of %s can't be stored: %s", source, error)
            self._problems[source] = str(error)
            self._seq, self._tally_at = None, time.monotonic() + EVERY_SECONDS


def _sizes(current: Status, at: float) -> dict[str, Gauge]:
    if current.state != "ready":  # at the start they are those of before
        return {}
    return {name: gauge(getattr(current, name), at) for name in STATUS_GAUGES}
