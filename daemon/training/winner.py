"""The candidate that wins: fitted, calibrated, exported, and fitted once more on all rows."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from retraind.daemon import model
from retraind.daemon.artifacts import backends, bundle
from retraind.daemon.core import logs
from retraind.daemon.core.errors import NotServable, TrainingFailed
from retraind.daemon.core.settings import Promote
from retraind.daemon.model import Calibrated, Matrix
from retraind.daemon.schema.score_names import DECIDES
from retraind.daemon.training import refit
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.engines import choice
from retraind.daemon.training.engines.fit_ahead import FitAhead, Plan
from retraind.daemon.training.evaluation import baseline_comparison, new_reference
from retraind.daemon.training.evaluation.refit_check import Check
from retraind.daemon.training.export import export
from retraind.daemon.training.export.export import Exported
from retraind.daemon.training.progress import Progress
from retraind.daemon.training.refit import Judged, Served
from retraind.daemon.training.selection import calibration, foreign
from retraind.daemon.training.selection.comparison import Outcome
from retraind.daemon.training.selection.cross_validation import Scored
from retraind.daemon.training.selection.sample import Sample
from retraind.daemon.training.work import Work

log = logs.Logger()

AHEAD = "ahead"
"""Folder below the bundle in which another process makes files."""

AHEAD_SECONDS = 1.0
"""Seconds of a fold from which the fit on all rows is worth a process of its own."""


@dataclass(frozen=True)
class Winner:
    """The candidate that won: its comparison, its fit on all training rows, and the files of its bundle."""

    scored: Scored
    fitted: Any
    exported: Exported
    answering: Callable[[Matrix], Matrix]
    """Answers rows: the graph if it reproduces the estimator, because it is many times as fast."""
    correction: calibration.Correction | None
    fit_seconds: float

    @property
    def kept(self) -> baseline_comparison.Kept:
        """The answers of cross-validation, corrected like the served version's."""
        answers, truth, _units = self.scored.kept
        if self.correction is not None and len(truth):
            answers = model.calibrate(answers, self.correction.slope)
        return baseline_comparison.Kept(answers, truth, self.scored.places)


def choose_winner(work: Work, data: Data, outcome: Outcome, progress: Progress, sample: Sample | None = None) -> Winner:
    """The best candidate that can be fitted on all rows and served; others are left out, with the reason.

    With a `sample`, so are those that would need too much time for all rows: no budget has seen such a fit.
    """
    for scored in outcome.ranking:
        if sample is not None and (slow := _too_slow(work, scored, sample)):
            outcome.left_out[scored.name] = slow
            log.warning("candidate_left_out", candidate=scored.name, reason=slow)
            progress.announce(f"{scored.name} is left out. {slow}")
            continue
        progress.stage(f"fitting {scored.name}", progress.candidates + 2)
        started = time.perf_counter()
        try:
            fitted = data.fit(scored.estimator, data.training, whole=False)
            return _exported(work, data, scored, fitted, time.perf_counter() - started)
        except NotServable as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - estimators raise what they like
            reason = f"{type(error).__name__}: {error}"[:300]
        outcome.left_out[scored.name] = reason
        log.warning("candidate_left_out", candidate=scored.name, reason=reason)
    problems = "; ".join(f"{name}: {reason}" for name, reason in outcome.left_out.items())
    raise TrainingFailed(f"No candidate can be served. {problems[:800]}")


def _too_slow(work: Work, scored: Scored, sample: Sample) -> str:
    """Why a candidate can't be fitted on all rows in time; empty if it can."""
    settings = work.job.train
    left = work.started + settings.timeout_seconds - time.monotonic()
    fitted = len(sample.places) * (settings.folds - 1) / settings.folds
    expected, allowed = scored.seconds_for(sample.of, fitted), left * refit.SHARE
    if expected <= allowed:
        return ""
    return (
        f"On all {sample.of:,} rows its fit would take about {expected:,.0f} s, and {max(0.0, allowed):,.0f} s are half of "
        "what is left of train.timeout_seconds. Raise that, or leave the candidate out of train.candidates."
    )


def _exported(work: Work, data: Data, scored: Scored, fitted: Any, seconds: float) -> Winner:
    """The fitted candidate in its bundle, calibrated if that helps and ONNX or treelite can express it."""
    if foreign.is_foreign(scored.name):
        export.untrusted_types(fitted)  # raises if it can't be written at all, because MLflow must also write it
    correction = _correction(work, data, scored)
    if correction is not None:
        calibrated = Calibrated(fitted, correction.slope)
        exported = export.write(calibrated, data.matrix, work.schema, work.staging, work.costs)
        if exported["backend"] != "sklearn":
            return Winner(scored, calibrated, exported, _answering(work, calibrated, exported), correction, seconds)
        for name in exported["files"]:
            (work.staging / name).unlink()
    exported = export.write(fitted, data.matrix, work.schema, work.staging, work.costs)
    return Winner(scored, fitted, exported, _answering(work, fitted, exported), None, seconds)


def _correction(work: Work, data: Data, scored: Scored) -> calibration.Correction | None:
    """The calibration of a classifier, if it helps."""
    if work.schema.task != "classification" or not work.job.train.calibrate or data.in_pieces:
        return None
    return calibration.find(*scored.kept, work.job.train.seed, forward=data.since is not None)


def _answering(work: Work, fitted: Any, exported: Exported) -> Callable[[Matrix], Matrix]:
    if exported["backend"] == "onnx":
        return backends.OnnxModel((work.staging / bundle.ONNX).read_bytes(), exported["input"]).answers
    return partial(model.answers, fitted, schema=work.schema)


@contextlib.contextmanager
def fitting_ahead(work: Work, data: Data, likely: Scored) -> Iterator[FitAhead | None]:
    """Fit and export the likely winner on all rows in another process already, if several may work and it takes long enough."""
    settings = work.job.train
    # Two fits from pieces would need twice the memory, which is what they are to save.
    takes_long = likely.fit_seconds / len(likely.by_fold) >= AHEAD_SECONDS and not data.in_pieces
    ahead = None
    if settings.refit and takes_long and refit.differs(data) and choice.jobs(data.matrix, settings) > 1:
        with contextlib.suppress(OSError):
            correction = _correction(work, data, likely)
            slope = None if correction is None else correction.slope
            ahead = FitAhead(Plan(likely.estimator, slope, work.staging / AHEAD, work.costs), data)
    try:
        yield ahead
    finally:
        if ahead is not None:
            ahead.close()


def serve_winner(work: Work, data: Data, winner: Winner, progress: Progress, ahead: FitAhead | None = None) -> Served:
    """The model to serve: the winner fitted once more on all rows, unless the settings forbid it or it fails."""
    scored, slope = winner.scored, None if winner.correction is None else winner.correction.slope
    parts = slope, winner.exported, work.staging, winner.fit_seconds, foreign.is_foreign(scored.name)
    judged = Judged(scored.estimator, winner.fitted, *parts)
    if not work.job.train.refit:
        return refit.serve_judged(judged, data)
    progress.stage(f"fitting {scored.name} on all rows", progress.candidates + 2)
    started = time.monotonic()
    left = work.started + work.job.train.timeout_seconds - started
    gate = new_reference.gate(work.job.gate)
    tolerance = (Promote() if gate is None else gate.promote).tolerance
    check = Check(scored.metric or DECIDES[work.schema.task], tolerance, work.costs)
    made = refit.serve(judged, data, work.costs, left, check, ahead)
    if problem := made.facts["refit_problem"]:
        progress.note(problem, time.monotonic() - started)
    return made
