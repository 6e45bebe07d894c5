"""Kinds: text cells to numbers, booleans, dates and categories, with a reason for each cell that is none.

For `rows` and `draft`. Nothing is left to a library's taste: what counts as a number or a date is written here,
and Arrow's casts are only asked first because they are fast. Both ways have the same outcome for every cell.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daemon.schema.notation import DATES, MARKERS, PIVOT, Notation, Order, is_short, pattern, removed
from daemon.schema.schema import EXACT, Column, Kind
from daemon.schema.text_words import MOST_TEXT

NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""What counts as a number: a decimal mark, no thousands separators, no hexadecimal, no `nan` or `inf`."""

DATE = (
    r"^(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[T ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?:Z|(?P<zone>[+-][0-9]{2}):?(?P<beside>[0-9]{2})?)?)?$"
)
"""ISO 8601: a day, or a day and a time with or without seconds, fraction and zone; without zone it is UTC."""

PARTS = {"year", "month", "day", "hour", "minute", "second", "zone", "beside"}
"""Groups of a pattern of dates that are digits."""

EXAMPLES: dict[Order, str] = {
    "day/month/year": "31/01/2026",
    "month/day/year": "01/31/2026",
    "year/month/day": "2026/01/31",
    "day/month/yy": "31/01/26",
    "month/day/yy": "01/31/26",
    "yy/month/day": "26/01/31",
}

CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"

MS_OF_DAY = 86_400_000
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
"""Years 1 to 9999, as Python's datetime."""

TYPES = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "date": pa.timestamp("ms", tz="UTC"),
    "text": pa.string(),
}
"""What a segment stores for each kind."""

BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

EMPTY = "The cell is empty and the schema allows no missing value here."

UNLABELLED = "The row has no label"
"""How the reason begins why a row without a target is refused."""


@dataclass(frozen=True)
class Coerced:
    """Typed values, null where the cell is empty or bad; `bad` are the indices of the bad cells, ascending."""

    values: pa.Array
    bad: NDArray[np.int64]
    reasons: list[str]
    """One for each of `bad`."""


Parsed = tuple[pa.Array, NDArray[np.bool_], Callable[[int], str]]
"""Values, which cells are bad, and the reason for one of them."""

NONE = np.zeros(0, np.int64)


def coerce(cells: pa.Array, column: Column, decimal: str = ".", markers: Sequence[str] = ()) -> Coerced:
    """Text cells as values of the column's kind; what is one of the `markers` is missing. Never raises."""
    decimal = column.notation.decimal if column.notation else decimal
    quick = _numbers_at_once(cells, column.kind, decimal)
    if quick is not None:
        return Coerced(quick, NONE, [])
    encoded = cells.dictionary_encode()
    if 2 * len(encoded.dictionary) > len(cells):
        return _coerce(cells, column, decimal, markers)
    # Each text once: most columns of categories, flags and days say the same few things over and over.
    once = _coerce(encoded.dictionary, column, decimal, markers)
    values = pc.take(once.values, encoded.indices)
    if not len(once.bad):
        return Coerced(values, NONE, [])
    reasons = dict(zip(once.bad.tolist(), once.reasons, strict=True))
    which = encoded.indices.to_numpy()
    bad = np.flatnonzero(np.isin(which, once.bad))
    return Coerced(values, bad, [reasons[i] for i in which[bad].tolist()])


def _coerce(cells: pa.Array, column: Column, decimal: str, markers: Sequence[str]) -> Coerced:
    cells = pc.utf8_trim_whitespace(cells)
    empty = _true(pc.is_in(cells, value_set=pa.array(["", *markers], pa.string())))
    filled = pc.if_else(pa.array(empty), None, cells) if empty.any() else cells
    notation = column.notation
    filled = filled if notation is None or column.kind == "date" else _plain(filled, notation)
    quick = _numbers_at_once(filled, column.kind, decimal)
    if quick is not None and (column.missing or not empty.any()):
        return Coerced(quick, NONE, [])
    values, bad, reason = _parse(filled, column, decimal)
    if not column.missing:
        bad = bad | empty
    at = np.flatnonzero(bad)
    values = pc.if_else(pa.array(bad), None, values) if len(at) else values
    return Coerced(values, at, [_missing(cells[i].as_py()) if empty[i] else reason(i) for i in at.tolist()])


def _plain(cells: pa.Array, notation: Notation) -> pa.Array:
    """Numbers of a notation without thousands and unit; what is none stays as it is, for the reason why it is bad."""
    text = cells
    for taken in removed(notation):
        text = pc.replace_substring(text, taken, "")
    return pc.if_else(pc.match_substring_regex(cells, pattern(notation)), text, cells)


def _missing(cell: str) -> str:
    return f"{shown(cell)} stands for a missing value, and the schema allows none here." if cell else EMPTY


def unlabelled(cell: str) -> str:
    """The reason why a row whose target is missing is none to learn from."""
    return f"{UNLABELLED}: {f'{shown(cell)} stands for a missing value' if cell else 'the cell is empty'}."


def hint(cell: str) -> str:
    """What to do about a cell that is bad, if it looks like a missing value; ends the sentence."""
    return "; leave the cell empty or add it to missing_values in data/schema.json." if cell in MARKERS else "."


def as_kind(cells: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    """Stored cells as the column's kind is now; null where a segment of other times has what can't be cast."""
    wanted, stored = TYPES[column.kind], cells.type
    if pa.types.is_dictionary(stored):
        cells, stored = cells.cast(stored.value_type), stored.value_type
    plain = pa.types.is_floating(stored) or pa.types.is_integer(stored) or pa.types.is_boolean(stored)
    if stored == wanted or (plain and column.kind in {"number", "integer"}):
        return cells
    texts = pc.fill_null(cells.cast(pa.string()), "").combine_chunks()
    return pa.chunked_array(
        [coerce(texts, Column(name=column.name, kind=column.kind, missing=True, notation=column.notation)).values]
    )


def holds_control(cell: str) -> bool:
    """Whether a text holds a character that no name should."""
    return re.search(CONTROL, cell) is not None


def shown(cell: str) -> str:
    """A cell as it stands in a reason: quoted, control characters escaped, cut to 80 characters."""
    return repr(cell[:80])


def _numbers_at_once(cells: pa.Array, kind: Kind, decimal: str) -> pa.Array | None:
    """All cells (null stays null) as numbers by Arrow's own cast; None if any is none, or may be none by our rules."""
    if kind not in {"number", "integer"}:
        return None
    if decimal == ",":
        if pc.any(pc.match_substring(cells, ".")).as_py():
            return None
        cells = pc.replace_substring(cells, ",", ".")
    try:
        numbers = pc.cast(cells, pa.float64())
    except pa.ArrowInvalid:
        return None
    values = numbers.to_numpy(zero_copy_only=False)
    finite = np.isfinite(values)
    if not finite.all() and np.count_nonzero(~finite) > numbers.null_count:
        return None
    return numbers if kind == "number" else _integers_at_once(numbers)


def _integers_at_once(numbers: pa.Array) -> pa.Array | None:
    try:
        return pc.cast(numbers, pa.int64()) if _exact(numbers).all() else None
    except pa.ArrowInvalid:
        return None


def _exact(numbers: pa.Array) -> NDArray[np.bool_]:
    """Which numbers are whole and exact as doubles; null counts as one."""
    values = pc.fill_null(numbers, 0.0).to_numpy(zero_copy_only=False)
    return np.asarray((np.abs(values) <= EXACT) & (values == np.floor(values)))


def _parse(cells: pa.Array, column: Column, decimal: str) -> Parsed:
    kind = column.kind
    if kind == "category":
        return cells, _true(pc.match_substring_regex(cells, CONTROL)), lambda _: "The cell holds a control character."
    if kind == "text":
        long = _true(pc.greater(pc.utf8_length(cells), MOST_TEXT))
        return cells, long, lambda at: f"The text has {len(cells[at].as_py())} characters; {MOST_TEXT} are the most."
    if kind == "boolean":
        return _booleans(cells)
    if kind == "date":
        return _dates(cells, column.notation.order if column.notation else None)
    return _numbers(cells, kind, decimal)


def _true(mask: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(mask, False))


_DECIMAL_HINT = {".": "", ",": ' with a decimal comma ("decimal" in data/schema.json)'}


def _numbers(cells: pa.Array, kind: Kind, decimal: str) -> Parsed:
    pattern = NUMBER if decimal == "." else NUMBER.replace(r"\.", ",")
    not_numbers = ~_true(pc.match_substring_regex(cells, pattern)) & _true(pc.is_valid(cells))
    text = pc.if_else(pa.array(not_numbers), None, cells)
    numbers = pc.cast(text if decimal == "." else pc.replace_substring(text, ",", "."), pa.float64())
    infinite = _true(pc.is_inf(numbers))
    bad = not_numbers | infinite
    if kind == "integer":
        inexact = ~_exact(numbers)
        bad |= inexact
        numbers = pc.cast(pc.if_else(pa.array(bad), None, numbers), pa.int64())

    def reason(at: int) -> str:
        cell = cells[at].as_py()
        if not_numbers[at]:
            return f"{shown(cell)} is not a number{_DECIMAL_HINT[decimal]}{hint(cell)}"
        if infinite[at]:
            return f"{shown(cell)} is too large for a number."
        return f"{shown(cell)} is not a whole number, at most 2**53."

    return numbers, bad, reason


def _booleans(cells: pa.Array) -> Parsed:
    index = pc.index_in(pc.utf8_lower(cells), value_set=pa.array(BOOLEANS))
    bad = _true(pc.is_null(index)) & _true(pc.is_valid(cells))
    values = pc.take(pa.array(BOOLEANS.values()), index)
    return values, bad, lambda at: f"{shown(cells[at].as_py())} is neither true nor false{hint(cells[at].as_py())}"


def _dates(cells: pa.Array, order: Order | None) -> Parsed:
    """ISO dates, and those of the order; the same text is never both."""
    ms, valid = _moments(cells, DATE)
    example = "2026-01-31 or 2026-01-31T12:00:00Z"
    if order is not None:
        other, also = _moments(cells, DATES[order], short=is_short(order))
        ms, valid = np.where(also, other, ms), valid | also
        example = f"{EXAMPLES[order]} or 2026-01-31"
    bad = ~valid & _true(pc.is_valid(cells))
    values = pa.array(ms, mask=~valid).cast(TYPES["date"])

    def reason(at: int) -> str:
        cell = cells[at].as_py()
        return f"{shown(cell)} is not a date such as {example}{hint(cell)}"

    return values, bad, reason


def _moments(cells: pa.Array, pattern: str, *, short: bool = False) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Milliseconds since 1970, and which cells are dates of the pattern."""
    parts = pc.extract_regex(cells, pattern)
    valid = _true(pc.is_valid(parts))
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
        valid &= (np.abs(part["zone"]) < 24) & (part["beside"] < 60)
        west = _true(pc.starts_with(pc.struct_field(parts, "zone"), "-"))
        offset = part["zone"] * 60 + np.where(west, -part["beside"], part["beside"])
    valid &= (hour < 24) & (part["minute"] < 60) & (part["second"] < 60)
    minutes = hour * 60 + part["minute"] - offset
    ms = days.astype(np.int64) * MS_OF_DAY + (minutes * 60 + part["second"]) * 1000 + _integers(fraction, valid)
    return ms, valid & (ms >= FIRST_MS) & (ms <= LAST_MS) & (part["year"] >= 1)


def _text(parts: pa.Array) -> NDArray[np.str_]:
    return np.asarray(pc.fill_null(parts, "").to_numpy(zero_copy_only=False), dtype=np.str_)


def _integers(digits: pa.Array, valid: NDArray[np.bool_]) -> NDArray[Any]:
    """Digits of a part of a date as int64; 0 where there are none."""
    digits = pc.fill_null(digits, "")
    there = pc.and_(pa.array(valid), pc.not_equal(digits, ""))
    text = pc.if_else(there, digits, "0")
    return np.asarray(pc.cast(pc.replace_substring(text, "+", ""), pa.int64()))
