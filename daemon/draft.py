"""A draft of a schema from somebody's own CSV file: what `retraind init` writes.

Level 3. Nothing is asked: a column is a number if every cell that is not empty is one, else a category.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from daemon import rows
from daemon.errors import BadSchema, InvalidDrop
from daemon.schema import Column, Schema

MOST_CATEGORIES = 100
"""A text column with more distinct values is taken for free text or an id, which no candidate can learn from."""


def schema_of(path: Path, target: str) -> Schema:
    """The schema that the file suggests; raises BadSchema with what stands in the way."""
    try:
        table = rows.split(path.read_bytes())
    except InvalidDrop as error:
        raise BadSchema(f"{path}: {error.reason}", hint="Mend the file and try again.") from None
    except OSError as error:
        raise BadSchema(f"{path}: {error.strerror}.", hint="Name a CSV file with a header.") from None
    if target not in table.column_names:
        raise BadSchema(f"{path} has no column {target!r}.", hint=f"It has: {', '.join(table.column_names)}.")
    features = [name for name in table.column_names if name != target]
    try:
        columns = [_column(name, table[name]) for name in features]
        return Schema(target=target, classes=_classes(table[target]), columns=columns)
    except ValueError as error:
        raise BadSchema(f"{path}: {error}", hint="Change the file, or write data/schema.json by hand.") from None


def _column(name: str, cells: pa.ChunkedArray) -> Column:
    cells = pc.utf8_trim_whitespace(cells)
    filled = cells.filter(pc.not_equal(cells, ""))
    missing = len(filled) < len(cells)
    if len(filled) == 0:
        raise ValueError(f"the column {name!r} is empty")
    if pc.all(pc.match_substring_regex(filled, rows.NUMBER)).as_py():
        bounds = pc.min_max(pc.cast(filled, pa.float64())).as_py()
        return Column(name=name, kind="number", missing=missing, minimum=bounds["min"], maximum=bounds["max"])
    categories = sorted(pc.unique(filled).to_pylist())
    if len(categories) > MOST_CATEGORIES:
        raise ValueError(
            f"the column {name!r} has {len(categories)} different texts, for example {categories[0]!r}: neither a number "
            f"nor a category (at most {MOST_CATEGORIES}); leave it out"
        )
    return Column(name=name, kind="category", missing=missing, categories=categories)


def _classes(cells: pa.ChunkedArray) -> list[str]:
    cells = pc.utf8_trim_whitespace(cells)
    names = [name for name in pc.unique(cells).to_pylist() if name]
    if len(names) > MOST_CATEGORIES:
        raise ValueError(
            f"the target has {len(names)} different values; at most {MOST_CATEGORIES} classes can be told apart"
        )
    if len(names) < 2:
        raise ValueError("the target has fewer than two classes")
    # Codes in the order of numbers where the names are numbers: 2 before 10.
    return sorted(names, key=lambda name: (float(name), name)) if _numeric(names) else sorted(names)


def _numeric(names: list[str]) -> bool:
    return bool(pc.all(pc.match_substring_regex(pa.array(names), rows.NUMBER)).as_py())
