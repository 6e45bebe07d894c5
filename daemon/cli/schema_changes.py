"""Changes a schema as a person requests, so that nobody has to edit JSON.

Remaining classes and categories keep their codes. The categories of a new category column are read from the data.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, get_args

import pyarrow.compute as pc
from pydantic import ValidationError

from retraind.daemon.cli.report.home_access import reading
from retraind.daemon.core.errors import BadSchema, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.validation import words
from retraind.daemon.dataset import segments
from retraind.daemon.records import segments as recorded_segments
from retraind.daemon.schema import schema, schema_file
from retraind.daemon.schema.column import MOST_CATEGORIES, Column, Kind
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import schema_growth
from retraind.daemon.tabular.column_types import as_kind

Choice = Kind | Literal["ignore"]

TRIES = 10
"""Attempts at a change, in case a drop extends the schema meanwhile."""

KINDS: tuple[Choice, ...] = (*get_args(Kind), "ignore")


def choices(texts: Iterable[str]) -> dict[str, Choice]:
    """The parsed COL=KIND options; raises BadSchema."""
    kinds: dict[str, Choice] = {}
    for text in texts:
        name, _, kind = text.rpartition("=")
        chosen = next((one for one in KINDS if one == kind), None)
        if not name or chosen is None:
            raise BadSchema(f"--kind {text!r} is not COL=KIND.", hint=f"Kinds: {', '.join(KINDS)}.")
        kinds[name] = chosen
    return kinds


def change(home: Home, kinds: Mapping[str, Choice], missing: Collection[str]) -> tuple[Schema, Schema]:
    """Change the schema of a home, even while its daemon runs; returns the old and the new schema.

    Raises BadSchema, NotFound, Unavailable.
    """
    for _ in range(TRIES):
        before = schema.require(home.schema)
        changed = altered(before, kinds, missing, home)
        if changed == before:
            return before, before
        if schema_file.write(home.schema, before, changed):  # or a drop has extended it meanwhile
            return before, changed
    raise Unavailable(f"{home.schema} keeps changing.", hint="Nothing was changed; try again.")


def altered(original: Schema, kinds: Mapping[str, Choice], missing: Iterable[str], home: Home | None = None) -> Schema:
    """The schema with columns of other kinds and more markers; raises BadSchema for an unknown column."""
    names = {*original.features, *original.ignored}
    for name in kinds:
        if name == original.target:
            raise BadSchema(f"{name!r} is the target.", hint="Another target needs another home: retraind init.")
        if name not in names:
            raise BadSchema(f"The schema has no column {name!r}.", hint=f"It has: {', '.join(sorted(names))[:500]}.")
    columns = [
        column if kinds.get(column.name, column.kind) == column.kind else _of_kind(column, kinds[column.name], home)
        for column in original.columns
        if kinds.get(column.name) != "ignore"
    ]
    back = [name for name in original.ignored if kinds.get(name, "ignore") != "ignore"]
    columns += [_of_kind(Column(name=name, kind="number", missing=True), kinds[name], home) for name in back]
    gone = [one for one in original.features if kinds.get(one) == "ignore"]
    try:
        return schema_growth.grown(
            original,
            columns=columns,
            ignored=[*(name for name in original.ignored if name not in back), *gone],
            missing_values=list(dict.fromkeys([*original.missing_values, *missing])),
        )
    except ValidationError as error:
        reason = words.sentence(error.errors()[0])
        raise BadSchema(f"The changed schema is not valid: {reason}.", hint="Nothing was changed.") from None


def _of_kind(column: Column, kind: Choice, home: Home | None) -> Column:
    assert kind != "ignore"
    changed = Column(name=column.name, kind=kind, missing=column.missing, missing_values=column.missing_values)
    return (
        schema_growth.grown(changed, categories=_texts(home, changed))
        if kind == "category" and home is not None
        else changed
    )


def _texts(home: Home, column: Column) -> list[str]:
    """The texts in a column of the data, sorted, up to MOST_CATEGORIES."""
    with reading(home):
        sha256s = {name: row["sha256"] for name, row in recorded_segments.current(home.journal).items()}
    chosen: dict[str, None] = {}
    for piece in segments.pieces(home.segments, sha256s, [column.name]):
        if column.name in piece.column_names:
            chosen |= dict.fromkeys(pc.unique(as_kind(piece[column.name], column)).drop_null().to_pylist())
    return sorted(chosen)[:MOST_CATEGORIES]
