"""Changes a schema as a person requests, so that nobody has to edit JSON.

Remaining classes and categories keep their codes. The categories of a new category column are read from the data.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, get_args

import pyarrow.compute as pc
from pydantic import ValidationError

from retraind.daemon.cli.report.home_access import reading
from retraind.daemon.cli.schema import notations
from retraind.daemon.cli.schema.notations import Example
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
from retraind.daemon.tabular.csv_profile import WRITTEN, Choice

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


def change(
    home: Home, kinds: Mapping[str, Choice], missing: Collection[str], written: Collection[str] = ()
) -> tuple[Schema, Schema]:
    """Change the schema of a home, even while its daemon runs; returns the old and the new schema.

    `written` are COL=EXAMPLE options. Raises BadSchema, NotFound, Unavailable.
    """
    for _ in range(TRIES):
        before = schema.require(home.schema)
        changed = altered(before, kinds, missing, home, written)
        if changed == before:
            return before, before
        if schema_file.write(home.schema, before, changed):  # or a drop has extended it meanwhile
            return before, changed
    raise Unavailable(f"{home.schema} keeps changing.", hint="Nothing was changed; try again.")


def altered(
    original: Schema,
    kinds: Mapping[str, Choice],
    missing: Iterable[str],
    home: Home | None = None,
    written: Collection[str] = (),
) -> Schema:
    """The schema with columns of other kinds and notations, and more markers; raises BadSchema for an unknown column."""
    examples = notations.examples(written, original.decimal)
    _require_known(original, [*kinds, *examples], kinds)
    kinds = {**_kinds_of(original, examples), **kinds}
    markers = list(dict.fromkeys([*original.missing_values, *missing]))
    base = _with(original, missing_values=markers)
    columns = [
        column
        if kinds.get(column.name, column.kind) == column.kind and column.name not in examples
        else _of_kind(column, kinds.get(column.name, column.kind), examples.get(column.name), base, home)
        for column in original.columns
        if kinds.get(column.name) != "ignore"
    ]
    back = [name for name in original.ignored if kinds.get(name, "ignore") != "ignore"]
    for name in back:
        hidden = Column(name=name, kind="number", missing=True)
        columns.append(_of_kind(hidden, kinds[name], examples.get(name), base, home))
    gone = [one for one in original.features if kinds.get(one) == "ignore"]
    ignored = [*(name for name in original.ignored if name not in back), *gone]
    target = {"notation": examples[original.target].notation} if original.target in examples else {}
    return _with(base, columns=columns, ignored=ignored, **target)


def _with(original: Schema, **changes: Any) -> Schema:
    try:
        return schema_growth.grown(original, **changes)
    except ValidationError as error:
        reason = words.sentence(error.errors()[0])
        raise BadSchema(f"The changed schema is not valid: {reason}.", hint="Nothing was changed.") from None


def _require_known(original: Schema, named: Iterable[str], kinds: Collection[str]) -> None:
    names = {*original.features, *original.ignored}
    for name in named:
        if name == original.target and (name in kinds or original.task != "regression"):
            raise BadSchema(f"{name!r} is the target.", hint="Another target needs another home: retraind init.")
        if name not in names and name != original.target:
            raise BadSchema(f"The schema has no column {name!r}.", hint=f"It has: {', '.join(sorted(names))[:500]}.")


def _kinds_of(original: Schema, examples: Mapping[str, Example]) -> dict[str, Choice]:
    """The kinds that examples of notations imply: a column of numbers stays one."""
    kinds = {column.name: column.kind for column in original.columns}
    implied: dict[str, Choice] = {}
    for name, example in examples.items():
        numeric: Kind = "integer" if kinds.get(name) == "integer" else "number"
        implied[name] = "date" if example.dates else numeric
    return implied


def _of_kind(column: Column, kind: Choice, example: Example | None, base: Schema, home: Home | None) -> Column:
    assert kind != "ignore"
    changed = Column(name=column.name, kind=kind, missing=column.missing, missing_values=column.missing_values)
    if example is not None:
        if kind not in (("date",) if example.dates else ("number", "integer")):
            reason = (
                f"The example for {column.name!r} is a {'date' if example.dates else 'number'}, the kind is {kind}."
            )
            raise BadSchema(reason, hint="Nothing was changed.")
        return schema_growth.grown(changed, notation=example.notation)
    if home is None:
        return changed
    if kind == "category":
        return schema_growth.grown(changed, categories=_texts(home, changed))
    return _as_stored(changed, base, home) if kind in WRITTEN else changed


def _as_stored(column: Column, base: Schema, home: Home) -> Column:
    """The column with the notation and the range of its stored cells, if there are any."""
    profile = notations.stored(home, column, base)
    if profile.best is None or not profile.best.right:
        return column
    if len(profile.orders) > 1:
        raise BadSchema(
            f"The dates in {column.name!r} can be read in two ways, as {' or '.join(profile.orders)}.",
            hint=f"Choose one: --notation '{column.name}={profile.orders[0]}'.",
        )
    seen = profile.as_kind(column.name, column.kind)
    markers = sorted({*column.missing_values, *seen.missing_values} - set(base.missing_values))
    return schema_growth.grown(seen, missing=column.missing or seen.missing, missing_values=markers)


def _texts(home: Home, column: Column) -> list[str]:
    """The texts in a column of the data, sorted, up to MOST_CATEGORIES."""
    with reading(home):
        sha256s = {name: row["sha256"] for name, row in recorded_segments.current(home.journal).items()}
    chosen: dict[str, None] = {}
    for piece in segments.pieces(home.segments, sha256s, [column.name]):
        if column.name in piece.column_names:
            chosen |= dict.fromkeys(pc.unique(as_kind(piece[column.name], column)).drop_null().to_pylist())
    return sorted(chosen)[:MOST_CATEGORIES]
