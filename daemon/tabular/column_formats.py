"""Column formats: notations that a column's texts suggest, such as 1,234 or $5.00 or 31/01/2024.

Pure, for `infer_schema`. A suggestion is based on some texts; a second pass over all of them decides whether it fits.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import product
from typing import Literal

from retraind.daemon.schema.cell_notation import DATES, SPACES, Notation, Order, is_short, pattern

DATE = re.compile(r"[0-9]{1,4}[/.-][0-9]{1,2}[/.-][0-9]{1,4}(?:[T, ].*)?")

CURRENCIES = r"[$€£¥₹₩₽₺]|[A-Z]{1,2}\$|kr|zł|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|KRW|TRY|SGD|HKD"
"""Known currencies only, because ABC123 is a name."""

NUMBER = re.compile(
    r"[+-]?(?P<before>{unit})?[{s}]?[+-]?[0-9.,][0-9.,'{s}]*?[{s}]?(?P<after>%|{unit})?".replace("{s}", SPACES).replace(
        "{unit}", CURRENCIES
    )
)

MOST_SLIPS = 0.1
"""Share of the texts that may not fit: they may be typing errors."""

Marks = tuple[Literal[".", ","], Literal["", ",", ".", " ", "'"]]


def dates(texts: Collection[str], *, short: bool = False) -> list[Order]:
    """The orders in which the texts may be dates: both, if no day is above 12. `short` dates have two-digit years."""
    if not texts or sum(DATE.fullmatch(text) is not None for text in texts) < (1 - MOST_SLIPS) * len(texts):
        return []
    orders = [order for order in DATES if is_short(order) == short]
    return [order for order in orders if _most(Notation(order=order).moment(text) is not None for text in texts)]


def numbers(texts: Collection[str], *, comma: bool) -> list[Notation]:
    """The notations in which the texts may be numbers, the likeliest first. With `comma`, 1,234 is 1.234 rather than 1234."""
    matches = [match for text in texts if (match := NUMBER.fullmatch(text))]
    plain = pattern(Notation(decimal="," if comma else "."))
    if len(matches) < (1 - MOST_SLIPS) * len(texts) or all(re.search(plain, match[0]) for match in matches):
        return []
    units = Counter(match["before"] or match["after"] for match in matches)
    units.pop(None, 0)
    if len(units) > 1:
        return []
    unit = next(iter(units), "")
    marks: list[Marks] = list(_marks(comma=comma))
    notations = [Notation(decimal=decimal, thousands=between, unit=unit) for decimal, between in marks]
    return [one for one in notations if _most(re.search(pattern(one), text) is not None for text in texts)]


def dates_among(texts: Collection[str], *, short: bool = False) -> list[Order]:
    """As `dates`, for those of the texts that look like dates."""
    return dates([text for text in texts if DATE.fullmatch(text)], short=short)


def numbers_among(texts: Collection[str], *, comma: bool) -> list[Notation]:
    """As `numbers`, for those of the texts that look like numbers, in the unit that most of them have."""
    matches = [match for text in texts if (match := NUMBER.fullmatch(text))]
    units = Counter(match["before"] or match["after"] for match in matches)
    units.pop(None, 0)
    unit = max(units, key=lambda text: units[text], default=None)
    return numbers([one[0] for one in matches if (one["before"] or one["after"]) in (unit, None)], comma=comma)


def of_example(text: str, *, comma: bool) -> list[Notation]:
    """The notations that one text shows, of a number or a date; several if it can be read in several ways."""
    if text in DATES:
        return [Notation(order=order) for order in DATES if order == text]
    if orders := dates([text]) or dates([text], short=True):
        return [Notation(order=order) for order in orders]
    ways = {notation.number(text): notation for notation in reversed(numbers([text], comma=comma))}
    return list(ways.values())


def _marks(*, comma: bool) -> Iterator[Marks]:
    decimals: tuple[Literal[".", ","], ...] = (",", ".") if comma else (".", ",")
    # No separator comes last: all numbers may be below 1,000 in this file, but larger in the next.
    separators: tuple[Literal["", ",", ".", " ", "'"], ...] = (",", ".", " ", "'", "")
    return ((decimal, between) for decimal, between in product(decimals, separators) if decimal != between)


def _most(fitting: Iterator[bool]) -> bool:
    fits = list(fitting)
    return sum(fits) >= (1 - MOST_SLIPS) * len(fits)
