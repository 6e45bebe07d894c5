"""The profile of a whole CSV file: its header, its columns, its torn rows and its decimal mark. For `infer_schema`."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Literal

import numpy as np
import pyarrow as pa

from retraind.daemon.core.errors import BadSchema, InvalidDrop
from retraind.daemon.schema.cell_notation import Order
from retraind.daemon.schema.schema import REMARKS
from retraind.daemon.tabular import csv_layout, csv_table, file_content
from retraind.daemon.tabular.csv_table import Header, Torn
from retraind.daemon.tabular.file_content import Content
from retraind.daemon.tabular.id_columns import Ids
from retraind.daemon.tabular.infer_column import ColumnProfile

Decimal = Literal[".", ","]

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


def of(path: Path, target: str, most: int, order: Order | None) -> CsvProfile:
    """The profile of a .csv or .csv.gz, at most `most` bytes decompressed; `order` is the order of ambiguous dates.

    Raises BadSchema if the file can't be read, has no plain header or no column `target`.
    """
    file = None
    try:
        file = opened(path, most)
        if reason := csv_layout.objection(file, target):
            raise BadSchema(f"{path}{reason}", hint=FIX)
        header = csv_table.examine(file, [target])
        profile = _look(file, header, {name: ColumnProfile() for name in header.names if name not in REMARKS})
        profile = replace(profile, decimal=_decimal(profile.columns, header.delimiter))
        profile = _with_notations(profile, order)
    except InvalidDrop as error:
        where = f"{path}, line {error.line}" if error.line else str(path)
        hint = csv_layout.BACKSLASHES if file and csv_layout.has_backslashes(file) else FIX
        raise BadSchema(f"{where}: {error.reason}", hint=hint) from None
    except OSError as error:
        raise BadSchema(f"{path}: {error.strerror}.", hint="Name a CSV file with a header.") from None
    if target not in profile.columns:
        raise BadSchema(f"{path} has no column {target!r}.", hint=f"It has: {', '.join(profile.columns)}.")
    return profile


def opened(path: Path, most: int) -> Content:
    """The bytes of a file, decompressed to at most `most`; raises OSError, InvalidDrop."""
    fd = os.open(path, os.O_RDONLY)
    if file_content.is_packed(path.name):
        try:
            return file_content.take(fd, Path(gettempdir()), inflate=True, most=most)
        finally:
            os.close(fd)
    return Content("", os.fstat(fd).st_size, None, fd)  # closes it


def _with_notations(profile: CsvProfile, order: Order | None) -> CsvProfile:
    """The profile after a second pass over columns that look like numbers or dates in another notation."""
    notations = {name: column.notations(profile.decimal, order) for name, column in profile.columns.items()}
    profiles = {name: ColumnProfile.trying(tried) for name, tried in notations.items() if tried}
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
    """The decimal mark; a comma needs another delimiter and more columns of numbers like 1,5 than like 1.5."""
    points, commas = (
        sum(profile.numbers[mark].fits and profile.numbers[mark].marked for profile in profiles.values())
        for mark in (".", ",")
    )
    return "," if delimiter != "," and commas > points else "."
