"""The core of a model: the trees or the linear scores within it, between the encoding of rows and the link to its answers.

On the core's own scale features add up, so exact Shapley values are cheap for any number of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Scale(StrEnum):
    """The unit of contributions."""

    PROBABILITY = "probability"
    VALUE = "value"
    """Of a regression's target."""
    LOG_ODDS = "log-odds"
    """Of the answered class; with more than two classes, against the geometric mean of the others."""
    SCORE = "score"
    """Before a model corrects it to a probability: the mean share of the trees, or a score of least squares."""


class Margins(Protocol):
    """What adds up in a model."""

    def margins(self, rows: Matrix) -> Matrix:
        """Encoded rows (n, columns) to (n, targets)."""

    def values(self, direction: Vector, row: Vector, background: Matrix, owner: Numbers, count: int) -> Vector:
        """The Shapley value of each of `count` features in the product of the margins with a direction (targets,)."""


@dataclass(frozen=True)
class Linear:
    """Scores of a linear model: `weights` (columns, targets) and `base` (targets,)."""

    weights: Matrix
    base: Vector

    def margins(self, rows: Matrix) -> Matrix:
        """Encoded rows (n, columns) to scores (n, targets)."""
        return np.asarray(rows @ self.weights + self.base)

    def values(self, direction: Vector, row: Vector, background: Matrix, owner: Numbers, count: int) -> Vector:
        """The closed form: weight times distance from the background's mean, added up for the columns of a feature."""
        moved = (self.weights @ direction) * (row - background.mean(axis=0))
        return np.bincount(owner, weights=moved, minlength=count).astype(np.float64)


Shape = Literal["identity", "logistic", "softmax", "clipped"]


@dataclass(frozen=True)
class Link:
    """The way from margins to answers."""

    shape: Shape
    classes: int
    """0: a regression."""
    slope: float | None = None
    """The power of a correction of the probabilities, none of which is below `floor`."""
    floor: float = 0.0
    least: float = 0.0
    """Lower bound of clipped scores."""
    sharpness: float = 1.0
    """By which margins are multiplied before a logistic function."""

    def answers(self, margins: Matrix) -> Matrix:
        """(n, targets) to (n, classes) probabilities or (n, 1) values."""
        if not self.classes:
            return margins
        shares = self._shares(margins)
        if self.slope is None:
            return shares
        raised = np.maximum(shares, self.floor) ** self.slope
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def _shares(self, margins: Matrix) -> Matrix:
        if self.shape == "clipped":
            clipped = np.clip(margins, self.least, 1.0)
            return np.asarray(clipped / clipped.sum(axis=1, keepdims=True))
        if self.shape == "identity":
            single = margins.shape[1] == 1
            return np.hstack([1.0 - margins, margins]) if single else margins
        raw = margins * self.sharpness
        scores = np.hstack([np.zeros_like(raw), raw]) if self.shape == "logistic" else raw
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    @property
    def scale(self) -> Scale:
        """The scale on which margins add up to an answer."""
        if not self.classes:
            return Scale.VALUE
        if self.shape in ("logistic", "softmax"):
            return Scale.LOG_ODDS
        return Scale.PROBABILITY if self.shape == "identity" and self.slope is None else Scale.SCORE

    def direction(self, code: int, targets: int) -> tuple[Vector, float]:
        """The answer of a class on the scale: a direction (targets,) that margins are multiplied with, and a constant."""
        if targets == 1:
            sign = 1.0 if code or not self.classes else -1.0
            odds = self.shape == "logistic"
            return np.array([sign * (self._steepness if odds else 1.0)]), float(sign < 0 and not odds)
        chosen = np.eye(targets)[code]
        if self.shape == "softmax":
            chosen = (chosen - (1.0 - chosen) / (targets - 1)) * self._steepness
        return chosen, 0.0

    @property
    def _steepness(self) -> float:
        return self.sharpness * (1.0 if self.slope is None else self.slope)


@dataclass(frozen=True)
class Core:
    """A model as encoding, margins and link."""

    kind: Literal["trees", "a linear model"]
    encode: Callable[[Matrix], Matrix]
    """Rows in schema order (n, width) to the rows (n, columns) of the margins."""
    inner: Margins
    link: Link
    size: int
    """Numbers in memory."""
