"""A survey of a column: what its cells have in common, so that its kind can be told. Chunks may come one by one.

Level 1, for `draft` (a whole file) and `rows` (a column that the schema lacks and that is to be added).
"""

import math
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from daemon import kinds
from daemon.schema import EXACT, Column, Kind

MOST_CATEGORIES = 100
"""A text column with more distinct values is taken for free text or an id, which no candidate can learn from."""

DISTINCT_SHARE, DISTINCT_ROWS = 0.9, 20
"""A text column with at least so large a share of different values in at least so many rows is an id, however few it has."""

LEADING_ZERO = r"^[+-]?0[0-9]"
"""007 is a name that is written in digits: as a number it would lose its zeros."""

WRITTEN_AS_WHOLE = r"^[+-]?[0-9]+$"

HEAD = 100
"""So many cells are tried before all are."""


@dataclass
class Bounds:
    """What is known of cells that all have been of one kind; `fits` is False for ever once one was not."""

    fits: bool = True
    low: float = math.inf
    high: float = -math.inf
    fractions: bool = False
    """Whether a value is not whole."""

    def add(self, cells: pa.Array, kind: Kind, decimal: str = ".") -> None:
        """Take account of more cells, none of them empty."""
        column = Column(name="?", kind=kind)
        if not self.fits or len(kinds.coerce(cells[:HEAD], column, decimal).bad):
            self.fits = False
            return
        coerced = kinds.coerce(cells, column, decimal)
        if len(coerced.bad):
            self.fits = False
            return
        values = pc.cast(coerced.values, pa.int64()) if kind == "date" else coerced.values
        bounds = pc.min_max(values).as_py()
        self.low, self.high = min(self.low, bounds["min"]), max(self.high, bounds["max"])
        self.fractions = self.fractions or not pc.all(pc.equal(pc.floor(values), values)).as_py()


@dataclass
class Survey:
    """All that has been seen of one column."""

    rows: int = 0
    empty: int = 0
    texts: set[str] = field(default_factory=set)
    """Distinct trimmed texts; once there are more than MOST_CATEGORIES, only some of them."""
    numbers: dict[str, Bounds] = field(default_factory=lambda: {".": Bounds(), ",": Bounds()})
    """By decimal mark."""
    marks: set[str] = field(default_factory=set)
    """Decimal marks that occur in the numbers."""
    dates: Bounds = field(default_factory=Bounds)
    whole: bool = True
    """Whether all numbers are written as whole ones."""
    names: bool = False
    """Whether a cell is a whole number with leading zeros."""

    def add(self, cells: pa.Array) -> None:
        """Take account of the next text cells of the column."""
        self.rows += len(cells)
        cells = pc.utf8_trim_whitespace(cells)
        filled = cells.filter(pc.not_equal(cells, ""))
        self.empty += len(cells) - len(filled)
        if not len(filled):
            return
        unique = pc.unique(filled)
        if len(self.texts) <= MOST_CATEGORIES:
            self.texts.update(unique[: 2 * MOST_CATEGORIES + 2].to_pylist())
        for decimal, bounds in self.numbers.items():
            bounds.add(unique, "number", decimal)
            if bounds.fits and pc.any(pc.match_substring(unique, decimal)).as_py():
                self.marks.add(decimal)
        if any(bounds.fits for bounds in self.numbers.values()):
            self.whole = self.whole and bool(pc.all(pc.match_substring_regex(unique, WRITTEN_AS_WHOLE)).as_py())
            self.names = self.names or bool(pc.any(pc.match_substring_regex(unique, LEADING_ZERO)).as_py())
        self.dates.add(unique, "date")

    def is_numeric(self, decimal: str) -> bool:
        """Whether every cell that is not empty is a number, none of them one like 007."""
        return self.rows > self.empty and self.numbers[decimal].fits and not self.names

    def column(self, name: str, decimal: str) -> Column:
        """The feature that the cells suggest; raises ValueError with the reason why they make none."""
        missing = self.empty > 0
        if self.rows == self.empty:
            raise ValueError("every cell is empty")
        if self.is_numeric(decimal):
            low, high = self.numbers[decimal].low, self.numbers[decimal].high
            kind: Kind = "integer" if self.whole and max(-low, high) <= EXACT else "number"
            return Column(name=name, kind=kind, missing=missing, minimum=low, maximum=high)
        if {text.lower() for text in self.texts} <= kinds.BOOLEANS.keys():
            return Column(name=name, kind="boolean", missing=missing)
        if self.dates.fits:
            low, high = self.dates.low / kinds.MS_OF_DAY, self.dates.high / kinds.MS_OF_DAY
            return Column(name=name, kind="date", missing=missing, minimum=low, maximum=high)
        if len(self.texts) > MOST_CATEGORIES:
            raise ValueError(f"free text or an id: more than {MOST_CATEGORIES} texts, such as {min(self.texts)!r:.80}")
        filled = self.rows - self.empty
        if filled >= DISTINCT_ROWS and len(self.texts) >= DISTINCT_SHARE * filled:
            raise ValueError(f"an id: {len(self.texts)} texts in {filled} rows, such as {min(self.texts)!r:.80}")
        categories = sorted(text for text in self.texts if not kinds.holds_control(text))
        return Column(name=name, kind="category", missing=missing, categories=categories)
