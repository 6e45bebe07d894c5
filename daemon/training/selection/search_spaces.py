"""Search spaces: the tuned parameters of each candidate, with their limits.

Numbers are rounded to three digits: they are part of names, and more digits change nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Parameters = dict[str, object]
"""Values by the estimator's names of its parameters."""

STEP = 0.15
"""The standard deviation of a step, as a share of the range (of its logarithm)."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, evenly by their logarithm; integers if `whole`."""

    low: float
    high: float
    whole: bool = False

    def draw(self, random: np.random.Generator) -> float | int:
        """One of them."""
        return self._at(random.random())

    def spread(self, count: int, random: np.random.Generator) -> list[float | int]:
        """This many of them in random order, one from each of as many equal parts of the range.

        (McKay, Beckman and Conover, 1979.)
        """
        return [self._at((part + random.random()) / count) for part in random.permutation(count).tolist()]

    def near(self, middle: Any, random: np.random.Generator) -> float | int:
        """One near another; from anywhere if the other is not above 0, as a grid may have it."""
        if not float(middle) > 0:
            return self.draw(random)
        place = math.log(float(middle) / self.low) / math.log(self.high / self.low)
        return self._at(min(1.0, max(0.0, place + random.normal(0, STEP))))

    def _at(self, place: float) -> float | int:
        value = self.low * (self.high / self.low) ** place
        return round(value) if self.whole else float(f"{value:.3g}")


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]

    def draw(self, random: np.random.Generator) -> Any:
        """One of them."""
        return self.values[int(random.integers(len(self.values)))]

    def spread(self, count: int, random: np.random.Generator) -> list[Any]:
        """This many of them in random order, each about equally often."""
        return [self.values[place % len(self.values)] for place in random.permutation(count).tolist()]

    def near(self, middle: Any, random: np.random.Generator) -> Any:
        """Mostly the same value, sometimes a neighbour."""
        place = self.values.index(middle) if middle in self.values else 0
        move = int(random.choice((-1, 0, 0, 0, 1)))
        return self.values[min(len(self.values) - 1, max(0, place + move))]


SHARES = Choice((0.2, 0.35, 0.5, 0.75, 1.0))
BOOSTING: dict[str, Range | Choice] = {
    "learning_rate": Range(0.02, 0.2),
    "max_iter": Range(100, 600, whole=True),
    "max_leaf_nodes": Range(3, 40, whole=True),
    "min_samples_leaf": Range(3, 60, whole=True),
    "l2_regularization": Choice((0.0, 0.1, 1.0, 10.0)),
    "max_features": SHARES,
}
BAGGING: dict[str, Range | Choice] = {
    "max_features": Choice(("sqrt", 0.2, 0.35, 0.5, 0.75, 1.0)),
    "min_samples_leaf": Range(1, 20, whole=True),
    "n_estimators": Choice((100, 200, 300)),
}
SPACES: dict[str, dict[str, Range | Choice]] = {
    "shallow_boosting": BOOSTING,
    "boosting": BOOSTING,
    "forest": BAGGING,
    "extra_trees": BAGGING,
    "kernel": {"reach": Range(0.03, 2.0), "penalty": Range(0.0003, 30.0)},
    "logistic": {"C": Range(0.001, 1000.0)},
    "ridge": {"alpha": Range(0.001, 1000.0)},
}
"""Search spaces by candidate; for the others a search is not worthwhile."""


@dataclass(frozen=True)
class Draws:
    """Parameters to try: random ones from a candidate's space, and one value of each list in `train.grids`."""

    random: np.random.Generator
    grids: Mapping[str, Mapping[str, Sequence[object]]]

    def one(self, candidate: str, middle: Parameters | None = None) -> Parameters:
        """Parameters near `middle`; those that it lacks come from anywhere."""
        drawn = {
            name: space.near(middle[name], self.random) if middle and name in middle else space.draw(self.random)
            for name, space in SPACES[candidate].items()
        }
        return drawn | self._of_grid(candidate)

    def spread(self, candidate: str, count: int) -> list[Parameters]:
        """This many sets of parameters, spread over the whole range of each."""
        spread = {name: space.spread(count, self.random) for name, space in SPACES[candidate].items()}
        return [
            {name: values[number] for name, values in spread.items()} | self._of_grid(candidate)
            for number in range(count)
        ]

    def _of_grid(self, candidate: str) -> Parameters:
        grid = self.grids.get(candidate, {})
        return {name: values[int(self.random.integers(len(values)))] for name, values in grid.items()}
