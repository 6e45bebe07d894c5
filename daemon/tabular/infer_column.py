"""The profile of a column: the properties of its cells that decide its kind, from successive chunks.

For `csv_profile` (a whole file) and `schema_growth` (a column to be added to the schema).
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.daemon.schema.cell_notation import CERTAIN, MARKERS, Notation, Order, is_short
from retraind.daemon.schema.column import EXACT, MOST_CATEGORIES, Column, Kind
from retraind.daemon.tabular import column_formats, column_types, date_cells

FREE_TEXT = "free text or an id"
"""The beginning of the reason why such a column is not a category."""

DISTINCT_SHARE, DISTINCT_ROWS = 0.9, 20
"""A text column with at least this share of different values in at least this many rows is an id, however few values it
has."""

LEADING_ZERO = r"^[+-]?0[0-9]"
"""007 is a name made of digits: as a number it would lose its zeros."""

WRITTEN_AS_WHOLE = r"^[+-]?[0-9]+$"

HEAD = 100
"""Number of cells that are tried first."""

ROWS_PER_SLIP, FEWEST_ROWS = 1_000, 100
"""One wrong cell in ROWS_PER_SLIP counts as a typing error, and so does a single one in at least FEWEST_ROWS; the other
cells decide the kind."""

HOPELESS, HOPELESS_SHARE = 20, 0.1
"""With more wrong cells than this number and this share, the kind is ruled out, whatever follows."""

RARE = 0.1
"""Maximum share of the cells up to which an ambiguous text among names counts as a missing value."""


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

    @property
    def hopeless(self) -> bool:
        """True if too many cells are wrong, whatever follows."""
        return self.wrong > HOPELESS and self.wrong > HOPELESS_SHARE * (self.right + self.wrong)

    @property
    def fits(self) -> bool:
        """True if there are cells, and no more wrong cells than typing errors."""
        cells = self.right + self.wrong
        return self.right > 0 and self.wrong <= max(cells // ROWS_PER_SLIP, int(cells >= FEWEST_ROWS))

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


def _guess(kind: Kind, decimal: str = ".") -> Guess:
    return Guess(Column(name="?", kind=kind), decimal)


@dataclass
class ColumnProfile:
    """The texts of one column so far, and guesses at its kind."""

    rows: int = 0
    empty: int = 0
    markers: Counter[str] = field(default_factory=Counter)
    """Texts that may mean a missing value, with counts."""
    texts: set[str] = field(default_factory=set)
    """Distinct trimmed texts apart from markers; only some of them if there are more than MOST_CATEGORIES."""
    numbers: dict[str, Guess] = field(default_factory=lambda: {".": _guess("number", "."), ",": _guess("number", ",")})
    """By decimal mark."""
    others: tuple[Guess, ...] = field(default_factory=lambda: (_guess("boolean"), _guess("date")))
    example: str = ""
    """The first text that is neither empty nor a marker."""
    names: bool = False
    """True if a cell is a whole number with leading zeros."""

    def add(self, cells: pa.Array) -> None:
        """Add the next text cells of the column."""
        before, self.rows = self.rows, self.rows + len(cells)
        encoded = pc.utf8_trim_whitespace(cells).dictionary_encode()
        texts, indices = encoded.dictionary, encoded.indices.to_numpy()
        counts = np.bincount(indices, minlength=len(texts))
        rows = np.full(len(texts), before)
        rows[indices[::-1]] = before + np.arange(len(indices))[::-1]
        absent = pc.is_in(texts, value_set=pa.array(["", *MARKERS])).to_numpy(zero_copy_only=False)
        for at in np.flatnonzero(absent).tolist():
            marker = texts[at].as_py()
            self.markers[marker] += int(counts[at])
        self.empty += self.markers.pop("", 0)
        filled = np.flatnonzero(~absent)
        if len(filled):
            self._look(texts.take(filled), counts[filled], rows[filled])

    def _look(self, texts: pa.Array, counts: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        self.example = self.example or texts[0].as_py()
        if len(self.texts) <= MOST_CATEGORIES:
            self.texts.update(texts[: 2 * MOST_CATEGORIES + 2].to_pylist())
        for guess in (*self.numbers.values(), *self.others):
            guess.add(texts, counts, rows)
        if not all(guess.hopeless for guess in self.numbers.values()):
            self.names = self.names or bool(pc.any(pc.match_substring_regex(texts, LEADING_ZERO)).as_py())

    @property
    def filled(self) -> int:
        """Cells that are neither empty nor a marker."""
        return self.rows - self.empty - self.markers.total()

    @classmethod
    def trying(cls, notations: Iterable[tuple[Kind, Notation]]) -> Self:
        """A profile that also tries these notations of numbers or dates."""
        profile = cls()
        guesses = tuple(Guess(Column(name="?", kind=kind, notation=notation)) for kind, notation in notations)
        profile.others = (*profile.others, *guesses)
        return profile

    def notations(self, decimal: str, order: Order | None = None) -> list[tuple[Kind, Notation]]:
        """Notations that the cells may have, unless they are plain numbers or dates; `order` decides between two.

        Two-digit years count only with an order that has them.
        """
        if self.guess(decimal) is not None:
            return []
        texts = sorted(self.texts)[: 2 * MOST_CATEGORIES]
        numbers = [] if self.names else column_formats.numbers(texts, comma=decimal == ",")
        orders = [*column_formats.dates(texts), *(column_formats.dates(texts, short=True) if is_short(order) else [])]
        chosen = [one for one in orders if order and one.replace("yy", "year") == order.replace("yy", "year")]
        dates = [Notation(order=one) for one in chosen or orders]
        return [("number", one) for one in numbers] + [("date", one) for one in dates]

    @property
    def short_dates(self) -> list[Order]:
        """The orders in which the cells may be dates with two-digit years."""
        return column_formats.dates(sorted(self.texts)[: 2 * MOST_CATEGORIES], short=True)

    def number(self, decimal: str) -> Guess | None:
        """The guess that the cells are numbers, if it fits and none is written like 007."""
        guess = self.guess(decimal)
        return guess if guess is not None and guess.column.kind == "number" else None

    @property
    def orders(self) -> list[Order]:
        """The orders in which the cells are dates."""
        notations = [guess.column.notation for guess in self.others if guess.fits and guess.column.notation]
        return [notation.order for notation in notations if notation.order]

    def guess(self, decimal: str) -> Guess | None:
        """The first guess that fits; None if the column is a category or text."""
        numbers = [] if self.names else [self.numbers[decimal]]
        return next((guess for guess in (*numbers, *self.others) if guess.fits), None)

    def missing(self, decimal: str) -> dict[str, int]:
        """The texts that mean a missing value here, with counts.

        In columns of numbers, dates and booleans, or with markers only, all markers do; in columns of names only rare
        ones.
        """
        rare = RARE * (self.rows - self.empty)
        if self.guess(decimal) is not None or not self.filled:
            return dict(self.markers)
        return {text: count for text, count in self.markers.items() if count <= rare}

    def labels(self, decimal: str) -> tuple[list[str], dict[str, int]]:
        """Names of the classes of a target, and its texts for a missing label, with counts.

        A text in CERTAIN is never a class, however frequent.
        """
        missing = self.missing(decimal) | {text: count for text, count in self.markers.items() if text in CERTAIN}
        guess = self.guess(decimal)
        slips = set() if guess is None else guess.slips.keys()
        return sorted({*(self.texts - slips), *(self.markers.keys() - missing.keys())}), missing

    def as_kind(self, name: str, kind: Kind) -> Column:
        """The feature with a kind that the user chose."""
        missing = [] if kind == "category" else sorted(self.missing(".") if kind == "text" else self.markers)
        categories = sorted({*self.texts, *self.markers})[:MOST_CATEGORIES] if kind == "category" else []
        return Column(
            name=name, kind=kind, missing=bool(self.empty or missing), missing_values=missing, categories=categories
        )

    def column(self, name: str, decimal: str) -> Column:
        """The feature that the cells suggest; raises ValueError with the reason if there is none.

        Its `missing_values` are the texts read as a missing value.
        """
        markers = self.missing(decimal)
        notation = guess.column.notation if (guess := self.guess(decimal)) else None
        base = Column(
            name=name,
            kind="category",
            notation=notation,
            missing=self.empty > 0 or bool(markers),
            missing_values=sorted(markers),
        )
        if not self.filled and len(markers) == len(self.markers):
            raise ValueError("every cell is empty" + (f" or one of {', '.join(markers)}" if markers else ""))
        if guess is None:
            return base.model_copy(update={"categories": self._categories(markers)})
        low, high, kind = guess.low, guess.high, guess.column.kind
        if kind == "boolean":
            return base.model_copy(update={"kind": kind})
        if kind == "date":
            low, high = low / date_cells.MS_OF_DAY, high / date_cells.MS_OF_DAY
        elif guess.whole and max(-low, high) <= EXACT:
            kind = "integer"
        return base.model_copy(update={"kind": kind, "minimum": low, "maximum": high})

    def _categories(self, missing: dict[str, int]) -> list[str]:
        texts = self.texts | (self.markers.keys() - missing.keys())
        if len(texts) > MOST_CATEGORIES:
            raise ValueError(f"{FREE_TEXT}: more than {MOST_CATEGORIES} texts, such as {min(texts)!r:.80}")
        filled = self.rows - self.empty - sum(missing.values())
        if filled >= DISTINCT_ROWS and len(texts) >= DISTINCT_SHARE * filled:
            raise ValueError(f"an id: {len(texts)} texts in {filled} rows, such as {min(texts)!r:.80}")
        return sorted(text for text in texts if not column_types.holds_control(text))
