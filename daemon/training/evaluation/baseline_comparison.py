"""The comparison with the baseline: challenger, champion and baseline on all reference rows, held out or not.

These rows are older than all later drops. The reference holdout has a fifth of them. Cross-validation has answers for
the others, so five times as many rows judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.model import Matrix, Targets
from retraind.daemon.schema.costs import Costs
from retraind.daemon.schema.schema import Task
from retraind.daemon.schema.score_names import DECIDES
from retraind.daemon.schema.scores import Mark, Marks, Metric, NamedMetric
from retraind.daemon.training.data import split
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.data.split import By
from retraind.daemon.training.evaluation.reference_answers import Part, Remembered, difference, mark, of_same_reference


class Kept(NamedTuple):
    """Answers (n, classes) or (n, 1) for rows that cross-validation held back, their true values and positions (n,)."""

    answers: Matrix
    truth: Targets
    places: NDArray[np.int64]


@dataclass(frozen=True)
class Rules:
    """The terms of the comparison: the judging metric, and the answers of earlier versions."""

    metric: NamedMetric = ""
    """Empty: accuracy or R²."""
    past: Mapping[int, Remembered] = field(default_factory=dict)
    """Answers of promoted versions, oldest first; one of them is the baseline."""
    champion: int | None = None
    named: bool = True
    """Whether `train.metric` names the metric; if not, `auto` chose it."""
    costs: Costs | None = None
    """The costs by which classes are chosen and priced, for all versions, even if earlier ones were served with other
    costs or none."""

    def judged_by(self, task: Task) -> Metric:
        """The metric by its name."""
        return self.metric or DECIDES[task]


def remember(held: Matrix, data: Data, reference: NDArray[np.bool_], kept: Kept | None) -> Remembered:
    """A challenger's answers for the reference rows: for the held-out ones, from `held`, and those of cross-validation.

    `reference` (n,) is the mask of reference rows among the held-out rows.
    """
    training = Part.of(np.zeros((0, held.shape[1])), data.targets[:0])
    if kept is not None:
        chosen = np.flatnonzero(np.isin(kept.places, _first(data)))
        chosen = chosen[np.argsort(kept.places[chosen], kind="stable")]
        training = Part.of(kept.answers[chosen], kept.truth[chosen])
    return Remembered(Part.of(held[reference], data.judging[1][reference]), training)


def _first(data: Data) -> NDArray[np.int64]:
    """Positions, among the training rows, of rows of the first drop, without copies."""
    places, (_, targets) = data.first_training, data.training
    if data.by not in (By.CONTENT, By.OCCURRENCE):
        return places
    units, truth = data.training_units[places], targets[places].astype(np.float64)
    return places[split.without_copies(units, truth, np.ones(len(places), dtype=bool))]


def against(answered: Remembered, task: Task, rules: Rules) -> Marks:
    """How much worse the challenger is on the reference rows than `champion` and `mark`, if these are known."""
    metric = rules.judged_by(task)
    # Earlier versions had another reference if the world has changed or rows were forgotten.
    past = {version: recorded for version, recorded in rules.past.items() if of_same_reference(answered, recorded)}
    marks: Marks = {}
    if champion := _against(answered, rules.champion if rules.champion in past else None, metric, rules):
        marks["champion"] = champion
    if best := _against(answered, mark(past, metric, rules.costs), metric, rules):
        marks["mark"] = best
    return marks


def _against(answered: Remembered, version: int | None, metric: Metric, rules: Rules) -> Mark | None:
    """How much worse the challenger is than one version of `rules.past`; None if there is none, or no row to compare."""
    if version is None:
        return None
    gap = difference(answered, rules.past[version], metric, rules.costs)
    return None if gap is None else {**gap.facts(), "version": version, "held": len(answered.held.truth)}
