"""Rows: converts text cells to typed, checked rows, and rows to the numbers that a model is trained on.

Pure. A row is good or bad as a whole; a bad one is reported with its first bad cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.daemon.core.errors import InvalidDrop, InvalidFeatures
from retraind.daemon.core.settings import Inbox
from retraind.daemon.schema.class_labels import number
from retraind.daemon.schema.column import MOST_CATEGORIES, UNKNOWN, Column
from retraind.daemon.schema.labelled_row import Sample
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.text_words import SLOTS, encoded
from retraind.daemon.tabular import column_types, date_cells, schema_growth
from retraind.daemon.tabular.checks.cells import BadCell, BadCells, coerced


@dataclass(frozen=True)
class Checked:
    """The result of `check`.

    `table`: the good rows, features in schema order, then the target; types as in `column_types.TYPES`, a class by its name.
    `good`: their indices, int64 (n,); `bad`: one for each other row; both ascending.
    `schema`: with the classes, categories and columns that were accepted; the same object if there were none.
    """

    table: pa.Table
    good: NDArray[np.int64]
    bad: list[BadCell]
    schema: Schema


def check(cells: pa.Table, schema: Schema, policy: Inbox, side_columns: Sequence[str] = ()) -> Checked:
    """Convert text cells to typed rows; raises InvalidDrop for a missing or an unknown column.

    The `side_columns` are kept as text if the table has them and the schema does not list them.
    """
    original, schema = schema, schema_growth.with_columns(cells, schema, policy, side_columns=side_columns)
    verdicts = BadCells(cells.num_rows)
    values: dict[str, pa.Array] = {}
    for column in schema.columns:
        values[column.name] = coerced(schema_growth.texts(cells, column.name), column, schema, verdicts).values
        if column.kind == "category" and policy.new_categories == "quarantine":
            _refuse_new_categories(values[column.name], column, verdicts)
    values[schema.target] = _targets(schema_growth.texts(cells, schema.target), schema, policy, verdicts)
    if schema.task == "classification":
        schema = _with_new_classes(values[schema.target], schema, verdicts)
    for name in side_columns:
        if name in cells.column_names and name not in values:
            texts = pc.utf8_trim_whitespace(schema_growth.texts(cells, name))
            values[name] = pc.if_else(pc.equal(texts, ""), None, texts)
    good = verdicts.good()
    table = pa.table(values)
    table = table if len(good) == len(table) else table.take(good)
    if policy.new_categories == "accept":
        schema = schema_growth.with_categories(table, schema)
    return Checked(table, good, verdicts.bad(), schema if len(good) else original)


def sample_cells(sample: Sample, schema: Schema) -> pa.Table:
    """The text cells of a JSON sample, one row; raises InvalidDrop if its features do not fit."""
    try:
        encode(schema, sample.features)
    except InvalidFeatures as error:
        raise InvalidDrop(str(error), column=error.field) from None
    texts = {column.name: _as_text(sample.features.get(column.name), column, schema) for column in schema.columns}
    numeric = schema.task == "regression"
    texts[schema.target] = (
        sample.target.replace(".", schema.measure.decimal_mark(schema.decimal)) if numeric else sample.target
    )
    return pa.table({name: pa.array([text], pa.string()) for name, text in texts.items()})


def _as_text(value: Any, column: Column, schema: Schema) -> str:
    if value is None or (isinstance(value, str) and value.strip() in schema.markers[column.name]):
        return ""
    if column.kind in {"number", "integer"}:
        return value if isinstance(value, str) else repr(float(value)).replace(".", column.decimal_mark(schema.decimal))
    if column.kind == "date":
        if column.notation and column.notation.moment(value):
            return str(value)
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    return str(value)


def _targets(cells: pa.Array, schema: Schema, policy: Inbox, verdicts: BadCells) -> pa.Array:
    """Numbers, or names of classes; with the policy `accept` also of new classes."""
    if schema.task == "regression":
        measured = coerced(cells, schema.measure, schema, verdicts)
        if measured.values.null_count > len(measured.bad):
            blank = np.setdiff1d(np.flatnonzero(pc.is_null(measured.values)), measured.bad)
            verdicts.add(
                schema.target, blank, (column_types.unlabelled(cells[row].as_py().strip()) for row in blank.tolist())
            )
        return measured.values
    classes = pa.array(schema.classes, pa.string())
    names = pc.take(classes, pc.index_in(cells, value_set=classes))
    if names.null_count:
        names = pc.coalesce(names, _matching(cells, schema))
    unknown = np.flatnonzero(pc.is_null(pc.index_in(names, value_set=classes)))
    reasons = [_why_no_class(names[row].as_py(), schema, policy) for row in unknown.tolist()]
    verdicts.add(schema.target, unknown[[reason != "" for reason in reasons]], filter(None, reasons))
    return names


def _matching(cells: pa.Array, schema: Schema) -> pa.Array:
    """The classes that labels mean; other labels are trimmed, and numbers spelt as at their first occurrence."""
    encoded = pc.utf8_trim_whitespace(cells).dictionary_encode()
    spellings: dict[Decimal | str, str] = {}
    names = []
    for label in encoded.dictionary.to_pylist():
        value = number(label, schema.decimal)
        names.append(schema.labels.matching(label) or spellings.setdefault(label if value is None else value, label))
    return pc.take(pa.array(names, pa.string()), encoded.indices)


def _why_no_class(cell: str, schema: Schema, policy: Inbox) -> str:
    """The reason why an unknown label can't become a class; empty if it can."""
    if not cell or cell in schema.markers[schema.target]:
        return column_types.unlabelled(cell)
    if policy.new_classes == "quarantine":
        close = schema.labels.like(cell)
        suggestion = f" Did you mean {column_types.shown(close)}?" if close else ""
        return f"{column_types.shown(cell)} is not a known class. Known classes: {', '.join(schema.classes)[:200]}.{suggestion}"
    return "The cell holds a control character." if column_types.holds_control(cell) else ""


def _with_new_classes(names: pa.Array, schema: Schema, verdicts: BadCells) -> Schema:
    """The schema with the classes of good rows; rows with a class above the limit become bad."""
    seen = pc.unique(names.take(verdicts.good())).to_pylist()
    new = [name for name in seen if name not in schema.class_codes]
    if not new:
        return schema
    room = max(0, MOST_CATEGORIES - len(schema.classes))
    over = np.flatnonzero(pc.is_in(names, value_set=pa.array(new[room:], pa.string())))
    reason = f"The class is new, and the schema already has the maximum of {MOST_CATEGORIES} classes."
    verdicts.add(schema.target, over, [reason] * len(over))
    return schema_growth.grown(schema, classes=[*schema.classes, *new[:room]])


def _refuse_new_categories(values: pa.Array, column: Column, verdicts: BadCells) -> None:
    index = pc.index_in(values, value_set=pa.array(column.categories, pa.string()))
    new = np.flatnonzero(pc.and_(pc.is_null(index), pc.is_valid(values)))
    listed = ", ".join(column.categories)[:200]
    reasons = (
        f"{column_types.shown(values[row].as_py())} is not a known category. Known categories: {listed}."
        for row in new.tolist()
    )
    verdicts.add(column.name, new, reasons)


def with_provenance(
    table: pa.Table,
    drops: Sequence[str],
    counts: Sequence[int],
    row_numbers: NDArray[np.int64],
    accepted_at: datetime,
    source: str,
) -> pa.Table:
    """The rows with `_drop`, `_row`, `_accepted_at` and `_source`, as a segment stores them.

    The first counts[0] rows come from the drop with the sha256 drops[0], and so on; row_numbers is int64 (n,).
    """
    count = table.num_rows
    names = list(dict.fromkeys(drops))
    codes = {name: code for code, name in enumerate(names)}
    which = np.repeat(np.array([codes[drop] for drop in drops], np.int32), np.asarray(counts, np.int64))
    table = table.append_column("_drop", _dictionary(which, names))
    table = table.append_column("_row", pa.array(row_numbers, pa.int64()))
    table = table.append_column("_accepted_at", pa.repeat(pa.scalar(accepted_at, pa.timestamp("ms", tz="UTC")), count))
    return table.append_column("_source", _dictionary(np.zeros(count, np.int32), [source]))


def _dictionary(which: NDArray[np.int32], names: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(which), pa.array(names, pa.string()))


def matrix(table: pa.Table, schema: Schema) -> NDArray[np.float64]:
    """Features as float64 (n, width) in schema order: NaN for a missing value, UNKNOWN for an unlisted category.

    A date is its days since 1970-01-01 UTC. A text is its word count, and its words follow after all columns. Columns
    that the table lacks, and cells that can't be converted, are missing.
    """
    texts = [_words(table, schema.columns[place]) for place in schema.texts]
    counts = {place: words[:, 0] for place, words in zip(schema.texts, texts, strict=True)}
    columns = [
        counts[place] if place in counts else _floats(table, column) for place, column in enumerate(schema.columns)
    ]
    return np.column_stack([*columns, *(words[:, 1:] for words in texts)])


def _words(table: pa.Table, column: Column) -> NDArray[np.float64]:
    """The word count of each text and its words, (n, 1 + SLOTS)."""
    words = np.zeros((table.num_rows, 1 + SLOTS))
    words[:, 0] = np.nan
    if column.name not in table.column_names:
        return words
    for at, text in enumerate(column_types.as_kind(table[column.name], column).to_pylist()):
        if text and text.strip():
            words[at] = encoded(text)
    return words


def _floats(table: pa.Table, column: Column) -> NDArray[np.float64]:
    if column.name not in table.column_names:
        return np.full(table.num_rows, UNKNOWN if column.kind == "category" else np.nan)
    cells = column_types.as_kind(table[column.name], column)
    if column.kind == "category":
        index = pc.index_in(cells, value_set=pa.array(column.categories, pa.string()))
        return np.asarray(pc.fill_null(index, int(UNKNOWN)).to_numpy(), dtype=np.float64)
    numbers = pc.cast(pc.cast(cells, pa.int64()) if column.kind == "date" else cells, pa.float64())
    values: NDArray[np.float64] = pc.fill_null(numbers, np.nan).to_numpy()
    return values / date_cells.MS_OF_DAY if column.kind == "date" else values


def codes(table: pa.Table, schema: Schema) -> NDArray[np.int64]:
    """Targets as class codes, int64 (n,); -1 for a class that the schema no longer lists."""
    cells = column_types.as_kind(table[schema.target], Column(name=schema.target, kind="category"))
    index = pc.fill_null(pc.index_in(cells, value_set=pa.array(schema.classes, pa.string())), -1)
    return np.asarray(index.to_numpy(), dtype=np.int64)


def targets(table: pa.Table, schema: Schema) -> NDArray[np.float64]:
    """Targets of a regression, float64 (n,); NaN if not a number."""
    return _floats(table, Column(name=schema.target, kind="number", missing=True))


def source(table: pa.Table, names: Sequence[str]) -> NDArray[np.int64]:
    """The sources of rows, int64 (n,): an index of `names`; -1 for other sources, and in segments without `_source`."""
    if "_source" not in table.column_names:
        return np.full(table.num_rows, -1)
    index = pc.index_in(table["_source"].cast(pa.string()), value_set=pa.array(names, pa.string()))
    return np.asarray(pc.fill_null(index, -1).to_numpy(), dtype=np.int64)


def accepted_at(table: pa.Table) -> NDArray[np.int64]:
    """Times at which rows were accepted, int64 (n,): milliseconds since 1970-01-01 UTC."""
    return np.asarray(table["_accepted_at"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy())
