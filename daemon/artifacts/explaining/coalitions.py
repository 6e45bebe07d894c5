"""Shapley values by answers to coalitions: how far each feature of a row moved its answer from the mean answer to training rows.

The game is the interventional one of Janzing et al. (2020): features that are not in a coalition have the values of a background
row, whatever the others are. So it needs nothing of a model but its answers, and means the same for each backend.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

EXACT_FEATURES = 12
"""With at most so many features, all coalitions are answered."""

BACKGROUND_ROWS = 100
"""Maximum number of background rows, evenly taken from the sample of training rows."""

MOST_ROWS = 200_000
"""Maximum number of rows that the model answers for one explanation."""

PAIRS = 250
"""Maximum number of pairs of orders, each with its reverse, of a sampled explanation."""


@dataclass(frozen=True)
class Explanation:
    """Values of each feature for each answer (a class's probability, or the value); they add up to `answer` minus `base`."""

    values: Matrix
    """(features, answers)."""
    errors: Matrix | None
    """Standard errors of the values; None if they are exact."""
    base: NDArray[np.float64]
    """The mean answer (answers,) to the background rows."""
    answer: NDArray[np.float64]
    method: Literal["exact", "sampled"]


def explain(
    answers: Callable[[Matrix], Matrix], row: NDArray[np.float64], sample: Matrix, groups: Sequence[Sequence[int]]
) -> Explanation:
    """Explain the answer to one row (width,), against a sample of training rows (n, width).

    `groups` has the places of each feature in the row: a text has several.
    """
    owner = np.empty(len(row), np.int64)
    for feature, places in enumerate(groups):
        owner[list(places)] = feature
    count = len(groups)
    most = BACKGROUND_ROWS if count > EXACT_FEATURES else min(BACKGROUND_ROWS, MOST_ROWS >> count)
    background = evenly(sample, most)
    base, answer = answers(background).mean(axis=0), answers(row[np.newaxis])[0]
    if count <= EXACT_FEATURES:
        return Explanation(_exact(answers, row, background, owner, count), None, base, answer, "exact")
    values, errors = _sampled(answers, row, background, owner, count)
    return Explanation(values, errors, base, answer, "sampled")


def evenly(sample: Matrix, most: int) -> Matrix:
    """At most so many rows of a sample (n, width), evenly taken."""
    rows: Matrix = sample[np.linspace(0, len(sample) - 1, min(len(sample), most)).astype(np.int64)]
    return rows


def _exact(
    answers: Callable[[Matrix], Matrix],
    row: NDArray[np.float64],
    background: Matrix,
    owner: NDArray[np.int64],
    count: int,
) -> Matrix:
    """All coalitions: each feature's mean contribution over all orders in which features can join."""
    coalitions = (np.arange(1 << count)[:, np.newaxis] >> np.arange(count) & 1).astype(bool)
    worth = np.array([answers(np.where(joined[owner], row, background)).mean(axis=0) for joined in coalitions])
    sizes = coalitions.sum(axis=1)
    weights = np.array([1.0 / (count * math.comb(count - 1, size)) for size in range(count)])
    values = []
    for feature in range(count):
        without = np.flatnonzero(~coalitions[:, feature])
        gains = worth[without | (1 << feature)] - worth[without]
        values.append(weights[sizes[without]] @ gains)
    return np.array(values)


def _sampled(
    answers: Callable[[Matrix], Matrix],
    row: NDArray[np.float64],
    background: Matrix,
    owner: NDArray[np.int64],
    count: int,
) -> tuple[Matrix, Matrix]:
    """Orders drawn at random, each with its reverse, which has about the opposite error; each pair uses the next background row."""
    random = np.random.default_rng(0)  # the same row has the same explanation
    pairs = max(2, min(PAIRS, MOST_ROWS // (2 * (count + 1))))
    gains = []
    for pair in range(pairs):
        order = random.permutation(count)
        base = background[pair % len(background)]
        gains.append((_walk(answers, row, base, owner, order) + _walk(answers, row, base, owner, order[::-1])) / 2)
    drawn = np.array(gains)
    return drawn.mean(axis=0), drawn.std(axis=0, ddof=1) / math.sqrt(pairs)


def _walk(
    answers: Callable[[Matrix], Matrix],
    row: NDArray[np.float64],
    base: NDArray[np.float64],
    owner: NDArray[np.int64],
    order: NDArray[np.int64],
) -> Matrix:
    """What each feature (features, answers) adds when features join in this order."""
    joins = np.empty(len(order), np.int64)
    joins[order] = np.arange(len(order))
    joined = joins[owner][np.newaxis] < np.arange(len(order) + 1)[:, np.newaxis]
    steps = np.diff(answers(np.where(joined, row, base)), axis=0)
    values = np.empty_like(steps)
    values[order] = steps
    return values
