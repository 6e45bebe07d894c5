"""Entries: predictions of the log become a table with typed columns."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa

from retraind.daemon.core.journal.history_files import place_of
from retraind.daemon.history.layout import FACTS, FEATURE, LINE, Layout, column

Entry = dict[str, Any]
"""A prediction as the log has it, and `seq`, its number in the history."""

KEYS: dict[str, pa.DataType] = {
    "_identity": pa.string(),
    "_serial": pa.int64(),
    "_number": pa.int64(),
    "_day": pa.string(),
}
"""Columns for sorting that the file does not have."""


def by_layout(entries: Iterable[Entry], layout_of: Callable[[int], Layout]) -> dict[Layout, list[Entry]]:
    """The entries of each layout, in order."""
    groups: dict[Layout, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(layout_of(entry["model_version"]), []).append(entry)
    return groups


def table(layout: Layout, entries: Sequence[Entry]) -> pa.Table:
    """The entries as a table of the layout's columns and KEYS; raises ValueError, KeyError or TypeError for a damaged one."""
    facts = {name: _fact(name, kind, entries) for name, kind in FACTS.items()}
    features, odd = _values(layout.features, [entry["features"] for entry in entries])
    kinds = [(name, "number") for name in layout.classes]
    shares, more = _values(kinds, [entry.get("probabilities") for entry in entries])
    lines = [_line(entry) if place in odd | more else None for place, entry in enumerate(entries)]
    arrays = [*facts.values(), *features, *shares, pa.array(lines, pa.string())]
    return keyed(pa.table(arrays, layout.schema.names), [entry["timestamp"][:10] for entry in entries])


def keyed(rows: pa.Table, days: Sequence[str]) -> pa.Table:
    """The rows with KEYS."""
    keys = zip(*map(place_of, rows["prediction_id"].to_pylist()), strict=True)
    arrays = [pa.array(values, kind) for values, kind in zip((*keys, days), KEYS.values(), strict=True)]
    return pa.table([*rows.columns, *arrays], [*rows.column_names, *KEYS])


def _fact(name: str, kind: pa.DataType, entries: Sequence[Entry]) -> pa.Array:
    values = [entry[name] for entry in entries]
    if name == "timestamp":
        return pa.array([datetime.fromisoformat(text) for text in values], kind)
    return pa.array(values, kind)


def _values(kinds: Sequence[tuple[str, Any]], rows: Sequence[Sequence[Any] | None]) -> tuple[list[pa.Array], set[int]]:
    """Arrays by column, and the places of rows that they don't hold exactly."""
    odd = {place for place, row in enumerate(rows) if row is not None and len(row) != len(kinds)}
    nothing = [None] * len(kinds)
    whole = [nothing if row is None or place in odd else row for place, row in enumerate(rows)]
    arrays = []
    for (_, kind), values in zip(kinds, zip(*whole, strict=True), strict=True):
        array, unfit = column(kind, values)
        arrays.append(array)
        odd |= unfit
    return arrays, odd


def _line(entry: Entry) -> str:
    return orjson.dumps({"features": entry["features"], "probabilities": entry.get("probabilities")}).decode()


def plain(rows: pa.Table) -> list[Entry]:
    """The rows of a file as the log had them, with their `seq`."""
    names = [name for name in rows.column_names if name not in (*FACTS, LINE)]
    features = [name for name in names if name.startswith(FEATURE)]
    shares = [name for name in names if not name.startswith(FEATURE)]
    return [_entry(row, features, shares) for row in rows.to_pylist()]


def _entry(row: Entry, features: Sequence[str], shares: Sequence[str]) -> Entry:
    entry = {name: row[name] for name in FACTS}
    entry["timestamp"] = row["timestamp"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if row["prediction_name"] is not None:
        entry["prediction"] = int(row["prediction"])
    if row[LINE] is not None:
        return {**entry, **orjson.loads(row[LINE])}
    entry["features"] = [_json(row[name]) for name in features]
    probabilities = [row[name] for name in shares]
    entry["probabilities"] = probabilities if probabilities and probabilities[0] is not None else None
    return entry


def _json(value: Any) -> Any:
    """A value as JSON has it; a time without hours as a day."""
    if not isinstance(value, datetime):
        return value
    return value.date().isoformat() if value.time() == datetime.min.time() else value.isoformat()
