"""Exact Shapley values of trees and linear models for any number of features, on the scale on which features add up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.artifacts.explaining.cores import Core, Matrix, Scale, Vector
from retraind.daemon.artifacts.explaining.owners import owners
from retraind.daemon.artifacts.explaining.trees import TooManyPaths

CLOSE = 1e-6
"""Largest difference between the core's answers and the model's, as for a backend (`bundle.PARITY`)."""


@dataclass(frozen=True)
class Exact:
    """Values (features,) that add up to `answer` minus `base`."""

    values: Vector
    base: float
    answer: float
    scale: Scale


def explain(
    core: Core,
    answers: Callable[[Matrix], Matrix],
    row: NDArray[np.float64],
    background: Matrix,
    groups: Sequence[Sequence[int]],
    code: int,
) -> Exact | None:
    """Explain the answer of class `code` (0: the value) to a row (width,), against background rows (n, width).

    None if the model is not its core with an encoding of single features, or its trees differ too much between these rows.
    """
    rows = np.vstack([row, background])
    encoded = core.encode(rows)
    margins = core.inner.margins(encoded)
    expected = answers(rows)
    if not np.allclose(core.link.answers(margins), expected, rtol=CLOSE, atol=CLOSE if core.link.classes else 0.0):
        return None
    owner = owners(core.encode, row, background, groups)
    if owner is None:
        return None
    direction, constant = core.link.direction(code, margins.shape[1])
    try:
        values = core.inner.values(direction, encoded[0], encoded[1:], owner, len(groups))
    except TooManyPaths:
        return None
    answered = margins @ direction + constant
    return Exact(values, float(answered[1:].mean()), float(answered[0]), core.link.scale)
