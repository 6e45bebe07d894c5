"""Conditions that several lists share: parts of texts, times and ranges, in the SQL of SQLite and PostgreSQL."""

from collections.abc import Iterable

from retraind.daemon.records.query import Value
from retraind.daemon.records.search.pages import Condition

LETTERS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
"""Both databases ignore the case of these letters only."""


def contains(column: str, part: str) -> Condition:
    """Rows with a text that contains `part`; the case of ASCII letters is ignored."""
    pattern = part.translate(LETTERS)
    for mark in ("\\", "%", "_"):
        pattern = pattern.replace(mark, f"\\{mark}")
    return Condition(f"LOWER({column}) LIKE ? ESCAPE '\\'", (f"%{pattern}%",))


def begins(column: str, start: str) -> Condition:
    """Rows with a text that begins with `start`, not empty; an index of the column answers it."""
    after = start[:-1] + chr(ord(start[-1]) + 1)
    return Condition(f"{column} >= ? AND {column} < ?", (start, after))


def equal(column: str, value: Value) -> Condition:
    """Rows with this value."""
    return Condition(f"{column} = ?", (value,))


def between(column: str, low: Value, high: Value) -> list[Condition]:
    """Rows with at least `low` and at most `high`; None: no limit."""
    ends = ((">=", low), ("<=", high))
    return [Condition(f"{column} {sign} ?", (end,)) for sign, end in ends if end is not None]


def during(column: str, since: str | None, until: str | None) -> list[Condition]:
    """Rows with a time (UTC, ISO 8601) from `since` on and before `until`; None: no limit."""
    ends = ((">=", since), ("<", until))
    return [Condition(f"{column} {sign} ?", (end,)) for sign, end in ends if end]


def among(column: str, values: Iterable[str]) -> Condition:
    """Rows with one of these values."""
    chosen = tuple(values)
    return Condition(f"{column} IN ({', '.join('?' * len(chosen))})", chosen)
