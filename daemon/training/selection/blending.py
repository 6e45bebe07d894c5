"""Chooses the models of a blend: greedy selection by their answers for rows that they were not trained on.

Caruana et al., "Ensemble selection from libraries of models", 2004. Pure functions: nothing is fitted.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.schema.schema import Task
from retraind.daemon.training import losses
from retraind.daemon.training.selection import foreign
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.leaders import Leaders
from retraind.daemon.training.selection.tuned import BLEND, Member

Matrix = NDArray[np.float64]
Truth = NDArray[Any]

BAGS, BOOSTS = frozenset({"forest", "extra_trees", "tree"}), frozenset({"boosting", "shallow_boosting"})
"""Candidates that can't be joined with three or more classes: their graphs need ONNX operators that no graph may
combine."""

PICKS = 5
"""The sum of the weights; a larger sum would let the weights follow the noise of the answers."""

MOST_ANSWERS = 2_000_000
"""Rows kept times classes: with more, the selection would cost more time and memory than the tries it is to improve."""

GAIN = 0.003
"""Minimum relative fall of the loss, because several models take longer to answer than one."""


def members(leaders: Leaders, trial: Trial) -> list[Member]:
    """The best blend of the leaders, which were cross-validated on the same folds; empty if it does not gain enough."""
    able = {name: leaders.of[name] for name in _joinable(leaders, len(trial.schema.classes))}
    if not able or leaders.best.scored.kept.answers.size > MOST_ANSWERS:
        return []
    truth = next(iter(able.values())).scored.kept.targets
    chosen = weights({name: leader.answers for name, leader in able.items()}, truth, trial.schema.task)
    return [
        Member(tuned, chosen[name], leader.slope)
        for name, leader in able.items()
        if name in chosen and (tuned := leader.tuned)
    ]


def _joinable(leaders: Leaders, classes: int) -> list[str]:
    """The candidates that one graph can hold, best first: our own, with answers for all folds and known parameters."""
    names = [
        name
        for name in leaders.names
        if name != BLEND
        and not foreign.is_foreign(name)
        and leaders.of[name].tuned
        and len(leaders.of[name].scored.kept.targets)
    ]
    trees = next((kind for name in names for kind in (BAGS, BOOSTS) if name in kind), BAGS)
    return [name for name in names if are_joinable([name, *trees], classes)]


def are_joinable(names: Iterable[str], classes: int) -> bool:
    """Whether one graph can hold these own candidates."""
    return classes < 3 or not (BAGS & set(names) and BOOSTS & set(names))


def weights(answers: Mapping[str, Matrix], truth: Truth, task: Task) -> dict[str, int]:
    """The weight of each model in the best blend; empty if the blend is not better by GAIN than the best model alone.

    `answers` are (n, classes) probabilities or (n, 1) values of each model for the same rows, `truth` (n,).
    """
    best = min(answers, key=lambda name: _loss(answers[name], truth, task), default=None)
    if best is None:
        return {}
    picks, total, single = [best], answers[best], _loss(answers[best], truth, task)
    reached = [single]
    while len(picks) < PICKS:
        mixed = {name: _loss((total + each) / (len(picks) + 1), truth, task) for name, each in answers.items()}
        picks.append(min(mixed, key=mixed.__getitem__))
        total = total + answers[picks[-1]]
        reached.append(mixed[picks[-1]])
    picks = picks[: int(np.argmin(reached)) + 1]
    if min(reached) > single * (1 - GAIN):
        return {}
    return {name: picks.count(name) for name in dict.fromkeys(picks)}


def _loss(answers: Matrix, truth: Truth, task: Task) -> float:
    """Log loss or RMSE."""
    if task == "classification":
        return float(losses.of(answers, truth, "log_loss").mean())
    return float(np.sqrt(((answers[:, 0] - truth) ** 2).mean()))
