"""The profile of a whole CSV file: its header, its columns, its torn rows and its decimal mark. For `infer_schema`."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Literal

import numpy as np
import pyarrow as pa

from retraind.daemon.core.errors import BadSchema, InvalidDrop
from retraind.daemon.core.validation import near_names
from retraind.daemon.schema.cell_notation import Order
from retraind.daemon.schema.column import Kind
from retraind.daemon.schema.schema import REMARKS
from retraind.daemon.tabular import csv_layout, csv_table, file_content
from retraind.daemon.tabular.csv_table import Header, Torn
from retraind.daemon.tabular.file_content import Content
from retraind.daemon.tabular.id_columns import Ids
from retraind.daemon.tabular.infer_column import ColumnProfile

Decimal = Literal[".", ","]

Choice = Kind | Literal["ignore"]
"""A kind that a person chooses for a column."""

WRITTEN: tuple[Kind, ...] = ("number", "integer", "date", "boolean")
"""Kinds that not every text fits."""

FIX = "Fix the file and try again."


@dataclass(frozen=True)
class CsvProfile:
    """The columns of one file, from all its rows."""

    file: Content
    header: Header
    columns: dict[str, ColumnProfile]
    ids: dict[str, Ids]
    torn: list[Torn]
    decimal: Decimal = "."

    def lines(self, rows: Iterable[int]) -> dict[int, int]:
        """The 1-based line of each of these rows (0-based, without torn ones)."""
        before = np.array([torn.record - at for at, torn in enumerate(self.torn)], np.int64)
        records = {row + int(np.searchsorted(before, row, side="right")): row for row in rows}
        return {records[record]: line for record, line, _ in csv_table.locate(self.file, self.header, records)}


@dataclass(frozen=True)
class Wishes:
    """The statements of a person: kinds by column, texts that mean a missing value, the order of ambiguous dates."""

    kinds: Mapping[str, Choice] = field(default_factory=dict)
    missing: Collection[str] = ()
    order: Order | None = None


def of(path: Path, target: str, most: int, wishes: Wishes) -> CsvProfile:
    """The profile of a .csv or .csv.gz, at most `most` bytes decompressed.

    Raises BadSchema if the file can't be read, has no plain header or no column `target`.
    """
    file = None
    try:
        file = opened(path, most)
        if reason := csv_layout.objection(file, target):
            raise BadSchema(f"{path}{reason}", hint=FIX)
        header = csv_table.examine(file, [target])
        names = [name for name in header.names if name not in REMARKS]
        if target not in names:
            raise BadSchema(f"{path} has no column {target!r}.", hint=_hint(target, names))
        profile = _look(file, header, {name: ColumnProfile(missing_texts=wishes.missing) for name in names})
        profile = replace(profile, decimal=_decimal(profile.columns, header.delimiter))
        profile = _with_notations(profile, wishes)
    except InvalidDrop as error:
        where = f"{path}, line {error.line}" if error.line else str(path)
        hint = csv_layout.BACKSLASHES if file and csv_layout.has_backslashes(file) else FIX
        raise BadSchema(f"{where}: {error.reason}", hint=hint) from None
    except OSError as error:
        raise BadSchema(f"{path}: {error.strerror}.", hint="Name a CSV file with a header.") from None
    return replace(profile, decimal=_decimal(profile.columns, header.delimiter))


def _hint(target: str, names: Sequence[str]) -> str:
    """The columns that there are, with those whose name is like the target's."""
    close = near_names.like(target, names)
    question = f"Is it {' or '.join(map(repr, close))}? " if close else ""
    return f"{question}It has: {', '.join(names)[:500]}."


def opened(path: Path, most: int) -> Content:
    """The bytes of a file, decompressed to at most `most`; raises OSError, InvalidDrop."""
    fd = os.open(path, os.O_RDONLY)
    if file_content.is_packed(path.name):
        try:
            return file_content.take(fd, Path(gettempdir()), inflate=True, most=most)
        finally:
            os.close(fd)
    return Content("", os.fstat(fd).st_size, None, fd)  # closes it


def _with_notations(profile: CsvProfile, wishes: Wishes) -> CsvProfile:
    """The profile after a second pass over columns of a chosen kind, and those that look like numbers or dates in another notation."""
    profiles = {}
    for name, column in profile.columns.items():
        kind = wishes.kinds.get(name)
        if read := next((one for one in WRITTEN if one == kind), None):
            tried = column.choices(read, profile.decimal, wishes.order)
            profiles[name] = ColumnProfile.choosing(read, tried, profile.decimal, wishes.missing)
        elif kind is None and (notations := column.notations(profile.decimal, wishes.order)):
            profiles[name] = ColumnProfile.trying(notations, wishes.missing)
    if not profiles:
        return profile
    return replace(profile, columns=profile.columns | _look(profile.file, profile.header, profiles).columns)


def _look(file: Content, header: Header, profiles: dict[str, ColumnProfile]) -> CsvProfile:
    """Add all rows of the file to the profiles; raises InvalidDrop if every row is torn, OSError."""
    torn: list[Torn] = []
    ids = {name: Ids() for name in profiles}
    for chunk in csv_table.chunks(file, header):
        torn += chunk.torn
        for name, profile in profiles.items():
            texts = pa.concat_arrays(chunk.table[name].chunks) if len(chunk.records) else pa.array([], pa.string())
            profile.add(texts)
            ids[name].add(texts)
    if torn and not any(profile.rows for profile in profiles.values()):
        _, line, _ = next(csv_table.locate(file, header, [torn[0].record]))
        raise InvalidDrop(torn[0].reason, line=line)
    return CsvProfile(file, header, profiles, ids, torn)


def _decimal(profiles: Mapping[str, ColumnProfile], delimiter: str) -> Decimal:
    """The decimal mark; a comma needs another delimiter and more columns of numbers like 1,5 than like 1.5.

    Columns with a unit or thousands have their own mark; they only decide if there are no others.
    """
    points, commas = (
        sum(profile.numbers[mark].fits and profile.numbers[mark].marked for profile in profiles.values())
        for mark in (".", ",")
    )
    if not points and not commas:
        notations = [guess.column.notation for one in profiles.values() if (guess := one.best or one.guess("."))]
        marks = [notation.decimal for notation in notations if notation and not notation.order]
        points, commas = marks.count("."), marks.count(",")
    return "," if delimiter != "," and commas > points else "."
