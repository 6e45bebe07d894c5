"""The comparison: candidates are cross-validated on the rows that teach, within a budget of time, and one is best.

The held-out rows take no part in it: they are for judging the winner only.
"""

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold

from daemon import model
from daemon.core import proc
from daemon.core.errors import TrainingFailed
from daemon.core.settings import Train
from daemon.model import Matrix, Targets, answers
from daemon.schema.costs import Costs
from daemon.schema.schema import Schema, Task
from daemon.schema.score_names import DECIDES, LOWER, SETTLES, TITLES, plain
from daemon.tabular.row_hashes import Prints
from daemon.tabular.row_times import Moments
from daemon.training import losses
from daemon.training.data import split
from daemon.training.metrics import METRICS, measure, pair
from daemon.training.progress import Progress
from daemon.training.selection import calibration, candidates
from daemon.training.selection.calibration import Kept
from daemon.training.selection.candidates import Candidate

log = structlog.get_logger()

KEPT_ROWS = 20_000
"""Answers for rows that a fold held back are kept for calibration, up to so many: its few numbers need no more."""

COMMON = 0.8
"""From this share of one class on accuracy says little of the others."""

RING_SECONDS = 0.5
"""How often a candidate is told that the budget is used, until it listens."""

Split = tuple[Any, Any]


@dataclass(frozen=True)
class Scored:
    """One candidate after cross-validation: means over the folds, seconds of wall time for all its fits."""

    name: str
    estimator: Any
    task: Task
    score: float
    """Accuracy or R²."""
    loss: float
    """Log loss or RMSE."""
    fit_seconds: float
    kept: Kept = field(repr=False)
    """What it answered for rows that it was not trained on; none where the budget cut its folds."""
    metric: str = ""
    """What chooses, if it is not `score`."""
    value: float = 0.0
    """The mean of that metric."""
    places: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    """Which of the rows that teach the kept answers belong to."""
    by_fold: tuple[float, ...] = ()
    """What chooses, for each fold: the smaller the better."""

    def figures(self) -> dict[str, Any]:
        """The entry of this candidate among the scores of a manifest, under the names of its task."""
        cv = {f"cv_{DECIDES[self.task]}": self.score, f"cv_{SETTLES[self.task]}": self.loss}
        chosen = {f"cv_{self.metric}": self.value} if self.metric else {}
        return {"name": self.name, **cv, **chosen, "fit_seconds": self.fit_seconds}

    @property
    def sentence(self) -> str:
        """What the journal says of it."""
        decides, settles = DECIDES[self.task], SETTLES[self.task]
        chosen = f", {TITLES.get(self.metric, self.metric)} {plain(self.value)}" if self.metric else ""
        figures = f"{TITLES[decides]} {self.score:.4f}, {TITLES[settles]} {plain(self.loss)}{chosen}"
        return f"{self.name}: {figures} in {self.fit_seconds:.1f} s."

    @property
    def rank(self) -> tuple[float, float]:
        """By what candidates are sorted: the smaller the better; equal are those that differ by less than 1e-9."""
        if not self.metric:
            return -round(self.score, 9), self.loss
        return round(self.value if self.metric in LOWER else -self.value, 9), self.loss


@dataclass
class Budget:
    """Seconds of wall time for all candidates together; 0 is no limit."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left, infinite without a limit."""
        return self.started + self.seconds - time.monotonic() if self.seconds else math.inf


class Overtaken(Exception):
    """Raised after a fold when a candidate is behind another one on the same folds."""


class BudgetUsed(BaseException):
    """Raised in the middle of a fit when the budget is used; no Exception, so that no estimator swallows it."""


@dataclass(frozen=True)
class Outcome:
    """The candidates that finished, in the order of the settings, and why others did not, by name."""

    scored: list[Scored]
    left_out: dict[str, str]
    tuned: dict[str, Any] | None = None
    """What the last of them was tuned to, as `daemon.training.selection.tuning` records it; None if nothing was found, or looked for."""
    settles: Callable[[Scored], float] | None = None
    """What chooses among those that can't be told from the best, the smaller the better; None: nothing but their rank."""

    @property
    def ranking(self) -> list[Scored]:
        """Best first; among equals the order of the settings."""
        best, *others = ranked = sorted(self.scored, key=lambda one: one.rank)
        if self.settles is None:
            return ranked
        alike = [best, *(one for one in others if losses.within_error(one.by_fold, best.by_fold))]
        tied = {id(one) for one in alike}
        return [*sorted(alike, key=self.settles), *(one for one in others if id(one) not in tied)]


def compare(
    found: Sequence[Candidate],
    schema: Schema,
    taught: tuple[Matrix, Targets],
    settings: Train,
    progress: Progress,
    units: Prints | None = None,
    times: Moments | None = None,
) -> Outcome:
    """Cross-validate the candidates, cheap ones first; one that can't learn from these rows is left out.

    Rows of one unit, `units` (n,), are in one fold; None: each row is its own. With `times` (n,) folds go forward in time.

    When the budget is used, what has not finished is left out as well, but at least one is always finished. Raises
    TrainingFailed if none could be fitted.
    """
    trial = Trial(schema, *taught, settings, progress, Budget(settings.budget_seconds), units, times)
    scored: dict[str, Scored] = {}
    left_out: dict[str, str] = {}
    for candidate in candidates.by_cost(found):
        proc.give_memory_back()
        try:
            with alarm(trial.budget.left if scored else math.inf):
                scored[candidate.name] = trial.of(candidate, whole=bool(scored))
            progress.note(scored[candidate.name].sentence, scored[candidate.name].fit_seconds)
        except BudgetUsed:
            if candidate.name not in scored:  # it may have rung after the last fold
                left_out[candidate.name] = f"train.budget_seconds = {settings.budget_seconds:g} was used up."
        except Exception as error:  # noqa: BLE001 - estimators raise what they like, for example at a column without a value
            left_out[candidate.name] = f"{type(error).__name__}: {error}"[:300]
        if candidate.name in left_out:
            log.warning("candidate_left_out", candidate=candidate.name, reason=left_out[candidate.name])
    if not scored:
        problems = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise TrainingFailed(f"No candidate could be fitted. {problems[:800]}")
    finished = [scored[candidate.name] for candidate in found if candidate.name in scored]
    return Outcome(finished, left_out, settles=_settles(settings, finished, forward=times is not None))


def _settles(settings: Train, finished: Sequence[Scored], *, forward: bool) -> Callable[[Scored], float] | None:
    """With `auto`, among those that accuracy can't tell apart, the log loss: it sees how sure each answer was, too."""
    if settings.metric != "auto" or finished[0].metric or finished[0].task == "regression":
        return None
    return partial(served_loss, settings=settings, forward=forward)


def served_loss(scored: Scored, settings: Train, *, forward: bool) -> float:
    """The cross-validated log loss of a classifier, with the correction of its probabilities that it would be served with."""
    correction = calibration.find(*scored.kept, settings.seed, forward=forward) if settings.calibrate else None
    return scored.loss if correction is None else scored.loss * correction.after / correction.before


def metric_of(task: Task, settings: Train, targets: Targets | None = None) -> str:
    """The metric that chooses and judges, empty where it is accuracy or R²; raises TrainingFailed for one of another task.

    `auto` is what answers cost where `train.costs` say it, and balanced accuracy where one class makes up so much of `targets`
    that accuracy would not see the others.
    """
    if settings.metric == "auto" and settings.costs:
        return "cost"
    if settings.metric == "auto" and task == "classification" and targets is not None and len(targets):
        return "balanced_accuracy" if np.bincount(targets).max() >= COMMON * len(targets) else ""
    if settings.metric in ("auto", DECIDES[task]):
        return ""
    if settings.metric not in METRICS[task]:
        raise TrainingFailed(
            f"train.metric = {settings.metric!r} can't measure {task}.", hint=f"Use one of {', '.join(METRICS[task])}."
        )
    return settings.metric


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise BudgetUsed within the block after so many seconds: also in the middle of a fit, between two of its steps."""
    if seconds == math.inf:
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise BudgetUsed

    before = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            # Again and again: an exception that is raised in a callback from C or in a destructor reaches nobody.
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6), RING_SECONDS)
            yield
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
    finally:  # also if it has rung on the way out
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Trial:
    """What all candidates are tried on, and how."""

    schema: Schema
    rows: Matrix
    targets: Targets
    settings: Train
    progress: Progress | None = None
    budget: Budget = field(default_factory=lambda: Budget(0))
    units: Prints | None = None
    times: Moments | None = None

    def of(self, candidate: Candidate, *, whole: bool, against: Scored | None = None) -> Scored:
        """Mean figures over shuffled folds, stratified for classes, or forward in time; unless `whole`, those that the budget has time for.

        Raises Overtaken as soon as it is behind `against` on the same folds.
        """
        started, metric = time.perf_counter(), metric_of(self.schema.task, self.settings, self.targets)
        count, splits = self._folds()
        costs = Costs.of(self.settings.costs, self.schema.classes)
        losses: list[tuple[float, ...]] = []
        kept: list[Kept] = []
        places: list[NDArray[np.int64]] = []
        by_fold: list[float] = []
        for number, (train, test) in enumerate(splits, 1):
            if losses and not whole and self.budget.left <= 0:
                break
            if self.progress:
                self.progress.fold(candidate.name, number, count)
            answers, truth = self._answers(candidate, train, test), self.targets[test]
            value = measure(metric, answers, truth, self.schema.task, costs) if metric else 0.0
            losses.append((*pair(answers, truth, self.schema.task, costs), value))
            by_fold.append((value if metric in LOWER else -value) if metric else -losses[-1][0])
            if against is not None and number <= len(against.by_fold) and sum(by_fold) > sum(against.by_fold[:number]):
                raise Overtaken(f"It is behind {against.name} after {number} folds.")
            units = test if self.units is None else self.units[test]
            most = KEPT_ROWS // count
            kept.append(Kept(answers[:most], truth[:most], units[:most]))
            places.append(np.asarray(test)[:most])
        score, loss, value = (float(np.mean(column)) for column in zip(*losses, strict=True))
        if not np.isfinite([score, loss, value]).all():
            raise ValueError("Its answers are no numbers that can be scored, or too large to be squared.")
        answered = _together(kept, whole=len(losses) == count)
        whose = np.concatenate(places)[: len(answered.targets)]
        figures = score, loss, time.perf_counter() - started, answered, metric, value, whose, tuple(by_fold)
        return Scored(candidate.name, candidate.estimator, self.schema.task, *figures)

    def _answers(self, candidate: Candidate, train: Any, test: Any) -> Matrix:
        fitted = model.fit(candidate.estimator, self.rows, self.targets, train)
        return answers(fitted, self.rows[test], self.schema)

    def _folds(self) -> tuple[int, Iterator[Split]]:
        """How many folds: fewer (at least 2) where a class is rarer, or where one would hold a single row; their indices."""
        folds, seed = self.settings.folds, self.settings.seed
        if self.times is not None:
            codes = self.targets if self.schema.task == "classification" else None
            if ahead := split.forward(self.times, self.units, folds, codes):  # else all rows that train are of one time
                return len(ahead), iter(ahead)
        first = which = np.arange(len(self.rows))
        if self.units is not None:
            first, which = split.numbered(self.units)
        if self.schema.task == "regression":
            count = max(2, min(folds, len(first) // 2))
            return count, split.by_unit(KFold(count, shuffle=True, random_state=seed).split(first), which)
        classes = self.targets[first]
        count = max(2, min(folds, int(np.bincount(classes)[np.unique(classes)].min())))
        stratified = StratifiedKFold(count, shuffle=True, random_state=seed)
        return count, split.by_unit(stratified.split(np.empty((len(first), 0)), classes), which)


def _together(kept: list[Kept], *, whole: bool) -> Kept:
    """What all folds have answered; nothing unless `whole`: how many a budget leaves is the clock's affair, and a model is not."""
    every = Kept(*(np.concatenate(parts) for parts in zip(*kept, strict=True)))
    return every if whole else Kept(*(part[:0] for part in every))
