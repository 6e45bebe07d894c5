"""A column: the values that its cells may hold, and the number that each becomes.

Shared with `web`, so it needs no library except pydantic.
"""

import math
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.schema.cell_notation import Notation
from retraind.daemon.schema.text_words import MOST_TEXT

Kind = Literal["number", "integer", "boolean", "category", "date", "text"]

UNKNOWN = -1.0
"""The code of a missing category, and of a category that the schema does not list."""

EXACT = 2**53
"""Integers beyond this are not exact in a double."""

JSON_NAMES = {bool: "true or false", list: "a list", dict: "an object"}
"""Names of JSON values in messages about a number."""

BOUND = 1e100
"""The largest number in data and requests: no measurement is larger, and sums, products and squares must stay finite.
"""

MOST_CATEGORIES = 100
"""Maximum number of categories; a text column with more distinct values counts as free text (kind `text`) or an id."""

DAY = 86_400.0


def is_nothing(value: Any) -> bool:
    """True if a newer key has its default value. Then it is not written, so that older programs can read the file."""
    return not value


class Column(BaseModel):
    """One feature.

    `minimum`, `maximum` and `categories` come from the file given to `init`; values beyond them are not an error.
    `minimum` and `maximum` of a date are days since 1970-01-01 UTC, as in the model's input.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    kind: Kind
    missing: bool = False
    """True if an empty cell (CSV) or null (JSON) is allowed."""
    missing_values: list[str] = Field(default_factory=list, exclude_if=is_nothing)
    """Texts that mean a missing value in this column, in addition to those of the file."""
    notation: Notation | None = Field(default=None, exclude_if=is_nothing)
    """The notation of its numbers or dates, if not the plain one; texts in JSON may use it, too."""
    categories: list[str] = Field(default_factory=list)
    minimum: float | None = None
    maximum: float | None = None

    def decimal_mark(self, decimal: str) -> str:
        """The decimal mark of its cells, for a file with the mark `decimal`."""
        return self.notation.decimal if self.notation else decimal

    @cached_property
    def codes(self) -> dict[str, float]:
        """Category to its code: 0.0, 1.0 and so on."""
        return {name: float(code) for code, name in enumerate(self.categories)}

    def encode(self, value: Any) -> float:
        """One JSON value as a number (NaN: missing); raises InvalidFeatures."""
        if value is None:
            if self.missing:
                return UNKNOWN if self.kind == "category" else math.nan
            raise InvalidFeatures(f"{self.name!r} must not be null.", field=self.name)
        if self.kind == "number":  # first, because nearly every value of nearly every request is one
            return self._number(value)
        if self.kind == "category":
            if not isinstance(value, str):
                raise InvalidFeatures(f"{self.name!r} is a category: give a string.", field=self.name)
            return self.codes.get(value, UNKNOWN)
        if self.kind == "boolean":
            if not isinstance(value, bool):
                raise InvalidFeatures(f"{self.name!r} is a boolean: give true or false.", field=self.name)
            return float(value)
        if self.kind == "text":
            return self._text(value)
        return self._date(value) if self.kind == "date" else self._integer(value)

    def _text(self, value: Any) -> float:
        """A placeholder for the count of its words, which `row_encoding` fills in."""
        if not isinstance(value, str):
            raise InvalidFeatures(f"{self.name!r} is a text: give a string.", field=self.name)
        if len(value) > MOST_TEXT:
            raise InvalidFeatures(
                f"{self.name!r} has {len(value)} characters; a text may have at most {MOST_TEXT}.", field=self.name
            )
        return 0.0

    def _number(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            if isinstance(value, str) and self.notation and (number := self.notation.number(value.strip())) is not None:
                return self._number(number)
            raise InvalidFeatures(f"{self.name!r} is a number, not {_named(value)}.", field=self.name)
        if not -BOUND <= value <= BOUND:
            raise InvalidFeatures(f"{self.name!r} must be a number between -1e100 and 1e100.", field=self.name)
        return float(value)

    def _integer(self, value: Any) -> float:
        number = self._number(value)
        value = number if isinstance(value, str) else value
        # The value is compared as given, because as a double, 2**53 + 1 would be 2**53.
        if number != math.floor(number) or abs(value) > EXACT:
            raise InvalidFeatures(
                f"{self.name!r} is a whole number, at most 2**53, not {value!r:.40}.", field=self.name
            )
        return number

    def _date(self, value: Any) -> float:
        try:
            if not isinstance(value, str):
                raise TypeError
            if self.notation and (written := self.notation.moment(value)):
                return written.timestamp() / DAY
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / DAY
        except (TypeError, ValueError):
            message = f"{self.name!r} is a date: give ISO 8601 text such as '2026-01-31' or '2026-01-31T12:00:00Z'."
            raise InvalidFeatures(message, field=self.name) from None


def _named(value: Any) -> str:
    """JSON's name of a value that is not a number; a text is quoted, since it may be a number in quotes."""
    return f"the text {value!r:.40}" if isinstance(value, str) else JSON_NAMES.get(type(value), "something else")
