"""The notation of a column that gets another kind: from an example that a person gives, or from the stored rows."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from retraind.daemon.cli.report.home_access import reading
from retraind.daemon.core.errors import BadSchema
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import segments
from retraind.daemon.records import segments as recorded_segments
from retraind.daemon.schema.cell_notation import NUMBER, Notation
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import column_formats
from retraind.daemon.tabular.column_types import as_kind
from retraind.daemon.tabular.csv_profile import WRITTEN
from retraind.daemon.tabular.infer_column import ColumnProfile
from retraind.daemon.tabular.kinds.guess import Guess

LIKE = (
    "Give a cell of the column, such as 'COL=1.234,56 €' or 'COL=31.01.2024', or an order such as COL=day/month/year."
)

FEW = 0.9
"""Share of the stored cells below which a kind is said to fit few of them."""


class Example(NamedTuple):
    """A notation (None: the plain one), and whether it is one of dates."""

    notation: Notation | None
    dates: bool


def examples(texts: Iterable[str], decimal: str) -> dict[str, Example]:
    """The parsed COL=EXAMPLE options, for a schema with this decimal mark; raises BadSchema."""
    parsed = {}
    for text in texts:
        name, _, cell = text.rpartition("=")
        if not name:
            raise BadSchema(f"--notation {text!r} is not COL=EXAMPLE.", hint=LIKE)
        parsed[name] = _example(text, cell.strip(), decimal)
    return parsed


def _example(option: str, cell: str, decimal: str) -> Example:
    if re.search(NUMBER.replace(r"\.", re.escape(decimal)), cell):
        return Example(None, dates=False)
    ways = column_formats.of_example(cell, comma=decimal == ",")
    if not ways:
        raise BadSchema(f"--notation {option!r}: {cell!r} is neither a number nor a date.", hint=LIKE)
    if len(ways) > 1:
        both = " or ".join(one.order or str(one.number(cell)) for one in ways)
        raise BadSchema(
            f"--notation {option!r}: {cell!r} may be read as {both}.", hint="Give a cell that has one meaning."
        )
    return Example(ways[0], dates=ways[0].order is not None)


def stored(home: Home, column: Column, schema: Schema) -> ColumnProfile:
    """The stored cells of a column, read as its kind in all notations that they may have; empty if it has none."""
    missing = {*schema.missing_values, *column.missing_values}
    seen = ColumnProfile(missing_texts=missing)
    for cells in _cells(home, column.name):
        seen.add(cells)
    notations = seen.choices(column.kind, schema.decimal)
    return _read(home, column, ColumnProfile.choosing(column.kind, notations, schema.decimal, missing))


def remarks(home: Home, before: Schema, after: Schema) -> Iterator[str]:
    """A sentence on each column that became one of numbers, dates or booleans: how its stored cells fit."""
    old = {column.name: column for column in before.columns}
    for column in after.columns:
        earlier = old.get(column.name)
        same = earlier is not None and (earlier.kind, earlier.notation) == (column.kind, column.notation)
        if column.kind in WRITTEN and not same:
            notations = [column.notation] if column.notation else []
            missing = {*after.missing_values, *column.missing_values}
            profile = ColumnProfile.choosing(column.kind, notations, after.decimal, missing)
            yield from _remark(column, _read(home, column, profile).best)


def _remark(column: Column, best: Guess | None) -> Iterator[str]:
    if best is None or not best.cells:
        if column.notation is None and column.kind != "boolean":
            other = "31.01.2024" if column.kind == "date" else "1.234,56 €"
            yield (
                f"No stored row shows how {column.name!r} is written; it is read as a plain {column.kind}. "
                f"Another notation needs an example: retraind schema --notation '{column.name}={other}'"
            )
        return
    if best.right >= FEW * best.cells:
        yield f"{best.right} of {best.cells} stored cells of {column.name!r} fit, such as {best.example!r:.40}."
        return
    other = next(iter(best.slips), "")
    yield (
        f"Only {best.right} of {best.cells} stored cells of {column.name!r} fit the kind {column.kind}: {other!r:.40} does "
        "not. A row of a drop with such a cell is bad."
    )


def _read(home: Home, column: Column, profile: ColumnProfile) -> ColumnProfile:
    for cells in _cells(home, column.name):
        profile.add(cells)
    return profile


def _cells(home: Home, name: str) -> Iterator[pa.Array]:
    """The stored cells of a column as texts, segment by segment; none if it was ignored so far."""
    with reading(home):
        sha256s = {segment: row["sha256"] for segment, row in recorded_segments.current(home.journal).items()}
    for piece in segments.pieces(home.segments, sha256s, [name]):
        if name in piece.column_names:
            cells = as_kind(piece[name], Column(name=name, kind="category"))
            texts = pc.fill_null(cells, "").combine_chunks()
            yield pa.concat_arrays(texts.chunks) if isinstance(texts, pa.ChunkedArray) else texts
