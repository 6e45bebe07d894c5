"""Linear models as data: computes logistic regression, least squares and ridge without ONNX Runtime.

Shared with `web`; needs numpy only. It computes one row with Python's own numbers and many rows with arrays, by the
same operations in the same order. So a row gets the same answer alone and among others, to the last bit.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import repeat
from operator import add, mul, sub, truediv
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Matrix = NDArray[np.float64]
Link = Literal["identity", "softmax", "logistic", "clipped"]
Columns = Sequence[Any] | Matrix
"""One entry per column: a number for one row, or an array (n,) for many rows."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CategoryWeights(_Record):
    """The scores that each code of the category at `place` adds: (codes, scores). Any other value adds nothing."""

    place: int = Field(ge=0)
    weights: list[list[float]]


class Calibration(_Record):
    """Probabilities, none below `floor`, are raised to the power `slope` and normalised."""

    slope: float = Field(gt=0, le=100)
    floor: float = Field(gt=0, lt=1)


class Form(_Record):
    """A fitted linear model: the content of `linear.json`.

    Scores are intercepts + weights @ ((numbers - means) / scales) + the categories' scores; `link` turns them into
    answers.
    """

    format: Literal["retraind-linear/1"] = "retraind-linear/1"
    width: int
    """Columns of a row."""
    numbers: list[int]
    """Positions of the number columns."""
    means: list[float]
    scales: list[float]
    fills: bool
    """Whether the mean replaces a missing number; otherwise a row with a missing number has no answer."""
    weights: list[list[float]]
    """(scores, numbers)"""
    intercepts: list[float]
    categories: list[CategoryWeights] = Field(default_factory=list)
    link: Link
    """`logistic`: the single score belongs to the second class. `clipped`: scores from `least` to 1, normalised."""
    least: float = 0.0
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        count, scores = len(self.numbers), len(self.intercepts)
        lengths = [len(self.means), len(self.scales), *map(len, self.weights)]
        tables = [row for category in self.categories for row in category.weights]
        places = [*self.numbers, *(category.place for category in self.categories)]
        if set(lengths) != {count} or len(self.weights) != scores or any(len(row) != scores for row in tables):
            raise ValueError("the numbers of weights do not match")
        if not scores or not all(0 <= place < self.width for place in places) or 0.0 in self.scales:
            raise ValueError("a place, a scale or the scores are not possible")
        return self


class LinearModel:
    """A form ready to answer; immutable."""

    def __init__(self, form: Form) -> None:
        self._numbers = None if form.numbers == list(range(form.width)) else form.numbers
        self._means, self._scales, self._fills = form.means, form.scales, form.fills
        self._scores = list(zip(form.intercepts, form.weights, strict=True))
        self._nothing = [0.0] * len(form.intercepts)
        self._tables = [
            (category.place, {float(code): row for code, row in enumerate(category.weights)})
            for category in form.categories
        ]
        self._arrays = [_Table.of(one, len(form.intercepts)) for one in form.categories]
        self._link = partial(_clipped, form.least) if form.link == "clipped" else LINKS[form.link]
        self._calibration = form.calibration

    def row(self, values: Sequence[float]) -> list[float]:
        """The answer to one row in schema order: probabilities, or one value; NaN is a missing number."""
        numbers = self._standardised(values)
        if self._fills and (total := sum(numbers)) != total:  # NaN is the only number that differs from itself
            numbers = [0.0 if number != number else number for number in numbers]  # noqa: PLR0124
        scores = [reduce(add, map(mul, weights, numbers), start) for start, weights in self._scores]
        for place, table in self._tables:
            scores = list(map(add, scores, table.get(values[place], self._nothing)))
        return self._answered(scores, ONE)

    # Values near the largest double overflow; the caller checks the answers.
    @np.errstate(all="ignore")
    def answers(self, rows: Matrix) -> Matrix:
        """The same for many: float64 (n, d) to float64 (n, classes) or (n, 1)."""
        columns = np.ascontiguousarray(rows.T)
        numbers = self._standardised(columns)
        if self._fills:
            numbers = [np.where(np.isnan(values), 0.0, values) for values in numbers]
        scores = [reduce(add, map(mul, weights, numbers), np.full(len(rows), start)) for start, weights in self._scores]
        for table in self._arrays:
            scores = list(map(add, scores, table.added(columns)))
        return np.column_stack(self._answered(scores, MANY))

    def _standardised(self, columns: Columns) -> list[Any]:
        picked = columns if self._numbers is None else [columns[place] for place in self._numbers]
        return list(map(truediv, map(sub, picked, self._means), self._scales))

    def _answered(self, scores: list[Any], ways: "_Ways") -> list[Any]:
        answers = self._link(scores, ways)
        if self._calibration is None:
            return answers
        floor, slope = self._calibration.floor, self._calibration.slope
        return _shares([ways.power(ways.larger(share, floor), slope) for share in answers])


class _Table(NamedTuple):
    """The weights of a category as an array (scores, codes + 1); the last column is for values that are not a code."""

    place: int
    weights: Matrix

    @classmethod
    def of(cls, category: CategoryWeights, scores: int) -> Self:
        return cls(category.place, np.array([*category.weights, [0.0] * scores], dtype=np.float64).T)

    def added(self, columns: Matrix) -> Matrix:
        """The scores that the column adds, (scores, n)."""
        codes, count = columns[self.place], self.weights.shape[1] - 1
        known = (codes >= 0) & (codes < count) & (codes == np.floor(codes))
        added: Matrix = self.weights[:, np.where(known, codes, count).astype(np.int64)]
        return added


class _Ways(NamedTuple):
    """Functions on one number, or on each number of an array. numpy's versions may differ from them in the last bit."""

    exponential: Callable[[Any], Any]
    larger: Callable[[Any, Any], Any]
    smaller: Callable[[Any, Any], Any]
    power: Callable[[Any, float], Any]


def _exponentials(values: Matrix) -> Matrix:
    return np.fromiter(map(math.exp, values.tolist()), np.float64, len(values))


def _powers(values: Matrix, exponent: float) -> Matrix:
    return np.fromiter(map(pow, values.tolist(), repeat(exponent)), np.float64, len(values))


ONE = _Ways(math.exp, max, min, pow)
MANY = _Ways(_exponentials, np.maximum, np.minimum, _powers)


def _shares(parts: list[Any]) -> list[Any]:
    total = reduce(add, parts)
    return [part / total for part in parts]


def _identity(scores: list[Any], _ways: _Ways) -> list[Any]:
    return scores


def _softmax(scores: list[Any], ways: _Ways) -> list[Any]:
    top = reduce(ways.larger, scores)
    return _shares([ways.exponential(score - top) for score in scores])


def _logistic(scores: list[Any], ways: _Ways) -> list[Any]:
    return _softmax([0.0, *scores], ways)


def _clipped(least: float, scores: list[Any], ways: _Ways) -> list[Any]:
    return _shares([ways.smaller(ways.larger(score, least), 1.0) for score in scores])


LINKS: dict[Link, Callable[[list[Any], _Ways], list[Any]]] = {
    "identity": _identity,
    "softmax": _softmax,
    "logistic": _logistic,
}


def read(data: bytes) -> LinearModel:
    """The model that the bytes of `linear.json` describe; raises ValidationError."""
    return LinearModel(Form.model_validate_json(data))
