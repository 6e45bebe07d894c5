"""Notation: the ways in which cells write numbers, dates and missing values.

The patterns work in Python and in RE2, which Arrow uses for whole columns, with the same result.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

SPREADSHEET = (
    *("#N/A", "#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#SPILL!", "#CALC!", "#N/A N/A", "#NA"),
    *("#NV", "#WERT!", "#BEZUG!", "#ZAHL!", "#ÜBERLAUF!", "#KALK!"),
    *(
        "#NUL!",
        "#VALEUR!",
        "#NOM?",
        "#NOMBRE!",
        "#N/D",
        "#¡NULO!",
        "#¡DIV/0!",
        "#¡VALOR!",
        "#¡REF!",
        "#¿NOMBRE?",
        "#¡NUM!",
    ),
    *("#NULLO!", "#VALORE!", "#RIF!", "#NOME?", "#NULO!", "#VALOR!", "#NÚM!"),
    *("#N/B", "#LEEG!", "#DEEL/0!", "#WAARDE!", "#VERW!", "#NAAM?", "#GETAL!"),
)
"""Errors of spreadsheets, for which they have no value: in English, German, French and Spanish, Italian and Portuguese, Dutch."""

CERTAIN = (
    *("NA", "N/A", "n/a", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null"),
    *("NA_character_", "NA_integer_", "NA_real_", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    *SPREADSHEET,
)
"""Texts that programs write for a missing value and hardly ever with another meaning."""

DOUBTFUL = ("None", "none", "na", "?", "-", "--", ".")
"""Texts that mean a missing value in one file and are a name in another, as in a column of + and -."""

MARKERS = frozenset((*CERTAIN, *DOUBTFUL))
"""Texts that `init` reads as a missing value if the other cells leave no doubt."""

NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""A number: optionally with a decimal mark; no thousands separators, no hexadecimal, no `nan` or `inf`."""

Order = Literal["day/month/year", "month/day/year", "year/month/day", "day/month/yy", "month/day/yy", "yy/month/day"]
"""The order of a date's parts; `yy` is a two-digit year, which is only read on request."""

PIVOT = 69
"""The rule of POSIX: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068."""

SPACES = " \u00a0\u202f"
"""Blanks that programs write between thousands, including non-breaking ones."""

_PARTS = {
    "day": r"(?P<day>[0-9]{1,2})",
    "month": r"(?P<month>[0-9]{1,2})",
    "year": r"(?P<year>[0-9]{4})",
    "yy": r"(?P<year>[0-9]{2})",
}
_TIME = (
    r"(?:(?:T|,? )(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?)?"
)

DATES: dict[Order, str] = {
    order: f"^{'[/.-]'.join(_PARTS[part] for part in order.split('/'))}{_TIME}$" for order in get_args(Order)
}
"""A date in this order, optionally with a time in UTC."""


class Notation(BaseModel):
    """The notation of numbers or dates in a column; the plain notation is always read as well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decimal: Literal[".", ","] = "."
    """The decimal mark."""
    thousands: Literal["", ",", ".", " ", "'"] = ""
    """The separator of thousands."""
    unit: str = Field(default="", max_length=20)
    """A unit before or after a number, such as $ or %; it changes no value: 12.5% is 12.5."""
    order: Order | None = None
    """The order of a date's parts."""

    def number(self, text: str) -> float | None:
        """The number of a trimmed text; None if it is not one."""
        if not re.search(pattern(self), text):
            return None
        return float(stripped(text, self).replace(self.decimal, "."))

    def moment(self, text: str) -> datetime | None:
        """The time of a text with parts in this order; None if it is not one."""
        match = re.search(DATES[self.order], text.strip()) if self.order else None
        if match is None:
            return None
        part = {name: int(digits) for name, digits in match.groupdict().items() if digits and digits.isdigit()}
        if is_short(self.order):
            part["year"] += century(part["year"])
        part["microsecond"] = int((match["fraction"] or "0")[:3].ljust(3, "0")) * 1000
        part.pop("fraction", None)
        if match["half"]:
            if not 1 <= part["hour"] <= 12:
                return None
            part["hour"] = part["hour"] % 12 + 12 * (match["half"] in "Pp")
        try:
            return datetime(**part, tzinfo=UTC)
        except ValueError:
            return None


def is_short(order: Order | None) -> bool:
    """True if dates in this order have two-digit years."""
    return order is not None and "yy" in order.split("/")


def century(year: int) -> int:
    """The century of a two-digit year."""
    return 1900 if year >= PIVOT else 2000


@lru_cache(maxsize=64)
def pattern(notation: Notation) -> str:
    """A pattern of numbers in a notation."""
    unit, mark = re.escape(notation.unit), re.escape(notation.decimal)
    between = f"[{SPACES}]" if notation.thousands == " " else re.escape(notation.thousands)
    groups = rf"[1-9][0-9]{{0,2}}(?:{between}[0-9]{{3}})+|" if notation.thousands else ""
    sign, after = "[+-]?", ""
    if unit:
        sign, after = rf"(?:[+-]?(?:{unit}[{SPACES}]?)?|{unit}[{SPACES}]?[+-])", rf"(?:[{SPACES}]?{unit})?"
    return rf"^{sign}(?:(?:{groups}[0-9]+)(?:{mark}[0-9]*)?|{mark}[0-9]+){after}$"


def stripped(text: str, notation: Notation) -> str:
    """A number of this notation without unit and thousands."""
    for taken in removed(notation):
        text = text.replace(taken, "")
    return text


def removed(notation: Notation) -> list[str]:
    """The texts to remove from a number of this notation."""
    between = list(SPACES) if notation.thousands == " " or notation.unit else []
    return [taken for taken in (notation.unit, *between, notation.thousands.strip()) if taken]
