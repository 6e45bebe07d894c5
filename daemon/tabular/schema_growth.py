"""Schema growth: extends the schema by drops, as the policies of `inbox` allow. For `rows`.

A schema only grows at its ends, so that the codes of classes and categories stay the same.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.settings import Inbox
from retraind.daemon.core.validation import header_faults
from retraind.daemon.schema.column import MOST_CATEGORIES, Column
from retraind.daemon.schema.schema import MOST_COLUMNS, PREDICTION_ID, PROVENANCE, REMARKS, Schema
from retraind.daemon.tabular.infer_column import ColumnProfile

M = TypeVar("M", bound=BaseModel)


def grown(model: M, **changes: Any) -> M:
    """A copy of a schema or column with some fields changed."""
    # Not model_copy: it would copy cached properties.
    return type(model)(**({name: getattr(model, name) for name in type(model).model_fields} | changes))


def texts(cells: pa.Table, name: str) -> pa.Array:
    """The text cells of a column as one array; empty cells if the table lacks it."""
    if cells.schema.get_field_index(name) < 0:
        return pa.repeat("", cells.num_rows)
    column = cells[name].combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def with_columns(
    cells: pa.Table,
    schema: Schema,
    policy: Inbox,
    parts: Callable[[], Iterable[pa.Table]] | None = None,
    side_columns: Collection[str] = (),
) -> Schema:
    """The schema with new columns added; raises InvalidDrop for a missing or an unknown column.

    Their kinds follow from all `parts` of the drop (default: `cells`). These are only read if there is a column to add,
    twice if its numbers or dates may have a notation. The `side_columns` are kept, but are not features.
    """
    listed, there = {*schema.features, schema.target}, set(cells.column_names)
    adds = policy.extra_columns == "add"
    optional = {column.name for column in schema.columns if column.missing and adds}
    read = listed.union(schema.ignored, REMARKS, side_columns)
    extra = [name for name in cells.column_names if name not in read]
    absent = [one for one in [*schema.features, schema.target] if one not in there and one not in optional]
    rejects = policy.extra_columns == "reject"
    reasons = [header_faults.missing(absent, cells.column_names, read)] if absent else []
    reasons += [header_faults.unexpected(extra)] if extra and rejects else []
    if reasons:
        raise InvalidDrop(" ".join(reasons), line=1, column=next(iter([*absent, *extra])))
    new = [name for name in extra if adds and name not in PROVENANCE and name != PREDICTION_ID]
    profiles = _profiled(parts or (lambda: [cells]), {name: ColumnProfile() for name in new})
    tried = {name: profile.notations(schema.decimal) for name, profile in profiles.items()}
    again = {name: ColumnProfile.trying(notations) for name, notations in tried.items() if notations}
    again = _profiled(parts or (lambda: [cells]), again)
    # An ambiguous date is not guessed: it stays a text.
    profiles |= {name: profile for name, profile in again.items() if len(profile.orders) < 2}
    added = [column for name, profile in profiles.items() for column in _inferred(name, profile, schema)]
    if len(listed) + len(added) > MOST_COLUMNS:
        reason = f"The schema has {len(listed)} columns and would have {len(added)} more; at most {MOST_COLUMNS} are allowed."
        raise InvalidDrop(reason, line=1, column=added[0].name)
    return grown(schema, columns=[*schema.columns, *added]) if added else schema


def _profiled(parts: Callable[[], Iterable[pa.Table]], profiles: dict[str, ColumnProfile]) -> dict[str, ColumnProfile]:
    """The profiles after all parts; no part is read if there are no profiles."""
    for part in parts() if profiles else ():
        for name, profile in profiles.items():
            profile.add(texts(part, name))
    return profiles


def _inferred(name: str, profile: ColumnProfile, schema: Schema) -> list[Column]:
    """The column that the cells of a new column suggest; none if they are empty or free text."""
    try:
        return [grown(profile.column(name, schema.decimal), missing=True)]
    except ValueError:
        return []


def with_categories(table: pa.Table, schema: Schema) -> Schema:
    """The schema with the categories of good rows, up to MOST_CATEGORIES per column."""
    columns = [_with_categories_of(table, column) for column in schema.columns]
    if all(new is old for new, old in zip(columns, schema.columns, strict=True)):
        return schema
    return grown(schema, columns=columns)


def _with_categories_of(table: pa.Table, column: Column) -> Column:
    if column.kind != "category" or len(column.categories) >= MOST_CATEGORIES:
        return column
    seen = pc.unique(table[column.name]).to_pylist()
    new = [name for name in seen if name is not None and name not in column.codes]
    return grown(column, categories=[*column.categories, *new][:MOST_CATEGORIES]) if new else column
