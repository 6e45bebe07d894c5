"""The first step of the pipeline: a table with the columns of the schema becomes the numbers that the estimator takes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from retraind.daemon.schema.text_words import NOTHING, encoded

Matrix = NDArray[np.float64]

UNKNOWN = -1.0
"""The code of a category that is missing or not listed."""

DAY = 86_400.0


class Columns(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Rows by column name (a DataFrame, or a list of dicts) to float64 (n, width).

    `columns`: for each its `name`, its `kind` (number, integer, boolean, date, category, text), whether values may be
    `missing`, its `categories`, and the texts that also mean a missing value (`markers`). Other columns are ignored.
    """

    def __init__(self, columns: Sequence[Mapping[str, Any]] = ()) -> None:
        self.columns = columns

    def fit(self, X: Any, y: Any = None) -> Self:
        """Do nothing: the columns are given."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, X: Any) -> Matrix:
        """The numbers of each row; raises ValueError for a missing column or value, and for one of another kind."""
        import pandas as pd

        frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(list(X))
        numbers, words = [], []
        for column in self.columns:
            cells = _cells(frame, column)
            numbers.append(KINDS[column["kind"]](column, cells))
            if column["kind"] == "text":
                words.append(_words(cells))
        return np.hstack([np.column_stack(numbers), *words])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the columns; the numbers for the words of texts are not named."""
        return np.array([column["name"] for column in self.columns], dtype=object)


def _cells(frame: Any, column: Mapping[str, Any]) -> Any:
    """The cells of a column, a Series with None for a missing one."""
    name = column["name"]
    if name not in frame.columns:
        if not column["missing"]:
            raise ValueError(f"The column {name!r} is missing.")
        return frame.iloc[:, :0].assign(**{"": None})[""]
    cells = frame[name]
    if column["kind"] not in ("number", "integer", "boolean"):
        cells = cells.astype(object)
        gone = cells.isna() | cells.map(lambda cell: isinstance(cell, str) and _says_nothing(column, cell))
        cells = cells.where(~gone, None)
    if not column["missing"] and column["kind"] != "category" and cells.isna().any():
        raise ValueError(f"{name!r} must not be missing (row {int(cells.isna().to_numpy().argmax())}).")
    return cells


def _says_nothing(column: Mapping[str, Any], cell: str) -> bool:
    return (column["kind"] == "text" and not cell.strip()) or cell.strip() in column["markers"]


def _numbers(column: Mapping[str, Any], cells: Any) -> Matrix:
    import pandas as pd

    try:
        return np.asarray(pd.to_numeric(cells).to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{column['name']!r} is a number: {error}") from None


def _booleans(column: Mapping[str, Any], cells: Any) -> Matrix:
    odd = cells[cells.notna() & ~cells.isin([True, False])]
    if len(odd):
        raise ValueError(f"{column['name']!r} is a boolean, not {odd.iloc[0]!r:.40}.")
    return np.asarray(cells.astype(object).map({True: 1.0, False: 0.0}).to_numpy(dtype=np.float64, na_value=np.nan))


def _dates(column: Mapping[str, Any], cells: Any) -> Matrix:
    """Days since 1970-01-01 UTC; a time without a zone is UTC."""
    return np.array([np.nan if cell is None else _days(column["name"], str(cell)) for cell in cells], dtype=np.float64)


def _days(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name!r} is a date: give ISO 8601 text such as '2026-01-31', not {text!r:.40}.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / DAY


def _codes(column: Mapping[str, Any], cells: Any) -> Matrix:
    codes = {name: float(code) for code, name in enumerate(column["categories"])}
    return np.array([codes.get(cell, UNKNOWN) for cell in cells], dtype=np.float64)


def _counts(_column: Mapping[str, Any], cells: Any) -> Matrix:
    """The number of words of each text."""
    return np.array([np.nan if cell is None else encoded(cell)[0] for cell in cells], dtype=np.float64)


def _words(cells: Any) -> Matrix:
    """The words of each text, (n, SLOTS)."""
    return np.array([NOTHING if cell is None else encoded(cell)[1:] for cell in cells], dtype=np.float64)


KINDS = {
    "number": _numbers,
    "integer": _numbers,
    "boolean": _booleans,
    "date": _dates,
    "category": _codes,
    "text": _counts,
}
