"""Which feature each column of encoded rows belongs to, as far as it matters for one row and its background."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def owners(
    encode: Callable[[Matrix], Matrix], row: NDArray[np.float64], background: Matrix, groups: Sequence[Sequence[int]]
) -> NDArray[np.int64] | None:
    """The feature (number of its group) of each encoded column; None if a column mixes several.

    A column belongs to the feature whose value, exchanged alone between the row and a background row, moves it, and moves it as
    far as if all features were exchanged. A column that nothing moves gets feature 0: it has the same value in all these rows.
    """
    encoded, other = encode(row[np.newaxis])[0], encode(background)
    owner = np.full(len(encoded), -1, np.int64)
    for feature, places in enumerate(groups):
        exchanged = np.tile(row, (len(background), 1))
        exchanged[:, list(places)] = background[:, list(places)]
        moved = encode(exchanged)
        mine = ~_same(moved, encoded[np.newaxis]).all(axis=0)
        if (owner[mine] >= 0).any() or not _same(moved[:, mine], other[:, mine]).all():
            return None
        owner[mine] = feature
    if not _same(other, encoded[np.newaxis])[:, owner < 0].all():
        return None
    return np.maximum(owner, 0)


def _same(some: Matrix, others: Matrix) -> NDArray[np.bool_]:
    return np.asarray((some == others) | (np.isnan(some) & np.isnan(others)))
