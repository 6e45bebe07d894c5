"""Sentences on a schema that a drop has extended, or a person has changed. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from retraind.daemon.schema.class_labels import Classes
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema

MOST_CHANGES = 10
"""Maximum number of schema changes that a sentence names."""


class Growth(NamedTuple):
    """An addition to the schema: a sentence, and the column and text of a category that is like an earlier one."""

    sentence: str
    suspect: tuple[str, str] | None = None


def growth(before: Schema, after: Schema) -> Iterator[Growth]:
    """Each class, column and category that was added to the schema."""
    for at, name in enumerate(after.classes[len(before.classes) :], start=len(before.classes)):
        close = Classes(after.classes[:at]).like(name)  # also among those added together
        beside = f", which differs from {close!r} only in case or spaces: is it the same?" if close else ""
        yield Growth(f"The schema has the new class {name!r}{beside or '.'}")
    old = {column.name: column for column in before.columns}
    for column in after.columns:
        if column.name not in old:
            yield Growth(f"The schema has the new column {column.name!r} ({column.kind}).")
            continue
        earlier = old[column.name].categories
        for category in column.categories[len(earlier) :]:
            sentence = f"The schema has the new category {category!r} of {column.name!r}"
            if other := _without_zeros(category, earlier):
                doubt = f"which differs from {other!r} only in leading zeros: has a spreadsheet changed it?"
                yield Growth(f"{sentence}, {doubt}", (column.name, category))
            else:
                yield Growth(f"{sentence}.")


def _without_zeros(category: str, others: Iterable[str]) -> str:
    """The category that is the same number with other leading zeros; empty if there is none."""
    if not category.isdecimal():
        return ""
    bare = category.lstrip("0")
    return next((other for other in others if other.isdecimal() and other.lstrip("0") == bare), "")


def changes(before: Schema, after: Schema) -> str:
    """A sentence on a schema that a person changed."""
    old, new = ({one.name: one for one in schema.columns} for schema in (before, after))
    parts = [f"without {name!r}" for name in old if name not in new]
    parts += [f"with {name!r} ({one.kind})" for name, one in new.items() if name not in old]
    for name, one in new.items():
        parts += _of_column(old[name], one) if name in old else []
    parts += _of_target(before, after)
    if before.missing_values != after.missing_values:
        parts.append(f"missing values are {', '.join(after.missing_values) or 'empty cells only'}")
    if before.decimal != after.decimal:
        parts.append(f"the decimal mark is {after.decimal!r}")
    ignored = [name for name in after.ignored if name not in {*before.ignored, *old}]
    parts += [f"{name!r} is ignored" for name in ignored]
    parts += [f"{name!r} is no longer ignored" for name in before.ignored if name not in {*after.ignored, *new}]
    more = "; …" if len(parts) > MOST_CHANGES else ""
    listed = "; ".join(parts[:MOST_CHANGES]) or "the order or the ranges of its columns"
    return f"The schema was changed: {listed}{more}. It applies from the next drop on."


def _of_column(old: Column, new: Column) -> Iterator[str]:
    name = new.name
    if old.kind != new.kind:
        yield f"{name!r} is {new.kind}, not {old.kind}"
    if old.missing != new.missing:
        yield f"{name!r} {'may' if new.missing else 'may not'} be missing"
    if old.missing_values != new.missing_values:
        yield f"missing values of {name!r} are {', '.join(new.missing_values) or 'those of all columns'}"
    if old.notation != new.notation:
        yield f"{name!r} is written {f'as {_notation(new)}' if new.notation else 'plainly'}"
    if old.kind == new.kind and old.categories != new.categories:
        gone = [text for text in old.categories if text not in new.codes]
        added = [text for text in new.categories if text not in old.codes]
        yield from (f"{name!r} is without the category {text!r}" for text in gone)
        yield from (f"{name!r} has the category {text!r}" for text in added)


def _notation(column: Column) -> str:
    assert column.notation is not None
    marks = column.notation.model_dump(exclude_defaults=True)
    return ", ".join(f"{name} {mark!r}" for name, mark in marks.items()) or "plain numbers"


def _of_target(before: Schema, after: Schema) -> Iterator[str]:
    if before.target != after.target:
        yield f"the target is {after.target!r}, not {before.target!r}"
    if before.task != after.task:
        yield f"the task is {after.task}, not {before.task}"
    yield from (f"without the class {name!r}" for name in before.classes if name not in after.class_codes)
    yield from (f"with the class {name!r}" for name in after.classes if name not in before.class_codes)
    if before.notation != after.notation:
        yield "the target is written in another notation"
