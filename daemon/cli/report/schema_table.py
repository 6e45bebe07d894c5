"""The table of a schema, and of the file that it was made from, for `init` and `retraind schema`.

It is printed as text or as JSON.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import rich.table
from rich.table import Table

from retraind.daemon.cli.report.console import CONSOLE
from retraind.daemon.cli.report.terminal import printable
from retraind.daemon.schema.cell_notation import Notation
from retraind.daemon.schema.column import MOST_CATEGORIES, Column
from retraind.daemon.schema.schema import Schema

if TYPE_CHECKING:  # a schema alone is shown without pyarrow
    from retraind.daemon.tabular.schema_draft import Draft, Finding

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

COMMA = "Numbers have a decimal comma, as in 1,5."

READABLE = 40
"""Minimum width of the last column, which has sentences; in a narrower terminal they follow below the table."""

MOST_LISTED = 60
"""With more columns than this, at most this many unusual ones are listed, and the others are counted."""


class Line(NamedTuple):
    """One column of the table; `why`: what is unusual about it."""

    column: str
    kind: str
    missing: str
    distinct: str
    example: str
    why: str


def of_draft(draft: "Draft") -> list[Line]:
    """The columns of the file that a schema was made from: features, target, ignored ones."""
    lines = [
        _feature(column, draft.findings[column.name], draft.notes.get(column.name)) for column in draft.schema.columns
    ]
    target = draft.findings[draft.schema.target]
    lines.append(_line(draft.schema.target, "target", target, draft.why_task))
    return lines + [_line(name, "ignore", draft.findings[name], reason) for name, reason in draft.left_out.items()]


def of_schema(schema: Schema) -> list[Line]:
    """The columns of a schema without its file."""
    lines = [
        Line(column.name, column.kind, _allowed(column), "", _range(column), _notation(column))
        for column in schema.columns
    ]
    names = ", ".join(schema.classes[:10]) + ", …" * (len(schema.classes) > 10)
    lines.append(Line(schema.target, "target", "", str(len(schema.classes) or ""), names, schema.task))
    return lines + [Line(name, "ignore", "", "", "", "") for name in schema.ignored]


def _allowed(column: Column) -> str:
    """Whether values may be missing, with the texts that mean it in this column only."""
    texts = f" ({', '.join(column.missing_values)})" if column.missing_values else ""
    return f"allowed{texts}" if column.missing else ""


def remarks(schema: Schema) -> Iterator[str]:
    """Remarks on a schema that its table does not show."""
    if schema.decimal == ",":
        yield COMMA
    if schema.missing_values:
        yield f"Missing values in every column: an empty cell, {', '.join(schema.missing_values)}."


def _feature(column: Column, finding: "Finding", note: str | None) -> Line:
    slips = f"{finding.wrong} wrong" if finding.wrong else ""
    return _line(column.name, column.kind, finding, "; ".join(filter(None, [_notation(column), slips, note])))


def _line(name: str, kind: str, finding: "Finding", why: str) -> Line:
    parts = [f"{text} {count}" for text, count in finding.missing.items()]
    missing = finding.empty + sum(finding.missing.values())
    said = f"{missing} ({', '.join(parts)})" if parts else str(missing or "")
    distinct = str(finding.distinct) if finding.distinct <= MOST_CATEGORIES else f"> {MOST_CATEGORIES}"
    return Line(name, kind, said, distinct, finding.example[:30], why)


def _notation(column: Column) -> str:
    written: Notation | None = column.notation
    if written is None:
        return ""
    marks = {
        "decimal": written.decimal if written.decimal != "." else "",
        "thousands": written.thousands,
        "unit": written.unit,
    }
    return written.order or ", ".join(f"{name} {mark!r}" for name, mark in marks.items() if mark)


def _range(column: Column) -> str:
    if column.minimum is None or column.maximum is None:
        return ", ".join(column.categories[:5]) + (", …" if len(column.categories) > 5 else "")
    if column.kind == "date":
        low, high = (EPOCH + timedelta(days=days) for days in (column.minimum, column.maximum))
        return f"{low:%Y-%m-%d} to {high:%Y-%m-%d}"
    return f"{column.minimum:g} to {column.maximum:g}"


def show(lines: list[Line]) -> None:
    """Print the table; with very many columns, a summary."""
    listed = (
        lines
        if len(lines) <= MOST_LISTED
        else [line for line in lines if line.why or line.kind == "target"][:MOST_LISTED]
    )
    cells = [[printable(text) for text in line] for line in listed]
    below = _is_narrow(cells)
    heads = [rich.table.Column(name, overflow="fold") for name in Line._fields]
    table = Table(*heads[:-1] if below else heads, box=None)
    for row in cells:
        table.add_row(*row[:-1] if below else row)
    CONSOLE.print(table)
    for name, *_, why in cells if below else ():
        if why:
            CONSOLE.print(f"  {name}: {why}", soft_wrap=True)
    if len(listed) < len(lines):
        kinds = Counter(line.kind for line in lines)
        CONSOLE.print(f"{len(lines)} columns, of which {len(listed)} are listed: {', '.join(_counts(kinds))}.")


def _is_narrow(cells: list[list[str]]) -> bool:
    """True if the terminal leaves too little room for the last column."""
    widths = [max(map(len, column)) for column in zip(Line._fields, *cells, strict=True)]
    return CONSOLE.width - sum(widths[:-1]) - 2 * len(widths) < min(widths[-1], READABLE)


def _counts(kinds: Mapping[str, int]) -> Iterator[str]:
    return (f"{count} {kind}" for kind, count in kinds.items())


class SchemaReport(TypedDict):
    """A schema, its columns as lines of the table, and remarks on it."""

    schema: dict[str, object]
    columns: list[dict[str, str]]
    remarks: list[str]


def as_json(schema: Schema, lines: list[Line], remarks: list[str]) -> SchemaReport:
    """The same for programs."""
    return {"schema": schema.model_dump(), "columns": [line._asdict() for line in lines], "remarks": remarks}
