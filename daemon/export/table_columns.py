"""The columns of a version for people: Markdown tables, and texts of the data in them."""

from collections.abc import Mapping

from retraind.daemon.schema.schema import Schema


def as_table(schema: Schema, notes: Mapping[str, str]) -> str:
    """A Markdown table: name, kind, whether values may be missing, and a note on each column."""
    lines = ["| column | kind | may be missing | given as |", "|---|---|---|---|"]
    lines += [
        f"| {cell(column.name)} | {column.kind} | {'yes' if column.missing else 'no'} | {notes[column.name]} |"
        for column in schema.columns
    ]
    return "\n".join(lines)


def cell(text: str) -> str:
    """A text of the data in Markdown, also in a table: names of columns, classes and files must not become markup."""
    return "".join(f"\\{mark}" if mark in "\\`*_[]<>|~#" else mark for mark in _shown(text))


def code(text: str) -> str:
    """The same as code, outside of tables."""
    return f"`{_shown(text).replace('`', chr(39))}`"


def _shown(text: str) -> str:
    return "".join(mark if mark.isprintable() else " " for mark in text)
