"""The drift watch: regularly compares the inputs of the served version with its training rows, outside the loop.

A check takes a fraction of a second, so it runs in its own thread. That thread reads the history and the journal by
itself and writes nothing; the loop thread, the only writer, records the result.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import orjson

from retraind.daemon.artifacts import bundle, reference_sample
from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.artifacts.reference_sample import Reference
from retraind.daemon.core import logs
from retraind.daemon.core.drift_report import DriftReport
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DriftRecord
from retraind.daemon.core.settings import Drift
from retraind.daemon.drift import report
from retraind.daemon.drift.adwin import Detector
from retraind.daemon.drift.report import RecentPredictions
from retraind.daemon.records import late_labels, predictions
from retraind.daemon.records.predictions import LoggedPrediction
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

Older = Callable[[int, int], Sequence[LoggedPrediction]]
"""The newest predictions of a version that are in files only, newest first; the second number is the most of them."""

LABELS = 100_000
"""Maximum number of late labels per check; with more of them after a restart, the next checks continue."""


class DriftWatch:
    """Checks every `drift.check_seconds` if there are new predictions or labels; used by the loop thread."""

    def __init__(self, home: Home, settings: Drift, journal: Journal, older: Older | None = None) -> None:
        """`older` gives predictions that are in the history's files."""
        self._home, self._settings, self._journal, self._older = home, settings, journal, older
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drift")
        self._running: Future[DriftReport | None] | None = None
        self._due: float | None = None
        self._watched: Watched | None = None

    def step(self, now: float, champion: tuple[int, str] | None) -> None:
        """Record a finished check, start one that is due; `champion` is version and bundle sha256 of the served model.

        `now` is monotonic seconds. A failed check is logged and retried; it affects neither loop nor health. Raises
        Unavailable when the journal can't be written.
        """
        if self._due is None:  # not at once: importing scipy would slow the start
            self._due = now + self._settings.check_seconds
        if self._running is not None and self._running.done():
            done, self._running = self._running, None
            self._record(done)
        if self._settings.check_seconds == 0 or champion is None or self._running is not None:
            return
        if now >= self._due:
            self._due = now + self._settings.check_seconds
            self._running = self._thread.submit(self._check, *champion)

    def close(self) -> None:
        """Wait for the check that runs, whose result is no longer needed."""
        self._thread.shutdown(cancel_futures=True)

    def _record(self, done: Future[DriftReport | None]) -> None:
        try:
            result = done.result()
        # A failed check must not stop the loop; the next check follows.
        except Exception as error:
            log.error("drift_not_checked", reason=str(error), exc_info=not isinstance(error, RetraindError))
            self._watched = None
            return
        if result is not None:
            self._journal.drift_checks.record(_journal_row(result))
            log.info(
                "drift_checked",
                version=result["version"],
                n=result["n"],
                drifted=result["drifted"],
                state=result["state"],
                alarm=result["alarm"],
                reason=result["reason"],
            )

    def _check(self, version: int, sha256: str) -> DriftReport | None:
        """In the thread: the report on a version, or None if there is nothing new since the last one."""
        if self._watched is None or self._watched.identity != (version, sha256):
            self._watched = Watched(self._home, version, sha256, self._settings, self._older)
        return self._watched.check()


class Watched:
    """A served version: its manifest and reference, and how many of its predictions and labels were read."""

    def __init__(self, home: Home, version: int, sha256: str, settings: Drift, older: Older | None = None) -> None:
        """Read manifest and reference; raises BundleRefused."""
        self._home, self._settings, self._older = home, settings, older
        self.identity = (version, sha256)
        self._version = version
        self._manifest = bundle.read_manifest(home.bundle(version), sha256)
        self._reference = reference_sample.read(home.bundle(version), self._manifest)
        self._detector = Detector(_usual_error(self._manifest, self._reference))
        self._label = (0, 0)
        self._seq: int | None = -1

    def check(self) -> DriftReport | None:
        """The report, or None if there are no new predictions and labels since the last one. Raises sqlite3.Error."""
        seq, labelled = predictions.newest_seq(self._home.history, self._version), self._follow_labels()
        if seq == self._seq and not labelled:
            return None
        self._seq = seq
        return report.report(
            self._version, self._manifest, self._reference, self._recent(), self._detector, self._settings
        )

    def _recent(self) -> RecentPredictions:
        newest = predictions.newest(self._home.history, self._version, self._settings.window_rows)
        values: list[tuple[Any, float]] = [(orjson.loads(row["features"]), row["prediction"]) for row in newest]
        if self._older is not None and len(values) < self._settings.window_rows:
            older = self._older(self._version, self._settings.window_rows - len(values))
            values += [(row["features"], row["prediction"]) for row in older]
        schema = self._manifest.data_schema
        rows = [encode(schema, features) for features, _ in values]
        matrix = np.array(rows, dtype=np.float64).reshape(len(rows), schema.width)
        return RecentPredictions(matrix, np.array([prediction for _, prediction in values], dtype=np.float64))

    def _follow_labels(self) -> bool:
        """Pass new labels to the detector in their order; False if there are none."""
        task = self._manifest.data_schema.task
        labels = late_labels.errors(self._home.journal, self._version, task, self._label, LABELS)
        if labels:
            self._detector.add(float(row["error"]) for row in labels)
            self._label = (labels[-1]["batch"], labels[-1]["place"])
        return bool(labels)


def _journal_row(result: DriftReport) -> DriftRecord:
    """The journal's record of a report."""
    assert result["version"] is not None
    return {
        "version": result["version"],
        "n": result["n"],
        "drifted": result["drifted"],
        "state": result["state"],
        "alarm": result["alarm"],
        "reason": result["reason"],
        "detail": orjson.dumps(result).decode(),
    }


def _usual_error(manifest: Manifest, reference: Reference | None) -> float | None:
    """The usual error of a regression: the error on held-out rows, otherwise half the spread of its answers."""
    if manifest.data_schema.task == "classification":
        return None
    held_out = (manifest.scores.get("challenger") or {}).get("rolling")
    spread = float(np.ptp(reference.answers)) / 2 if reference is not None and len(reference.answers) else 0.0
    return (held_out.get("mae") if held_out else None) or spread or None
