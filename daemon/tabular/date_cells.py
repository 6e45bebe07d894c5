"""Dates: converts text cells to milliseconds since 1970-01-01 UTC, from ISO 8601 and one order of day, month and year."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.daemon.schema.cell_notation import DATES, PIVOT, Order, is_short

DATE = (
    r"^(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[T ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?:Z|(?P<zone>[+-][0-9]{2}):?(?P<zone_minutes>[0-9]{2})?)?)?$"
)
"""ISO 8601: a day, or a day and a time with or without seconds, fraction and zone. Without a zone it is UTC."""

PARTS = {"year", "month", "day", "hour", "minute", "second", "zone", "zone_minutes"}
"""The groups of a date pattern that hold digits."""

EXAMPLES: dict[Order, str] = {
    "day/month/year": "31/01/2026",
    "month/day/year": "01/31/2026",
    "year/month/day": "2026/01/31",
    "day/month/yy": "31/01/26",
    "month/day/yy": "01/31/26",
    "yy/month/day": "26/01/31",
}

MS_OF_DAY = 86_400_000
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
"""Years 1 to 9999, as in Python's datetime."""


def example(order: Order | None, cell: str = "") -> str:
    """Dates that a column with this order accepts, for a message, with the separator of a cell."""
    if order is None:
        return "2026-01-31 or 2026-01-31T12:00:00Z"
    mark = next((mark for mark in "./" if mark in cell), "/")
    return f"{EXAMPLES[order].replace('/', mark)} or 2026-01-31"


def is_written(cell: str, order: Order | None) -> bool:
    """Whether a cell is written like a date, whether the calendar has it or not."""
    patterns = [DATE, DATES[order]] if order else [DATE]
    return any(re.search(pattern, cell) for pattern in patterns)


def read(cells: pa.Array, order: Order | None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Milliseconds since 1970 (n,), and a mask of the cells that are dates in ISO 8601 or in this order.

    No text is both.
    """
    ms, valid = _moments(cells, DATE)
    if order is not None:
        ordered, in_order = _moments(cells, DATES[order], short=is_short(order))
        ms, valid = np.where(in_order, ordered, ms), valid | in_order
    return ms, valid


def _moments(cells: pa.Array, pattern: str, *, short: bool = False) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Milliseconds since 1970, and a mask of the cells that are dates of the pattern."""
    parts = pc.extract_regex(cells, pattern)
    valid = np.array(pc.is_valid(parts))
    names = {field.name for field in parts.type}
    part = {name: _integers(pc.struct_field(parts, name), valid) for name in names & PARTS}
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.struct_field(parts, "fraction"), 3, "0"), 0, 3)
    if short:
        part["year"] = np.where(part["year"] >= PIVOT, 1900, 2000) + part["year"]
    months = ((part["year"] - 1970) * 12 + part["month"] - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (part["day"] - 1)
    valid &= (
        (part["month"] >= 1) & (part["month"] <= 12) & (part["day"] >= 1) & (days.astype("datetime64[M]") == months)
    )
    hour, offset = part["hour"], np.zeros(len(cells), np.int64)
    if "half" in names:
        half = _text(pc.struct_field(parts, "half"))
        valid &= (half == "") | ((hour >= 1) & (hour <= 12))
        hour = np.where(half == "", hour, hour % 12 + 12 * np.isin(half, ["P", "p"]))
    if "zone" in names:
        valid &= (np.abs(part["zone"]) < 24) & (part["zone_minutes"] < 60)
        west = np.asarray(pc.fill_null(pc.starts_with(pc.struct_field(parts, "zone"), "-"), False))
        offset = part["zone"] * 60 + np.where(west, -part["zone_minutes"], part["zone_minutes"])
    valid &= (hour < 24) & (part["minute"] < 60) & (part["second"] < 60)
    minutes = hour * 60 + part["minute"] - offset
    ms = days.astype(np.int64) * MS_OF_DAY + (minutes * 60 + part["second"]) * 1000 + _integers(fraction, valid)
    return ms, valid & (ms >= FIRST_MS) & (ms <= LAST_MS) & (part["year"] >= 1)


def _text(parts: pa.Array) -> NDArray[np.str_]:
    return np.asarray(pc.fill_null(parts, "").to_numpy(zero_copy_only=False), dtype=np.str_)


def _integers(digits: pa.Array, valid: NDArray[np.bool_]) -> NDArray[Any]:
    """The digits of a part of a date as int64; 0 where there are none."""
    digits = pc.fill_null(digits, "")
    there = pc.and_(pa.array(valid), pc.not_equal(digits, ""))
    text = pc.if_else(there, digits, "0")
    return np.asarray(pc.cast(pc.replace_substring(text, "+", ""), pa.int64()))
