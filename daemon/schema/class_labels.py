"""Class labels: finds the known class that a label's text means.

Pure functions. A label is compared with the names as written, then as a number. It may be a code only if no class has a
number as its name, so that it can't mean another class.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
"""A plain decimal number with a point. The exponent is bounded, because `Decimal` works with every digit."""

CODE = re.compile(r"0|[1-9][0-9]{0,8}")


def number(text: str, decimal: str = ".") -> Decimal | None:
    """The exact value of a plain number (`1`, `1.0`, `01` have the same); None if the text is not one."""
    text = text.strip() if decimal == "." else text.strip().replace(decimal, ".")
    return Decimal(text) if NUMBER.fullmatch(text) else None


class Classes:
    """The classes of one schema, in the order of their codes 0, 1, …; `decimal` is the decimal mark of labels."""

    def __init__(self, names: Sequence[str], decimal: str = ".") -> None:
        self._names, self._decimal, self._known = names, decimal, frozenset(names)
        values = [(number(name, decimal), name) for name in names]
        counts = Counter(value for value, _ in values)
        self._numbers = {value: name for value, name in values if value is not None and counts[value] == 1}
        """Classes by their value; if two have the same value, as `1` and `01`, only the spelling distinguishes them."""
        self.have_codes = all(value is None for value, _ in values)
        """True if a label may be a code."""

    def named(self, label: str) -> str | None:
        """The class with this name; None if there is none."""
        if label in self._known:
            return label
        label = label.strip()
        if label in self._known:
            return label
        value = number(label, self._decimal)
        return None if value is None else self._numbers.get(value)

    def matching(self, label: str) -> str | None:
        """The class that a label in a CSV file means, by name or by code; None if there is none."""
        name = self.named(label)
        if name is None and self.have_codes and CODE.fullmatch(label := label.strip()):
            return self.at(int(label))
        return name

    def at(self, code: int) -> str | None:
        """The class with a code; None if there is none, or if classes have numbers as names."""
        return self._names[code] if self.have_codes and 0 <= code < len(self._names) else None

    def like(self, label: str) -> str | None:
        """A class that differs from the label only in case and spaces."""
        folded = _folded(label)
        return next((name for name in self._names if name != label and _folded(name) == folded), None)


def alike(names: Iterable[str]) -> Iterator[list[str]]:
    """Groups of names that differ only in case and spaces, each in the order given."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_folded(name), []).append(name)
    return (group for group in groups.values() if len(group) > 1)


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
