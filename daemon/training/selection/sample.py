"""A sample of the training rows on which candidates are compared: the same rows always give the same sample.

Rows of one unit stay together, as in the folds, and each class keeps its share. Pure.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.schema.hash_mixing import Prints, splitmix
from retraind.daemon.training.data import split

Places = NDArray[np.int64]

LEAST_UNITS = 20
"""Minimum units of a class in a sample, if there are so many: as many as `train.folds` can be, one for each fold."""


class Sample(NamedTuple):
    """The rows that are compared, as positions among the training rows, and the number of these."""

    places: Places
    of: int

    @property
    def sentence(self) -> str:
        """A sentence on it for the journal."""
        return f"Candidates are compared on {len(self.places):,} of {self.of:,} training rows (train.compare_rows)."


def draw(units: Prints, classes: Places | None, count: int, seed: int) -> Sample | None:
    """About `count` of the rows with these units and classes (n,), in their order; None for all, also if `count` is 0.

    `classes` None: values. It may be more rows than `count`, by a unit of each class, and for the LEAST_UNITS.
    """
    if not 0 < count < len(units):
        return None
    first, unit_of = split.numbered(units)
    sizes = np.bincount(unit_of)
    # Not by the unit itself, because that decides whether a row is held out.
    order = np.argsort(splitmix(units[first] ^ splitmix(np.array([seed], dtype=np.uint64))), kind="stable")
    of_unit = np.zeros(len(first), dtype=np.int64) if classes is None else classes[first]
    chosen = np.zeros(len(first), dtype=bool)
    for code in np.unique(of_unit):
        members = order[of_unit[order] == code]
        before = np.cumsum(sizes[members]) - sizes[members]
        share = count * sizes[members].sum() / len(units)
        chosen[members] = (before < share) | (np.arange(len(members)) < LEAST_UNITS)
    places = np.flatnonzero(chosen[unit_of])
    return Sample(places, len(units)) if len(places) < len(units) else None
