"""Importance: how much worse a model gets when the values of a feature are permuted (Breiman, "Random forests", 2001).

Measured on held-out rows, so it shows which features the model needs for rows that it was not trained on.
"""

from collections.abc import Callable

import numpy as np

from retraind.daemon.model import Matrix, Targets
from retraind.daemon.schema.costs import Costs
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.text_words import SLOTS
from retraind.daemon.training.metrics import pair

Answering = Callable[[Matrix], Matrix]

MOST_ROWS = 1000
"""Maximum rows: more would make the figures more precise than needed, and each feature costs a prediction of all rows.
"""

REPEATS = 3
"""Permutations of each feature; the fall is their mean."""

MOST_ASKED = 20_000
"""Rows per prediction: a call of a forest has a fixed cost, however few its rows."""


def of(
    answering: Answering, rows: Matrix, targets: Targets, schema: Schema, seed: int, costs: Costs | None = None
) -> dict[str, float]:
    """By feature the mean fall of accuracy or R² when its column is shuffled; empty with fewer than two rows (n, d).

    `answering` gives (n, classes) probabilities or (n, 1) values for rows.
    """
    if len(rows) < 2:
        return {}
    random = np.random.default_rng(seed)
    if len(rows) > MOST_ROWS:
        chosen = np.sort(random.choice(len(rows), MOST_ROWS, replace=False))
        rows, targets = rows[chosen], targets[chosen]
    whole, _ = pair(answering(rows), targets, schema.task, costs)
    width, together = len(schema.features), max(1, MOST_ASKED // (REPEATS * len(rows)))
    drops: list[float] = []
    for start in range(0, width, together):
        indices = range(start, min(width, start + together))
        shuffled = [_shuffled(rows, _places(schema, index), random) for index in indices]
        answers = answering(np.vstack(shuffled))
        scored = [pair(one, targets, schema.task, costs)[0] for one in np.split(answers, REPEATS * len(shuffled))]
        drops += np.reshape(scored, (-1, REPEATS)).mean(axis=1).tolist()
    return {name: whole - without for name, without in zip(schema.features, drops, strict=True)}


def _places(schema: Schema, index: int) -> list[int]:
    """The positions of a feature in a row; a text also has those of its words."""
    if index not in schema.texts:
        return [index]
    first = len(schema.columns) + SLOTS * schema.texts.index(index)
    return [index, *range(first, first + SLOTS)]


def _shuffled(rows: Matrix, places: list[int], random: np.random.Generator) -> Matrix:
    """REPEATS copies of the rows, stacked, with one feature shuffled in each."""
    copies = np.tile(rows, (REPEATS, 1))
    copies[:, places] = np.concatenate([random.permutation(rows[:, places]) for _ in range(REPEATS)])
    return copies
