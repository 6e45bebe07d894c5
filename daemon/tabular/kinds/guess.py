"""Guess: cells of a column read as one kind, with what fits and what does not. For `infer_column`."""

import math
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.daemon.schema.column import Column, Kind
from retraind.daemon.tabular import column_types, date_cells

WRITTEN_AS_WHOLE = r"^[+-]?[0-9]+$"

HEAD = 100
"""Number of cells that are tried first."""

ROWS_PER_SLIP, FEWEST_ROWS = 1_000, 100
"""One wrong cell in ROWS_PER_SLIP counts as a typing error, and so does a single one in at least FEWEST_ROWS; the other
cells decide the kind."""

HOPELESS, HOPELESS_SHARE = 20, 0.2
"""With more wrong cells than this number and this share, the kind is ruled out, whatever follows."""

MOSTLY, FEWEST_MIXED = 0.8, 20
"""Share of the cells, and minimum number of them, from which on a column is said to be nearly of a kind."""


@dataclass
class Guess:
    """The properties of cells of one kind, apart from a few typing errors."""

    column: Column
    decimal: str = "."
    right: int = 0
    wrong: int = 0
    slips: dict[str, int] = field(default_factory=dict)
    """Some wrong cells, each with the first row (0-based) that holds it."""
    low: float = math.inf
    high: float = -math.inf
    fractions: bool = False
    """True if a value is not whole."""
    whole: bool = True
    """True if all numbers are written as integers."""
    marked: bool = False
    """True if the decimal mark occurs in the numbers."""

    patient: bool = False
    """True if all cells are tried, because a person has chosen the kind."""
    example: str = ""
    """A text that fits: the longest of the first ones, because it shows most of a notation."""

    @property
    def hopeless(self) -> bool:
        """True if too many cells are wrong, whatever follows."""
        return not self.patient and self.wrong > HOPELESS and self.wrong > HOPELESS_SHARE * (self.right + self.wrong)

    @property
    def cells(self) -> int:
        """The cells that were tried."""
        return self.right + self.wrong

    @property
    def nearly_fits(self) -> bool:
        """True if most cells fit, but more do not than typing errors."""
        return not self.fits and self.cells >= FEWEST_MIXED and self.right >= MOSTLY * self.cells

    @property
    def bounds(self) -> dict[str, float]:
        """The smallest and the largest value, as a column stores them; empty without a value."""
        if not math.isfinite(self.low):
            return {}
        unit = date_cells.MS_OF_DAY if self.column.kind == "date" else 1
        return {"minimum": self.low / unit, "maximum": self.high / unit}

    @property
    def fits(self) -> bool:
        """True if there are cells, and no more wrong cells than typing errors."""
        slips = max(self.cells // ROWS_PER_SLIP, int(self.cells >= FEWEST_ROWS))
        return self.right > 0 and self.wrong <= slips

    def add(self, texts: pa.Array, counts: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Add cells, none empty, as different texts with counts and the first row of each."""
        if self.hopeless:
            return
        if len(texts) > HEAD:
            self._add(texts[:HEAD], counts[:HEAD], rows[:HEAD])
            texts, counts, rows = texts[HEAD:], counts[HEAD:], rows[HEAD:]
        if not self.hopeless:
            self._add(texts, counts, rows)

    def _add(self, texts: pa.Array, counts: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        coerced = column_types.coerce(texts, self.column, self.decimal)
        wrong = int(counts[coerced.bad].sum())
        self.wrong, self.right = self.wrong + wrong, self.right + int(counts.sum()) - wrong
        for at in coerced.bad[: HOPELESS + 1].tolist():
            self.slips.setdefault(texts[at].as_py(), int(rows[at]))
        values = coerced.values
        if not self.example and len(values) > values.null_count:
            self.example = max(texts.filter(pc.is_valid(values))[:HEAD].to_pylist(), key=len)
        if len(values) == values.null_count or self.column.kind == "boolean":
            return
        values = pc.cast(values, pa.int64()) if self.column.kind == "date" else values
        bounds = pc.min_max(values).as_py()
        self.low, self.high = min(self.low, bounds["min"]), max(self.high, bounds["max"])
        self.fractions = self.fractions or not pc.all(pc.equal(pc.floor(values), values)).as_py()
        if self.column.kind == "number":
            right = texts.filter(pc.is_valid(values)) if len(coerced.bad) else texts
            self.whole = self.whole and bool(pc.all(pc.match_substring_regex(right, WRITTEN_AS_WHOLE)).as_py())
            self.marked = self.marked or bool(pc.any(pc.match_substring(right, self.decimal)).as_py())


def plain(kind: Kind, decimal: str = ".") -> Guess:
    """A guess at cells without a notation of their own."""
    return Guess(Column(name="?", kind=kind), decimal)
