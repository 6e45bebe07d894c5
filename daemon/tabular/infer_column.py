"""The profile of a column: the properties of its cells that decide its kind, from successive chunks.

For `csv_profile` (a whole file) and `schema_growth` (a column to be added to the schema).
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.daemon.schema.cell_notation import CERTAIN, MARKERS, Notation, Order, is_short
from retraind.daemon.schema.column import EXACT, MOST_CATEGORIES, Column, Kind
from retraind.daemon.tabular import column_formats, column_types
from retraind.daemon.tabular.kinds.guess import Guess, plain

FREE_TEXT = "free text or an id"
"""The beginning of the reason why such a column is not a category."""

DISTINCT_SHARE, DISTINCT_ROWS = 0.9, 20
"""A text column with at least this share of different values in at least this many rows is an id, however few values it
has."""

LEADING_ZERO = r"^[+-]?0[0-9]"
"""007 is a name made of digits: as a number it would lose its zeros."""

RARE = 0.1
"""Maximum share of the cells up to which an ambiguous text among names counts as a missing value."""


@dataclass
class ColumnProfile:
    """The texts of one column so far, and guesses at its kind."""

    rows: int = 0
    empty: int = 0
    markers: Counter[str] = field(default_factory=Counter)
    """Texts that may mean a missing value, with counts."""
    texts: set[str] = field(default_factory=set)
    """Distinct trimmed texts apart from markers; only some of them if there are more than MOST_CATEGORIES."""
    numbers: dict[str, Guess] = field(default_factory=lambda: {".": plain("number", "."), ",": plain("number", ",")})
    """By decimal mark."""
    others: tuple[Guess, ...] = field(default_factory=lambda: (plain("boolean"), plain("date")))
    example: str = ""
    """The first text that is neither empty nor a marker."""
    names: bool = False
    """True if a cell is a whole number with leading zeros."""
    missing_texts: Collection[str] = ()
    """Texts for which a person has said that they mean a missing value."""
    chosen: tuple[Guess, ...] = ()
    """Guesses of the kind that a person has chosen, by notation."""

    def add(self, cells: pa.Array) -> None:
        """Add the next text cells of the column."""
        before, self.rows = self.rows, self.rows + len(cells)
        encoded = pc.utf8_trim_whitespace(cells).dictionary_encode()
        texts, indices = encoded.dictionary, encoded.indices.to_numpy()
        counts = np.bincount(indices, minlength=len(texts))
        rows = np.full(len(texts), before)
        rows[indices[::-1]] = before + np.arange(len(indices))[::-1]
        absent = pc.is_in(texts, value_set=pa.array(["", *MARKERS, *self.missing_texts])).to_numpy(zero_copy_only=False)
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
        for guess in (*self.numbers.values(), *self.others, *self.chosen):
            guess.add(texts, counts, rows)
        if not all(guess.hopeless for guess in self.numbers.values()):
            self.names = self.names or bool(pc.any(pc.match_substring_regex(texts, LEADING_ZERO)).as_py())

    @property
    def filled(self) -> int:
        """Cells that are neither empty nor a marker."""
        return self.rows - self.empty - self.markers.total()

    @classmethod
    def trying(cls, notations: Iterable[tuple[Kind, Notation]], missing_texts: Collection[str] = ()) -> Self:
        """A profile that also tries these notations of numbers or dates."""
        profile = cls(missing_texts=missing_texts)
        guesses = tuple(Guess(Column(name="?", kind=kind, notation=notation)) for kind, notation in notations)
        profile.others = (*profile.others, *guesses)
        return profile

    @classmethod
    def choosing(
        cls, kind: Kind, notations: Iterable[Notation], decimal: str, missing_texts: Collection[str] = ()
    ) -> Self:
        """A profile that reads all cells as this kind: in the plain notation and in these."""
        guesses = [plain(kind, decimal), *(Guess(Column(name="?", kind=kind, notation=one)) for one in notations)]
        for guess in guesses:
            guess.patient = True
        return cls(missing_texts=missing_texts, chosen=tuple(guesses))

    def choices(self, kind: Kind, decimal: str, order: Order | None = None) -> list[Notation]:
        """The notations of a chosen kind that any of the cells may have."""
        texts = sorted(self.texts)[: 2 * MOST_CATEGORIES]
        if kind == "date":
            orders = column_formats.dates_among(texts, short=is_short(order))
            return [Notation(order=one) for one in orders if order is None or one == order]
        return column_formats.numbers_among(texts, comma=decimal == ",") if kind in ("number", "integer") else []

    @property
    def best(self) -> Guess | None:
        """The guess of the chosen kind that most cells fit; None if there is no chosen kind."""
        return max(self.chosen, key=lambda guess: guess.right, default=None)

    def nearly(self, decimal: str) -> Guess | None:
        """The guess at numbers or dates that most cells fit, if the column is not of that kind."""
        if self.guess(decimal) is not None or self.chosen:
            return None
        numbers = [] if self.names else [self.numbers[decimal]]
        guesses = [guess for guess in (*numbers, *self.others) if guess.nearly_fits and guess.column.kind != "boolean"]
        return max(guesses, key=lambda guess: guess.right, default=None)

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
        best = self.best
        fitting = [guess for guess in self.others if guess.fits]
        fitting += [guess for guess in self.chosen if best and best.right and guess.right == best.right]
        notations = [guess.column.notation for guess in fitting if guess.column.notation]
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
        return {text: n for text, n in self.markers.items() if n <= rare or text in self.missing_texts}

    def labels(self, decimal: str) -> tuple[list[str], dict[str, int]]:
        """Names of the classes of a target, and its texts for a missing label, with counts.

        A text in CERTAIN is never a class, however frequent.
        """
        missing = self.missing(decimal) | {text: n for text, n in self.markers.items() if text in CERTAIN}
        guess = self.guess(decimal)
        slips = set() if guess is None else guess.slips.keys()
        return sorted({*(self.texts - slips), *(self.markers.keys() - missing.keys())}), missing

    def as_kind(self, name: str, kind: Kind) -> Column:
        """The feature with a kind that the user chose."""
        if kind == "category":
            missing = sorted(self.markers.keys() & self.missing_texts)
        else:
            missing = sorted(self.missing(".") if kind == "text" else self.markers)
        names = sorted({*self.texts, *self.markers} - set(missing))[:MOST_CATEGORIES] if kind == "category" else []
        column = Column(
            name=name, kind=kind, missing=bool(self.empty or missing), missing_values=missing, categories=names
        )
        best = self.best
        if best is None or not best.right:
            return column
        bounds = best.bounds if kind != "boolean" else {}
        return column.model_copy(update={"notation": best.column.notation, **bounds})

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
            return base.model_copy(update={"categories": self._categories(markers, self.nearly(decimal))})
        kind = guess.column.kind
        if kind == "number" and guess.whole and max(-guess.low, guess.high) <= EXACT:
            kind = "integer"
        return base.model_copy(update={"kind": kind, **(guess.bounds if kind != "boolean" else {})})

    def _categories(self, missing: dict[str, int], nearly: Guess | None) -> list[str]:
        texts = self.texts | (self.markers.keys() - missing.keys())
        if len(texts) > MOST_CATEGORIES and nearly is not None:
            raise ValueError(f"nearly {nearly.column.kind}s: {nearly.wrong} of {nearly.cells} cells are not")
        if len(texts) > MOST_CATEGORIES:
            raise ValueError(f"{FREE_TEXT}: more than {MOST_CATEGORIES} texts, such as {min(texts)!r:.80}")
        filled = self.rows - self.empty - sum(missing.values())
        if filled >= DISTINCT_ROWS and len(texts) >= DISTINCT_SHARE * filled:
            raise ValueError(f"an id: {len(texts)} texts in {filled} rows, such as {min(texts)!r:.80}")
        return sorted(text for text in texts if not column_types.holds_control(text))
