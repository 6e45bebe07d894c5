"""Two versions on the rows that both held out: where they differ, and by how much. Pure functions of judged rows."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.artifacts.judged_rows import JudgedRows
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.score_names import plain
from retraind.web.pages.values import shown

SHOWN = 50
"""Number of rows that are listed."""

CONFUSED = 15
"""Number of pairs of classes that are listed."""

Z = 1.959964
"""Standard errors of a two-sided 95 % interval."""


class Side(NamedTuple):
    """A version's judged rows, and the schema that they are encoded with."""

    judged: JudgedRows
    schema: Schema


class Answered(TypedDict):
    """A version's answer to a row."""

    answer: str
    confidence: NotRequired[float]
    right: NotRequired[bool]
    off: NotRequired[float]
    """Of a regression, instead of the other two: answer minus truth."""


class DifferentRow(TypedDict):
    """A row that the two answer differently; features are missing if neither bundle has them."""

    truth: str
    left: Answered
    right: Answered
    features: dict[str, str]


class ConfusedPair(TypedDict):
    """The number of rows of a class for which each version answers another."""

    truth: str
    answer: str
    left: int
    right: int


class SameRows(TypedDict):
    """Both versions on `n` rows. The difference is right minus left, of accuracy or of the mean absolute error."""

    n: int
    difference: float
    low: float
    high: float
    left: float
    right: float
    """Accuracy, or mean absolute error."""
    differing: int
    """Number of rows with different answers (regression: that are off by another amount)."""
    rows: list[DifferentRow]
    only_left: NotRequired[int]
    """Rows on which only this version is right."""
    only_right: NotRequired[int]
    p: NotRequired[float]
    """McNemar's exact test, two-sided."""
    confused: NotRequired[list[ConfusedPair]]
    left_rmse: NotRequired[float]
    right_rmse: NotRequired[float]


def compare(left: Side, right: Side) -> SameRows | None:
    """The comparison; None if they have no row in common."""
    _, mine, theirs = np.intersect1d(left.judged.keys, right.judged.keys, return_indices=True)
    if not len(mine):
        return None
    return (_values if right.schema.task == "regression" else _classes)(left, right, mine, theirs)


Places = NDArray[np.intp]


def _classes(left: Side, right: Side, mine: Places, theirs: Places) -> SameRows:
    truth = _names(right, right.judged.truth[theirs])
    before, now = _names(left, left.judged.answers[mine]), _names(right, right.judged.answers[theirs])
    was, is_ = before == truth, now == truth
    only_left, only_right, n = int((was & ~is_).sum()), int((is_ & ~was).sum()), len(truth)
    difference, low, high = paired_difference(only_left, only_right, n)
    differing = np.flatnonzero(before != now)
    # Rows on which one of them is right come first.
    order = sorted(differing, key=lambda row: not (was[row] or is_[row]))[:SHOWN]
    return {
        "n": n,
        "difference": difference,
        "low": low,
        "high": high,
        "left": float(was.mean()),
        "right": float(is_.mean()),
        "differing": len(differing),
        "rows": [_row(left, right, int(mine[row]), int(theirs[row])) for row in order],
        "only_left": only_left,
        "only_right": only_right,
        "p": mcnemar(only_left, only_right),
        "confused": _confused(truth, before, now),
    }


def _values(left: Side, right: Side, mine: Places, theirs: Places) -> SameRows:
    truth = right.judged.truth[theirs]
    before, now = left.judged.answers[mine] - truth, right.judged.answers[theirs] - truth
    gap = np.abs(now) - np.abs(before)
    error = float(gap.std(ddof=1)) / math.sqrt(len(gap)) if len(gap) > 1 else math.inf
    mean, differing = float(gap.mean()), np.flatnonzero(gap)
    order = sorted(differing, key=lambda row: -abs(gap[row]))[:SHOWN]
    return {
        "n": len(truth),
        "difference": mean,
        "low": mean - Z * error,
        "high": mean + Z * error,
        "left": float(np.abs(before).mean()),
        "right": float(np.abs(now).mean()),
        "differing": len(differing),
        "rows": [_row(left, right, int(mine[row]), int(theirs[row])) for row in order],
        "left_rmse": float(np.sqrt((before**2).mean())),
        "right_rmse": float(np.sqrt((now**2).mean())),
    }


def paired_difference(only_left: int, only_right: int, n: int) -> tuple[float, float, float]:
    """The difference of two accuracies on the same n rows, and its 95 % interval (Agresti and Min, 2005)."""
    left, right, total = only_left + 0.5, only_right + 0.5, n + 2
    middle = (right - left) / total
    error = math.sqrt(left + right - (right - left) ** 2 / total) / total
    return (only_right - only_left) / n, max(-1.0, middle - Z * error), min(1.0, middle + Z * error)


def mcnemar(only_left: int, only_right: int) -> float:
    """The two-sided p-value of McNemar's exact test."""
    n, fewer = only_left + only_right, min(only_left, only_right)
    # Logarithms, because the coefficients of a few thousand rows are too large for a double.
    parts = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(fewer + 1))
    return min(1.0, 2 * sum(math.exp(part - n * math.log(2)) for part in parts))


def _names(side: Side, codes: NDArray[np.float64]) -> NDArray[np.str_]:
    return np.array(side.schema.classes)[codes.astype(np.int64)]


def _confused(truth: NDArray[np.str_], before: NDArray[np.str_], now: NDArray[np.str_]) -> list[ConfusedPair]:
    """The pairs that the two confuse differently often, the largest difference first."""
    old, new = (Counter(zip(truth.tolist(), answers.tolist(), strict=True)) for answers in (before, now))
    pairs: list[ConfusedPair] = [
        {"truth": pair[0], "answer": pair[1], "left": old[pair], "right": new[pair]}
        for pair in sorted(old.keys() | new.keys())
        if old[pair] != new[pair]
    ]
    return sorted(pairs, key=lambda pair: -abs(pair["right"] - pair["left"]))[:CONFUSED]


def _row(left: Side, right: Side, mine: int, theirs: int) -> DifferentRow:
    return {
        "truth": _target(right, right.judged.truth[theirs]),
        "left": _answered(left, mine),
        "right": _answered(right, theirs),
        "features": _features(right, theirs) or _features(left, mine),
    }


def _answered(side: Side, place: int) -> Answered:
    answer, truth = float(side.judged.answers[place]), float(side.judged.truth[place])
    if side.schema.task == "regression":
        return {"answer": plain(answer), "off": answer - truth}
    sure = float(side.judged.confidence[place])
    return {"answer": _target(side, answer), "confidence": sure, "right": answer == truth}


def _target(side: Side, value: float) -> str:
    return side.schema.classes[int(value)] if side.schema.classes else plain(float(value))


def _features(side: Side, place: int) -> dict[str, str]:
    """The features of a row by column, for people; empty if the bundle does not have them."""
    if place >= len(side.judged.rows):
        return {}
    cells: Sequence[float] = side.judged.rows[place].tolist()
    return {column.name: shown(column, value) for column, value in zip(side.schema.columns, cells, strict=True)}
