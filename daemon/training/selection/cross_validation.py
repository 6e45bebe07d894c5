"""Cross-validation of one candidate: fits and scores it fold by fold, only on the training rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from retraind.daemon import model
from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.settings import Train
from retraind.daemon.model import Matrix, Targets, answers
from retraind.daemon.schema.costs import Costs
from retraind.daemon.schema.hash_mixing import Prints
from retraind.daemon.schema.schema import Schema, Task
from retraind.daemon.schema.score_names import DECIDES, LOWER, SETTLES, TITLES, plain
from retraind.daemon.schema.scores import CROSS_VALIDATED, CandidateScore, NamedMetric
from retraind.daemon.tabular.row_times import Moments
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.metrics import METRICS, measure, pair
from retraind.daemon.training.progress import Progress
from retraind.daemon.training.selection import folds
from retraind.daemon.training.selection.calibration import Kept
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.folds import Folds
from retraind.daemon.training.selection.sample import Sample, draw

KEPT_ROWS = 20_000
"""Maximum number of kept answers for held-back rows, because calibration has few parameters."""

COMMON = 0.8
"""Share of one class from which on accuracy says little about the others."""


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
    """Its answers for rows that it was not trained on; none if the budget cut its folds."""
    metric: NamedMetric = ""
    """The choosing metric, if it is not `score`."""
    value: float = 0.0
    """The mean of that metric."""
    places: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    """The training rows that the kept answers belong to."""
    by_fold: tuple[float, ...] = ()
    """The choosing figure of each fold; smaller is better."""
    loss_by_fold: tuple[float, ...] = ()
    """Log loss or RMSE of each fold."""

    def figures(self) -> CandidateScore:
        """This candidate's entry in a manifest's scores, with the names of its task."""
        figures: CandidateScore = {"name": self.name, "fit_seconds": self.fit_seconds}
        figures[CROSS_VALIDATED[DECIDES[self.task]]] = self.score
        figures[CROSS_VALIDATED[SETTLES[self.task]]] = self.loss
        if self.metric:
            figures[CROSS_VALIDATED[self.metric]] = self.value
        return figures

    @property
    def sentence(self) -> str:
        """A sentence on it for the journal."""
        decides, settles = DECIDES[self.task], SETTLES[self.task]
        chosen = f", {TITLES.get(self.metric, self.metric)} {plain(self.value)}" if self.metric else ""
        figures = f"{TITLES[decides]} {self.score:.4f}, {TITLES[settles]} {plain(self.loss)}{chosen}"
        return f"{self.name}: {figures} in {self.fit_seconds:.1f} s."

    def seconds_for(self, rows: int, fitted: float) -> float:
        """Estimated seconds of a fit on so many rows, if its time grows with the rows; each fold was `fitted` on so many."""
        return self.fit_seconds / len(self.by_fold) * rows / fitted

    @property
    def rank(self) -> tuple[float, float]:
        """The sort key of candidates; smaller is better, and differences below 1e-9 count as equal."""
        if not self.metric:
            return -round(self.score, 9), self.loss
        return round(self.value if self.metric in LOWER else -self.value, 9), self.loss


class Fold(NamedTuple):
    """One fold of one candidate."""

    figures: tuple[float, float, float]
    """Accuracy or R², log loss or RMSE, and the metric that chooses, or 0."""
    order: float
    """The choosing figure; smaller is better."""
    kept: Kept
    places: NDArray[np.int64]


def metric_of(task: Task, settings: Train, targets: Targets | None = None) -> NamedMetric:
    """The metric that chooses and judges, empty for accuracy or R²; raises TrainingFailed for a metric of another task.

    `auto` is the cost if `train.costs` is set, and balanced accuracy if one class makes up so much of `targets` that
    accuracy would ignore the others.
    """
    if settings.metric == "auto" and settings.costs:
        return "cost"
    if settings.metric == "auto" and task == "classification" and targets is not None and len(targets):
        return "balanced_accuracy" if np.bincount(targets).max() >= COMMON * len(targets) else ""
    if settings.metric in ("auto", DECIDES[task]):
        return ""
    for metric in METRICS[task]:
        if metric == settings.metric:
            return metric
    raise TrainingFailed(
        f"train.metric = {settings.metric!r} can't measure {task}.", hint=f"Use one of {', '.join(METRICS[task])}."
    )


@dataclass(frozen=True)
class Trial:
    """The rows and settings on which all candidates are tried."""

    schema: Schema
    rows: Matrix
    targets: Targets
    settings: Train
    progress: Progress = field(default_factory=Progress.silent)
    units: Prints | None = None
    times: Moments | None = None
    sample: Sample | None = None
    """The part of the training rows that these are; None: all of them."""

    @classmethod
    def of_data(cls, data: Data, settings: Train, progress: Progress | None = None) -> Self:
        """The trial on the training rows, or on a sample of `train.compare_rows` of them."""
        (rows, targets), units, times = data.training, data.training_units, data.training_times
        classes = targets if data.schema.task == "classification" else None
        sample = draw(units, classes, settings.compare_rows, settings.seed)
        if sample is not None:
            rows, targets, units = rows[sample.places], targets[sample.places], units[sample.places]
            times = None if times is None else times[sample.places]
        said = Progress.silent() if progress is None else progress
        return cls(data.schema, rows, targets, settings, said, units, times, sample)

    @property
    def training_rows(self) -> int:
        """Number of training rows, on which the winner is fitted."""
        return len(self.targets) if self.sample is None else self.sample.of

    @cached_property
    def folds(self) -> Folds:
        """The folds that every candidate is tried on."""
        return folds.make(self.schema.task, self.targets, self.settings, self.units, self.times)

    @cached_property
    def metric(self) -> NamedMetric:
        """The metric that chooses, empty for accuracy or R²; raises TrainingFailed for a metric of another task."""
        return metric_of(self.schema.task, self.settings, self.targets)

    def of(self, candidate: Candidate) -> Scored:
        """The candidate, tried on all folds one after the other in this process."""
        started = time.perf_counter()
        results = [self.fold(candidate, number) for number in range(self.folds.count)]
        return self.scored(candidate, results, time.perf_counter() - started)

    def scored(self, candidate: Candidate, results: Sequence[Fold], seconds: float) -> Scored:
        """The means of these folds, which took so many seconds; raises ValueError if they are not finite."""
        score, loss, value = (
            float(np.mean(column)) for column in zip(*(fold.figures for fold in results), strict=True)
        )
        if not np.isfinite([score, loss, value]).all():
            raise ValueError("Its answers are not finite numbers, or too large to be squared.")
        kept = _kept_answers([fold.kept for fold in results], whole=len(results) == self.folds.count)
        places = np.concatenate([fold.places for fold in results])[: len(kept.targets)]
        if self.sample is not None:
            places = self.sample.places[places]
        figures = score, loss, seconds, kept, self.metric, value, places
        by_fold = tuple(fold.order for fold in results), tuple(fold.figures[1] for fold in results)
        return Scored(candidate.name, candidate.estimator, self.schema.task, *figures, *by_fold)

    def fold(self, candidate: Candidate, number: int) -> Fold:
        """Fit on the training rows of a fold (from 0), and score on its other rows."""
        train, test = self.folds.rows(number)
        most = KEPT_ROWS // self.folds.count
        answers, truth = self._answers(candidate, train, test), self.targets[test]
        costs = Costs.of(self.settings.costs, self.schema.classes)
        value = measure(self.metric, answers, truth, self.schema.task, costs) if self.metric else 0.0
        score, loss = pair(answers, truth, self.schema.task, costs)
        order = (value if self.metric in LOWER else -value) if self.metric else -score
        units = test if self.units is None else self.units[test]
        # Copies, because a view would keep the answers for all rows in memory until the candidate's last fold has ended.
        kept = Kept(answers[:most].copy(), truth[:most].copy(), units[:most].copy())
        return Fold((score, loss, value), order, kept, test[:most].copy())

    def _answers(self, candidate: Candidate, train: Any, test: Any) -> Matrix:
        fitted = model.fit(candidate.estimator, self.rows, self.targets, train)
        return answers(fitted, self.rows[test], self.schema)


def settled_by_loss(scored: Scored, settings: Train) -> bool:
    """Whether the log loss decides if accuracy can't: only with `auto`, since a metric that is named decides alone."""
    return settings.metric == "auto" and scored.task == "classification" and not scored.metric


def is_behind(results: Sequence[Fold], leader: Scored, *, by_loss: bool) -> bool:
    """Whether a candidate is worse than another on the folds that both have finished, the first ones."""
    count, reached = len(results), [fold.figures[1] if by_loss else fold.order for fold in results]
    ahead = leader.loss_by_fold if by_loss else leader.by_fold
    return count <= len(ahead) and sum(reached) > sum(ahead[:count])


def _kept_answers(kept: list[Kept], *, whole: bool) -> Kept:
    """The answers of all folds if `whole`, otherwise no answers.

    The number of folds within a budget depends on the clock, and a model must not depend on it.
    """
    every = Kept(*(np.concatenate(parts) for parts in zip(*kept, strict=True)))
    return every if whole else Kept(*(part[:0] for part in every))
