"""Counters of one worker, and their snapshot on disk.

About once a second the counters go to `registry/workers/<slot>-<pid>.json`. The worker that answers a request for metrics writes its
own and reads all snapshots. A new worker continues the counters of one that has ended, so totals never decrease while they can be written.
"""

import contextlib
import fcntl
import os
import threading
import time
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.status import boot_id, is_fresh, utcnow
from retraind.daemon.core.trends.latency import BOUNDS

if TYPE_CHECKING:  # commands read snapshots, and must not wait for the imports of what predicts
    from retraind.web.serving.prediction_log import PredictionLog
    from retraind.web.serving.predictor import Slot

STALE_SECONDS = 5.0
"""Maximum age (seconds) of the snapshot of a working worker; an older one has ended or hangs."""

VERSIONS_KEPT = 100
"""Maximum number of versions with separate counters; the oldest are dropped, so the table stays bounded."""


class Snapshot(BaseModel):
    """The counters of one worker at one moment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    slot: int
    pid: int
    heartbeat: float
    """CLOCK_MONOTONIC in seconds, as in `retraind.daemon.core.status`."""
    boot: str = Field(default_factory=boot_id)
    at: str
    started_at: str
    ready: bool
    version: int | None
    """The served version."""
    problem: str | None
    """Why the promoted version is not served, or predictions are not logged."""
    model_problem: str | None = None
    """Why the promoted version is not served, or the held one not tested. The daemon records it in the journal."""
    requests: dict[str, dict[str, int]]
    """Requests by route template and status code."""
    predicting: dict[str, int] = Field(default_factory=dict)
    """Those of them that ask for predictions, by status code."""
    predictions: dict[str, int]
    """Answered predictions by version."""
    buckets: list[int]
    """Prediction requests by duration: one count per bound and one for slower ones, not cumulative."""
    seconds: float
    """Sum of those durations."""
    lost: int
    """Predictions that were answered but not logged."""
    load_failures: int
    shadow_dropped: int = 0
    """Answers that were not compared with the held challenger; see `retraind.web.serving.shadow`."""
    before_first_model: int = 0
    """Requests that got 503 because no version was promoted yet."""
    auth_failures: int = 0
    """Wrong tokens; see `retraind.web.auth.failed_tokens`."""


class Counters:
    """The counters of one worker; safe to use from any thread."""

    def __init__(self, home: Home, number: int) -> None:
        self.number = number
        self._lock = threading.Lock()
        self.started = time.monotonic()
        self._started_at = utcnow()
        self._path = home.worker_counters(number, os.getpid())
        before = _adopt(home, number, self._path)
        self.requests: dict[str, dict[str, int]] = before.requests if before else {}
        self.predicting: dict[str, int] = before.predicting if before else {}
        self.predictions: dict[str, int] = before.predictions if before else {}
        self.before_first_model = before.before_first_model if before else 0
        resumed = before is not None and len(before.buckets) == len(BOUNDS) + 1
        self.buckets: list[int] = before.buckets if before and resumed else [0] * (len(BOUNDS) + 1)
        self.seconds = before.seconds if before and resumed else 0.0
        self._lost_before = before.lost if before else 0
        self._failures_before = before.load_failures if before else 0
        self._dropped_before = before.shadow_dropped if before else 0
        self._wrong_before = before.auth_failures if before else 0

    def count(self, route: str, code: int, seconds: float, *, predicts: bool = False) -> None:
        """Count an answered request; `predicts` adds its duration. `route` is one of the path templates."""
        key = str(code)
        with self._lock:
            codes = self.requests.setdefault(route, {})
            codes[key] = codes.get(key, 0) + 1
            if predicts:
                self.predicting[key] = self.predicting.get(key, 0) + 1
                self.buckets[bisect_left(BOUNDS, seconds)] += 1
                self.seconds += seconds

    def count_before_first_model(self) -> None:
        """Count a request that gets 503 because no version was promoted yet."""
        with self._lock:
            self.before_first_model += 1

    def predicted(self, version: int, count: int) -> None:
        """Count predictions answered by `version`."""
        key = str(version)
        with self._lock:
            self.predictions[key] = self.predictions.get(key, 0) + count
            if len(self.predictions) > VERSIONS_KEPT:
                del self.predictions[min(self.predictions, key=int)]

    def snapshot(
        self,
        slot: "Slot",
        log: "PredictionLog",
        shadow_dropped: int = 0,
        auth_failures: int = 0,
        *,
        ready: bool,
        model_problem: str | None = None,
    ) -> Snapshot:
        """The counters now."""
        return Snapshot(
            slot=self.number,
            pid=os.getpid(),
            heartbeat=time.monotonic(),
            at=utcnow(),
            started_at=self._started_at,
            ready=ready,
            version=slot.version,
            problem=slot.problem or log.problem,
            model_problem=model_problem,
            # `copy` is atomic. Building a list of items is not: its tuples can trigger a garbage collection, which can switch to a
            # thread that adds a route.
            requests={route: codes.copy() for route, codes in self.requests.copy().items()},
            predicting=self.predicting.copy(),
            predictions=self.predictions.copy(),
            buckets=list(self.buckets),
            seconds=self.seconds,
            lost=self._lost_before + log.lost,
            load_failures=self._failures_before + slot.failures,
            shadow_dropped=self._dropped_before + shadow_dropped,
            before_first_model=self.before_first_model,
            auth_failures=self._wrong_before + auth_failures,
        )

    def publish(self, snapshot: Snapshot) -> None:
        """Write the snapshot for the other processes; raises OSError when the disk is full."""
        durable.publish(self._path, orjson.dumps(snapshot.model_dump()))


def published(home: Home, but: Path | None = None) -> list[tuple[Snapshot, bool]]:
    """The snapshots of all workers, past ones too, and whether each is running; without the file `but`."""
    while True:
        paths = [path for path in sorted(home.workers.glob("*.json")) if path != but]
        with contextlib.suppress(FileNotFoundError):  # a new worker has just renamed it to take it over
            return [(snapshot, _lives(path, snapshot)) for path in paths if (snapshot := _read(path))]


def _adopt(home: Home, number: int, path: Path) -> Snapshot | None:
    """Take over the last counters of an ended worker of this slot by a rename, so they are counted exactly once."""
    for old in sorted(home.workers.glob(home.worker_counters(number, "*").name)):
        if old == path or not _held(old.with_suffix(".lock")):
            old.replace(path)
            return _read(path)
    return None


def _lives(path: Path, snapshot: Snapshot) -> bool:
    return is_fresh(snapshot.boot, snapshot.heartbeat, STALE_SECONDS) and _held(path.with_suffix(".lock"))


def _held(lock: Path) -> bool:
    # Never creates the file, and takes a shared lock: a check must not look like a worker.
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _read(path: Path) -> Snapshot | None:
    try:
        return Snapshot.model_validate_json(path.read_bytes())
    except ValidationError:
        return None
