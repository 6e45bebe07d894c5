"""Costs of wrong answers, by true and answered class, and the answer with the lowest expected cost.

Shared with `web`; pure functions. Without costs (None) the answer is the likeliest class. Probabilities are not
changed.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.schema.scores import Table

Matrix = NDArray[np.float64]
Codes = NDArray[np.int64]

TIE = 1e-5
"""Expected costs that differ by less than this share count as equal, and the first class is the answer. Backends agree
only to 1e-6, and the shares in a tree's leaf are often exactly at the threshold."""


@dataclass(frozen=True)
class Costs:
    """`matrix` (classes, classes): the cost of answering the column's class if the row's is true; `table` as given."""

    matrix: Matrix
    table: dict[str, dict[str, float]]

    @classmethod
    def of(cls, table: Table | None, classes: Sequence[str]) -> Self | None:
        """The costs of a schema's classes; None without costs or classes. Raises TrainingFailed for a class that does not exist."""
        if not table:
            return None
        if not classes:
            raise TrainingFailed("train.costs are for classes, and the target is a number.", hint="Remove train.costs.")
        for name in (name for true, answered in table.items() for name in (true, *answered)):
            if name not in classes:
                raise _unknown(name, classes)
        matrix = 1.0 - np.eye(len(classes))
        for true, answered in table.items():
            for name, cost in answered.items():
                matrix[classes.index(true), classes.index(name)] = cost
        return cls(matrix, {true: dict(answered) for true, answered in table.items()})

    def decide(self, answers: Matrix) -> Codes:
        """The answers (n,) with the lowest expected cost for probabilities (n, classes); the first of equal ones."""
        width = answers.shape[1]  # answers that are older than a class have no column for it
        expected = answers @ self.matrix[:width, :width]
        return np.asarray((expected <= expected.min(axis=1, keepdims=True) * (1 + TIE)).argmax(axis=1))

    def paid(self, truth: NDArray[Any], answered: Codes) -> Matrix:
        """The cost of each answer (n,), in the unit of the table."""
        return np.asarray(self.matrix[truth.astype(np.int64), answered])

    def always(self, support: NDArray[Any]) -> float:
        """The mean cost of the best constant answer, for these numbers of rows per class; 1 if it costs nothing."""
        least = float((support @ self.matrix[: len(support)]).min()) / max(float(support.sum()), 1.0)
        return least if least > 0 else 1.0


def named(answers: Matrix, costs: Costs | None) -> Codes:
    """The answers (n,), class codes, for probabilities (n, classes)."""
    return np.asarray(answers.argmax(axis=1)) if costs is None else costs.decide(answers)


def _unknown(name: str, classes: Sequence[str]) -> TrainingFailed:
    close = difflib.get_close_matches(name, classes, n=1, cutoff=0.6)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(map(repr, classes[:10])) + (", …" if len(classes) > 10 else "")
    return TrainingFailed(
        f"train.costs names {name!r:.60}, which is not a class.", hint=f"The classes are {listed}.{meant}"
    )
