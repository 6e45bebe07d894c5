"""Exams: how well the served version predicts a drop's rows before they are accepted, and whether that is unusual.

Pure functions. An exam has three figures: the error of the version, the mix of the labels, and the shift of each
feature from the training rows. Each is compared with its usual value: the version's figure on its held-out rows, or the
median of the last exams, whichever is larger. So a lasting change is unusual in three exams and then becomes usual.
Exams of pooled small drops don't count (docs/judging.md).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.schema.column import Column
from retraind.daemon.schema.costs import Costs, named
from retraind.daemon.schema.schema import Schema

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

LEAST_ROWS = 20
"""Minimum rows for an exam of its own. Smaller drops of a batch are examined together, and are never suspicious."""

LEAST_MIX = 50
"""Minimum rows for comparing the labels or a feature's distribution."""

LEAST_SPREAD = 100
"""Minimum rows for comparing a feature's spread."""

RISE, SIGMAS = 0.1, 4.0
"""Minimum rise of the error above the usual one, absolute and in standard errors."""

WORSE = 2.0
"""For regression, the minimum ratio of the median error to the usual one."""

MIX, SHIFT = 0.3, 0.5
"""Minimum share of the labels that differ from the usual mix; minimum difference of a feature's cumulative shares, or
change of its spread."""

MORE = 0.2
"""Minimum excess of a mix or a shift over the usual one."""

RECENT = 5
"""Number of last exams whose median is the usual value."""


@dataclass(frozen=True)
class ExpectedError:
    """A version's share of wrong answers or mean absolute error on `n` held-out rows, and their mix of labels."""

    error: float
    n: int
    labels: Mapping[str, float]


@dataclass(frozen=True)
class Exam:
    """The result of an exam; `error` is compared with `usual`.

    Both are shares, or multiples of the expected error (regression).
    """

    n: int
    error: float
    usual: float
    mix: float
    """Share of the labels that differ from the usual mix, 0-1; 0 for regression."""
    shifts: dict[str, float] = field(default_factory=dict)
    """For each shifted feature: the largest difference of the cumulative shares, 0-1."""
    reasons: tuple[str, ...] = ()
    """The reasons why it is suspicious; empty if it is not."""


def examine(
    schema: Schema,
    version: int,
    expected: ExpectedError,
    reference: Matrix | None,
    rows: Matrix,
    truths: Sequence[str] | Vector,
    answers: Matrix,
    before: Sequence[Exam],
    costs: Costs | None = None,
) -> Exam:
    """Examine rows (n, d) with their truths (n,) by a version's answers (n, classes) or (n, 1).

    `schema` is the version's, `reference` (m, d) a sample of its training rows, `before` the last exams that count, newest first.
    """
    recent = before[:RECENT]
    shifts = {} if reference is None or min(len(rows), len(reference)) < LEAST_MIX else _shifts(schema, reference, rows)
    if schema.task == "classification":
        names = np.array([*schema.classes, ""], dtype=object)
        error = float(np.mean(names[named(answers, costs)] != np.asarray(truths, dtype=object)))
        mix = _mix(expected.labels, truths)
        expected_error = expected.error
    else:
        wrong = np.abs(answers[:, 0] - np.asarray(truths, dtype=np.float64))
        error, mix, expected_error = float(np.nanmedian(wrong)) / max(expected.error, 1e-12), 0.0, 1.0
    usual = max([expected_error, *([median(one.error for one in recent)] if recent else [])])
    reasons = [
        *_worse(schema, version, error, usual, len(rows), expected.n),
        *_mixed(truths, mix, recent, len(rows)),
        *_shifted(schema, shifts, recent, len(rows)),
    ]
    kept = {name: round(size, 4) for name, size in shifts.items() if size >= SHIFT / 2}
    return Exam(len(rows), round(error, 6), round(usual, 6), round(mix, 4), kept, tuple(reasons))


def _worse(schema: Schema, version: int, error: float, usual: float, n: int, held_out: int) -> list[str]:
    if schema.task == "regression":
        if n < LEAST_ROWS or error <= WORSE * usual:
            return []
        return [f"its median error is {error:.3g} times the usual error of v{version}"]
    noise = math.sqrt(max(usual * (1 - usual), 0.01) * (1 / max(n, 1) + 1 / max(held_out, 1)))
    if n < LEAST_ROWS or error - usual < max(RISE, SIGMAS * noise):
        return []
    return [f"{error:.0%} of its labels disagree with v{version}, usually {usual:.0%}"]


def _mixed(truths: Sequence[str] | Vector, mix: float, recent: Sequence[Exam], n: int) -> list[str]:
    usual = median(one.mix for one in recent) if recent else 0.0
    if n < LEAST_MIX or mix < max(MIX, usual + MORE):
        return []
    ((name, count),) = Counter(truths).most_common(1)
    return [f"{count / n:.0%} of its labels are {str(name)!r:.60}: the mix differs by {mix:.0%} from the training rows"]


def _shifted(schema: Schema, shifts: Mapping[str, float], recent: Sequence[Exam], n: int) -> list[str]:
    if n < LEAST_MIX or not shifts:
        return []
    usual = {name: median(one.shifts.get(name, 0.0) for one in recent) if recent else 0.0 for name in shifts}
    odd = [name for name, size in shifts.items() if size >= max(SHIFT, usual[name] + MORE)]
    if not odd:
        return []
    worst = max(odd, key=lambda name: shifts[name])
    more = f" and of {len(odd) - 1} more" if len(odd) > 1 else ""
    by = f"shift {shifts[worst]:.2f}, usually {usual[worst]:.2f}"
    if worst in (schema.features[place] for place in schema.texts):
        return [f"the texts of {worst!r:.60}{more} have more or fewer words than before, or are missing ({by})"]
    return [f"the values of {worst!r:.60}{more} have shifted or spread ({by}): another unit?"]


def _mix(usual: Mapping[str, float], truths: Sequence[str] | Vector) -> float:
    """Total variation distance of the labels from the usual mix; 0 if no usual mix is known."""
    total = sum(usual.values())
    if not total:
        return 0.0
    shares = {name: count / len(truths) for name, count in Counter(truths).items()}
    return float(sum(abs(shares.get(name, 0.0) - usual.get(name, 0.0) / total) for name in {*shares, *usual}) / 2)


def _shifts(schema: Schema, reference: Matrix, rows: Matrix) -> dict[str, float]:
    """The shift of each feature from the reference, 0-1; dates always move on, so they are left out."""
    return {
        column.name: _distance(column, reference[:, index], rows[:, index])
        for index, column in enumerate(schema.columns)
        if column.kind != "date"
    }


def _distance(column: Column, before: Vector, now: Vector) -> float:
    gone, going = np.isnan(before), np.isnan(now)
    missing = abs(float(gone.mean()) - float(going.mean()))
    before, now = np.sort(before[~gone]), np.sort(now[~going])
    if not len(before) or not len(now):
        return missing
    values = np.unique(np.concatenate([before, now]))
    shares = [np.searchsorted(one, values, side="right") / len(one) for one in (before, now)]
    gaps = np.abs(shares[0] - shares[1])
    if column.kind == "category":  # its codes have no order
        gaps = np.abs(np.diff(shares[0] - shares[1], prepend=0.0)).sum(keepdims=True) / 2
    return max(missing, float(gaps.max()), _spread(column, before, now))


def _spread(column: Column, before: Vector, now: Vector) -> float:
    """The relative change of a number's interquartile range, 0-1: 0.5 is a factor of two; 0 if unknown."""
    if column.kind not in ("number", "integer") or min(len(before), len(now)) < LEAST_SPREAD:
        return 0.0
    widths = [float(np.subtract(*np.percentile(one, [75, 25]))) for one in (before, now)]
    return 1.0 - min(widths) / max(widths) if min(widths) > 0 else 0.0
