"""Totals: the sum of the counters of all workers, and the figures derived from it."""

from collections.abc import Sequence
from typing import TypedDict

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import VersionState
from retraind.daemon.core.status import Status
from retraind.daemon.core.trends import latency
from retraind.daemon.core.trends.latency import BOUNDS, CHECKS
from retraind.web.metrics import counters
from retraind.web.metrics.counters import Snapshot


class Summary(TypedDict, total=False):
    """The figures of `GET /metrics`: of all workers since the home was created; times in milliseconds unless the name says seconds.

    The page is also made without them, when the records can't be read.
    """

    request_count: int
    prediction_count: int
    average_latency_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    errors: dict[str, int]
    predictions_by_version: dict[str, int]
    predictions_lost: int
    load_failures: int
    shadow_dropped: int
    auth_failures: int
    before_first_model: int
    """Requests among the `errors` that got 503 because no version was promoted yet."""
    rows: int
    rows_pending: int
    retrainings: dict[str, int]
    versions: dict[str, int]
    drops: dict[str, int]
    refusals: int
    rows_accepted: int
    rows_refused: int
    uptime_seconds: float
    workers: int
    served_versions: list[int]


class Totals:
    """The sum over all workers: counters of past and running ones, state of the running ones."""

    def __init__(self, snapshots: Sequence[Snapshot], live: Sequence[Snapshot]) -> None:
        self.live = live
        self.requests: dict[tuple[str, str], int] = {}
        self.predictions: dict[str, int] = {}
        self.buckets = [0] * (len(BOUNDS) + 1)
        for snapshot in snapshots:
            self._add(snapshot)
        self.seconds = sum(snapshot.seconds for snapshot in snapshots)
        self.lost = sum(snapshot.lost for snapshot in snapshots)
        self.load_failures = sum(snapshot.load_failures for snapshot in snapshots)
        self.shadow_dropped = sum(snapshot.shadow_dropped for snapshot in snapshots)
        self.before_first_model = sum(snapshot.before_first_model for snapshot in snapshots)
        self.auth_failures = sum(snapshot.auth_failures for snapshot in snapshots)

    def _add(self, snapshot: Snapshot) -> None:
        for route, codes in snapshot.requests.items():
            for code, number in codes.items():
                self.requests[route, code] = self.requests.get((route, code), 0) + number
        for version, number in snapshot.predictions.items():
            self.predictions[version] = self.predictions.get(version, 0) + number
        if len(snapshot.buckets) == len(self.buckets):
            self.buckets = [a + b for a, b in zip(self.buckets, snapshot.buckets, strict=True)]

    @property
    def errors(self) -> dict[str, int]:
        """Requests by status code from 400 up, without health checks that answer 503, since that is their result."""
        errors: dict[str, int] = {}
        for (route, code), number in self.requests.items():
            if int(code) >= 400 and route not in CHECKS:
                errors[code] = errors.get(code, 0) + number
        return errors

    def quantile(self, share: float) -> float | None:
        """The duration (seconds) that `share` (0-1) of the prediction requests did not exceed; None without any."""
        return latency.quantile(self.buckets, share)


def collect(home: Home, own: Snapshot | None = None) -> Totals:
    """Read all snapshots; `own` replaces the file of its worker."""
    snapshots = counters.published(home, home.worker_counters(own.slot, own.pid) if own else None)
    mine = [own] if own else []
    return Totals(
        [snapshot for snapshot, _ in snapshots] + mine, [snapshot for snapshot, lives in snapshots if lives] + mine
    )


def summary(totals: Totals, counts: dict[str, dict[str, int]], status: Status | None, uptime: float) -> Summary:
    """The figures of `GET /metrics`: times in milliseconds, `uptime` in seconds; `counts` is `records.totals.counts()`."""
    timed = sum(totals.buckets)
    return {
        "request_count": sum(totals.requests.values()),
        "prediction_count": sum(totals.predictions.values()),
        "average_latency_ms": _milliseconds(totals.seconds / timed) if timed else None,
        "p50_ms": _milliseconds(totals.quantile(0.50)),
        "p95_ms": _milliseconds(totals.quantile(0.95)),
        "p99_ms": _milliseconds(totals.quantile(0.99)),
        "errors": totals.errors,
        "predictions_by_version": totals.predictions,
        "predictions_lost": totals.lost,
        "load_failures": totals.load_failures,
        "shadow_dropped": totals.shadow_dropped,
        "auth_failures": totals.auth_failures,
        "before_first_model": totals.before_first_model,
        "rows": status.rows if status else 0,
        "rows_pending": status.rows_pending if status else 0,
        "retrainings": counts["runs"],
        "versions": counts["versions"],
        "drops": counts["drops"],
        "refusals": counts["versions"][VersionState.REFUSED],
        "rows_accepted": counts["rows"]["accepted"],
        "rows_refused": counts["rows"]["refused"] + counts["rows"]["rejected"],
        "uptime_seconds": round(uptime, 3),
        "workers": len(totals.live),
        "served_versions": sorted({item.version for item in totals.live if item.version is not None}),
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
