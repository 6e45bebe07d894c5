"""Column types: converts text cells to numbers, booleans, dates and categories, with a reason for each bad cell.

For `rows` and `infer_column`. This module has its own rules for numbers and dates (`date_cells`). Arrow's casts are
tried first only because they are fast; both ways give the same result for every cell.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from shlex import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.daemon.schema.cell_notation import MARKERS, NUMBER, Notation, Order, pattern, removed
from retraind.daemon.schema.column import EXACT, Column, Kind
from retraind.daemon.schema.text_words import MOST_TEXT
from retraind.daemon.tabular import date_cells

CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"

TYPES = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "date": pa.timestamp("ms", tz="UTC"),
    "text": pa.string(),
}
"""The type that a segment stores for each kind."""

BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

ALLOW = 'To allow it, set "missing": true for the column in data/schema.json.'
EMPTY = f"The cell is empty and the schema allows no missing value here. {ALLOW}"

UNLABELLED = "The row has no label"
"""The beginning of the reason why a row without a target is rejected."""


@dataclass(frozen=True)
class Coerced:
    """Typed values, null where the cell is empty or bad; `bad` are the indices of the bad cells, ascending."""

    values: pa.Array
    bad: NDArray[np.int64]
    reasons: list[str]
    """One for each of `bad`."""


Parsed = tuple[pa.Array, NDArray[np.bool_], Callable[[int], str]]
"""Values, a mask of the bad cells, and a function that gives the reason for one of them."""

NONE = np.zeros(0, np.int64)


def coerce(cells: pa.Array, column: Column, decimal: str = ".", markers: Sequence[str] = ()) -> Coerced:
    """Convert text cells to values of the column's kind; `markers` are texts for a missing value. Never raises."""
    decimal = column.notation.decimal if column.notation else decimal
    quick = _numbers_at_once(cells, column.kind, decimal)
    if quick is not None:
        return Coerced(quick, NONE, [])
    encoded = cells.dictionary_encode()
    if 2 * len(encoded.dictionary) > len(cells):
        return _coerce(cells, column, decimal, markers)
    # Each text is converted once, because most columns of categories, flags and days repeat a few texts.
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
    """Strip thousands and unit from numbers of a notation.

    Other cells stay, because the reasons for bad cells quote them.
    """
    text = cells
    for mark in removed(notation):
        text = pc.replace_substring(text, mark, "")
    return pc.if_else(pc.match_substring_regex(cells, pattern(notation)), text, cells)


def _missing(cell: str) -> str:
    return f"{shown(cell)} means a missing value, and the schema allows none here. {ALLOW}" if cell else EMPTY


def unlabelled(cell: str) -> str:
    """The reason why a row with a missing target is bad."""
    return f"{UNLABELLED}: {f'{shown(cell)} means a missing value' if cell else 'the cell is empty'}."


def hint(cell: str) -> str:
    """The end of a sentence about a bad cell: advice if it looks like a missing value, otherwise a full stop."""
    return f". If it means a missing value: retraind schema --missing {quote(cell)}." if cell in MARKERS else "."


def as_kind(cells: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    """Convert stored cells to the column's present kind; null if a cell of an older segment can't be converted."""
    target, stored = TYPES[column.kind], cells.type
    if pa.types.is_dictionary(stored):
        cells, stored = cells.cast(stored.value_type), stored.value_type
    plain = pa.types.is_floating(stored) or pa.types.is_integer(stored) or pa.types.is_boolean(stored)
    if stored == target or (plain and column.kind in {"number", "integer"}):
        return cells
    texts = pc.fill_null(cells.cast(pa.string()), "").combine_chunks()
    return pa.chunked_array(
        [coerce(texts, Column(name=column.name, kind=column.kind, missing=True, notation=column.notation)).values]
    )


def holds_control(cell: str) -> bool:
    """True if a text holds a control character."""
    return re.search(CONTROL, cell) is not None


def shown(cell: str) -> str:
    """A cell for the quote in a reason: control characters escaped, cut to 80 characters."""
    return repr(cell[:80])


def _numbers_at_once(cells: pa.Array, kind: Kind, decimal: str) -> pa.Array | None:
    """Convert all cells (null stays null) by Arrow's own cast; None if a cell is not a number by Arrow's or our rules."""
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
    """A mask of the numbers that are whole and exact as doubles; null counts as whole."""
    values = pc.fill_null(numbers, 0.0).to_numpy(zero_copy_only=False)
    return np.asarray((np.abs(values) <= EXACT) & (values == np.floor(values)))


def _parse(cells: pa.Array, column: Column, decimal: str) -> Parsed:
    kind = column.kind
    if kind == "category":
        return cells, _true(pc.match_substring_regex(cells, CONTROL)), lambda _: "The cell holds a control character."
    if kind == "text":
        long = _true(pc.greater(pc.utf8_length(cells), MOST_TEXT))
        return (
            cells,
            long,
            lambda at: f"The text has {len(cells[at].as_py())} characters; at most {MOST_TEXT} are allowed.",
        )
    if kind == "boolean":
        return _booleans(cells)
    if kind == "date":
        return _dates(cells, column.notation.order if column.notation else None)
    return _numbers(cells, kind, decimal)


def _true(mask: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(mask, False))


_MARKS = {".": "point", ",": "comma"}
"""Names of decimal marks."""


def _no_number(cell: str, kind: Kind, decimal: str) -> str:
    """Why a cell is not a number of this kind; one with the other decimal mark is a number, but not one of this column."""
    other = re.search(NUMBER.replace(r"\.", "," if decimal == "." else r"\."), cell) is not None
    if other and kind == "integer":
        return f"{shown(cell)} is not a whole number."
    mark = f" with a decimal {_MARKS[decimal]}" if other or decimal == "," else ""
    return f"{shown(cell)} is not a number{mark}{hint(cell)}"


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
            return _no_number(cell, kind, decimal)
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
    ms, valid = date_cells.read(cells, order)
    bad = ~valid & _true(pc.is_valid(cells))
    values = pa.array(ms, mask=~valid).cast(TYPES["date"])

    as_order = f" (read as {order})" if order else ""

    def reason(at: int) -> str:
        cell = cells[at].as_py()
        if date_cells.is_written(cell, order):
            return f"{shown(cell)} is written like a date, but there is no such day or time{as_order}."
        return f"{shown(cell)} is not a date such as {date_cells.example(order, cell)}{hint(cell)}"

    return values, bad, reason
