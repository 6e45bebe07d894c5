"""Importance: how much a model loses when a feature tells it nothing, by permutation (Breiman, "Random forests", 2001).

Level 3. Measured on held-out rows, so it says what the model needs for rows that it has not learnt.
"""

from typing import Any

import numpy as np

from daemon.model import Matrix, Targets, answers
from daemon.schema import Schema
from daemon.scores import pair

MOST_ROWS = 1000
"""More rows make the figures steadier than anybody needs, and every feature costs a prediction of all of them."""

REPEATS = 3
"""Permutations of each feature; the fall is their mean."""


def of(fitted: Any, rows: Matrix, targets: Targets, schema: Schema, seed: int) -> dict[str, float]:
    """By feature the mean fall of accuracy or R² when its column is shuffled; empty with fewer than two rows (n, d)."""
    if len(rows) < 2:
        return {}
    random = np.random.default_rng(seed)
    if len(rows) > MOST_ROWS:
        chosen = np.sort(random.choice(len(rows), MOST_ROWS, replace=False))
        rows, targets = rows[chosen], targets[chosen]
    whole, _ = pair(answers(fitted, rows, schema), targets, schema.task)
    return {
        name: whole - _without(fitted, rows, targets, schema, index, random)
        for index, name in enumerate(schema.features)
    }


def _without(fitted: Any, rows: Matrix, targets: Targets, schema: Schema, index: int, random: Any) -> float:
    """The mean figure with one column shuffled; one prediction for all repeats, because a forest's call has its price."""
    shuffled = np.tile(rows, (REPEATS, 1))
    shuffled[:, index] = np.concatenate([random.permutation(rows[:, index]) for _ in range(REPEATS)])
    found = np.split(answers(fitted, shuffled, schema), REPEATS)
    return float(np.mean([pair(one, targets, schema.task)[0] for one in found]))
