"""The types of profiles: how the values of columns are distributed, in a drop and among training rows."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)

MOST_COUNTS = 12
"""Maximum number of values of a category that are counted by name."""


class ColumnProfile(TypedDict):
    """A column: its rows, how many lack a value, and quantiles of numbers (words of a text) or counts of categories."""

    n: int
    missing: int
    quantiles: NotRequired[list[float]]
    """QUANTILES of the values; empty without any. A date is days since 1970."""
    counts: NotRequired[list[tuple[str, int]]]
    """The most frequent values."""
    distinct: NotRequired[int]


class DropProfile(TypedDict):
    """The columns of a drop's rows."""

    rows: int
    columns: dict[str, ColumnProfile]


class ProfileOrder(TypedDict):
    """The rows to look at: those of the `drop` (sha256) in the segments at `paths`; `kinds` of the columns by name."""

    paths: list[str]
    drop: str
    kinds: Mapping[str, str]
