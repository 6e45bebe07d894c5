"""Answers to rows of text cells, as text cells: columns that are added to those of the file."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.daemon.predicting.served_version import Version
from retraind.daemon.schema.costs import named
from retraind.daemon.schema.prediction_columns import answer_columns
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import rows
from retraind.daemon.tabular.checks import unlabelled_rows
from retraind.daemon.tabular.checks.cells import BadCell

NOT_FINITE = "The model has no finite answer for values this large."


@dataclass(frozen=True)
class Answered:
    """The rows of a piece that have an answer, and the others."""

    features: pa.Table
    """Their typed features, in schema order."""
    matrix: NDArray[np.float64]
    """Their features as numbers (n, width)."""
    answers: NDArray[np.float64]
    """Probabilities (n, classes), or values (n, 1)."""
    codes: NDArray[np.int64] | None
    """The answered classes (n,); None for values."""
    good: NDArray[np.int64]
    """Their places in the piece, ascending."""
    bad: list[BadCell]
    milliseconds: float
    """How long checking and answering took."""


class Answerer:
    """Answers pieces of one file by one version; with `probabilities`, there is a column for each class.

    `partial`: its files may lack columns whose values may be missing, as drops may with inbox.extra_columns = "add".
    """

    def __init__(self, version: Version, *, probabilities: bool = False, partial: bool = False) -> None:
        self.version, self._probabilities, self.partial = version, probabilities, partial
        self.schema: Schema = version.model.manifest.data_schema
        self._classes = pa.array(self.schema.classes, pa.string())

    @property
    def columns(self) -> list[str]:
        """The names of the columns that `texts` makes."""
        return answer_columns(self.schema.classes, shares=self._probabilities, ids=False)

    def answer(self, cells: pa.Table) -> Answered:
        """Check and answer rows of text cells."""
        started = time.perf_counter()
        checked = unlabelled_rows.check(cells, self.schema)
        matrix = rows.matrix(checked.table, self.schema) if len(checked.good) else np.zeros((0, self.schema.width))
        answers = self._answers(matrix)
        finite = np.isfinite(answers).all(axis=1)
        answered, good, bad = checked.table, checked.good, checked.bad
        if not finite.all():
            lost = [BadCell(row, "", NOT_FINITE) for row in good[~finite].tolist()]
            bad = sorted([*bad, *lost], key=lambda cell: cell.row)
            answered = answered.filter(pa.array(finite))
            matrix, answers, good = matrix[finite], answers[finite], good[finite]
        codes = named(answers, self.version.model.costs) if self.schema.classes else None
        milliseconds = round((time.perf_counter() - started) * 1000, 3)
        return Answered(answered, matrix, answers, codes, good, bad, milliseconds)

    def _answers(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(matrix):
            return np.zeros((0, max(1, len(self.schema.classes))))
        with np.errstate(all="ignore"):  # values near the largest double overflow inside the model
            return self.version.model.answers(matrix)

    def texts(self, answered: Answered, delimiter: str) -> list[pa.Array]:
        """The answers as text cells (n,), in the order of `columns`, for a file with this delimiter."""
        codes, shares, mark = answered.codes, answered.answers, self.schema.answer_mark(delimiter)
        version = pa.repeat(str(self.version.number), len(shares))
        if codes is None:
            return [_numbers(shares[:, 0], mark), version]
        chosen = _numbers(shares[np.arange(len(codes)), codes], mark)
        every = [_numbers(shares[:, place], mark) for place in range(len(self._classes))] if self._probabilities else []
        return [pc.take(self._classes, pa.array(codes)), chosen, *every, version]


def _numbers(values: NDArray[Any], mark: str) -> pa.Array:
    """The shortest texts of numbers, with this decimal mark."""
    texts = pc.cast(pa.array(values, pa.float64()), pa.string())
    return texts if mark == "." else pc.replace_substring(texts, ".", mark)
