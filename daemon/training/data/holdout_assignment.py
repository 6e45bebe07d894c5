"""The assignment of rows: decides which rows train and which are held out, now and for the served version.

`split` has the rules; this module reads the rules' inputs from the segments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.dataset import segments
from retraind.daemon.model import Targets
from retraind.daemon.schema.arrival_times import SOURCES
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.hash_mixing import Prints
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import row_hashes, row_times, rows
from retraind.daemon.tabular.row_times import Moments
from retraind.daemon.training.data import split
from retraind.daemon.training.data.gathered import Gathered
from retraind.daemon.training.data.split import By, Keys, Mask

SOME_ROWS = 500
"""Rows sampled from each piece of a segment, to examine the values of its columns."""


@dataclass(frozen=True)
class PastAssignment:
    """The basis of a version's assignment: its schema, the rule for units, the share held out, and when it was trained.

    `created`: ms since 1970. Rows that were accepted later can't be among its training rows. `since`: rows with this or
    a later value in the column `time` were held out; None: a hash of the unit decided.
    """

    schema: Schema
    by: By
    share: float
    created: float
    group: str = ""
    time: str = ""
    since: float | None = None


@dataclass(frozen=True)
class RowFacts:
    """For every row (n,): its target, acceptance time (ms), source, the keys of its unit, and its time (NaN: unknown).

    `cells` (columns, m) are the hashes of the cells of some rows; `group` and `time` are the columns that were read.
    """

    targets: Targets
    accepted: NDArray[np.int64]
    sources: NDArray[np.int8]
    keys: Keys
    cells: Prints
    moments: Moments
    group: str
    time: str


@dataclass(frozen=True)
class Assignment:
    """`held` rows (n,) don't train; those that are also `judging` judge.

    Rows of the same unit in `units` are never separated.
    """

    units: Prints
    held: Mask
    judging: Mask
    since: float | None


def read(folder: Path, hashes: Mapping[str, str], schema: Schema, group: str = "", time: str = "") -> RowFacts:
    """Read the facts of all rows of segments (`hashes`: sha256 by name).

    Raises DatasetDamaged, and TrainingFailed if times are ambiguous or a setting names the target.
    """
    for setting, name in (("group", group), ("time", time)):
        if name == schema.target:
            raise TrainingFailed(f"train.{setting} = {name!r} is the target.", hint="Name another column, or none.")
    columns = list(
        dict.fromkeys([*schema.features, schema.target, group, time, "_drop", "_row", "_accepted_at", "_source"])
    )
    of_group, of_time = _column(schema, group), _column(schema, time)
    gathered = [Gathered() for _ in range(7)]
    some: list[Prints] = []
    written: list[pa.ChunkedArray] = []
    for piece in segments.pieces(folder, hashes, columns):
        cells = row_hashes.by_cell(piece, schema.columns)
        some.append(cells[:, :: max(1, piece.num_rows // SOME_ROWS)].copy())
        names, codes = row_hashes.drops(piece)
        drops = np.array([row_hashes.of_text(name) for name in names], dtype=np.uint64)
        groups = row_hashes.by_cell(piece, [of_group])[0] if group else np.zeros(0, np.uint64)
        prints = row_hashes.of(cells), drops[codes], row_hashes.places(piece), groups
        facts = _targets(piece, schema), rows.accepted_at(piece), rows.source(piece, SOURCES).astype(np.int8), *prints
        for column, fact in zip(gathered, facts, strict=True):
            column.add(fact)
        if time:
            written.append(_written(piece, time))
    targets, accepted, sources, content, drop, place, groups = (column.whole for column in gathered)
    # One zero or NaN for all rows: there may be more of them than memory has room for.
    groups = groups if group else np.broadcast_to(np.uint64(0), len(targets))
    when = row_times.of(written, of_time) if time else np.broadcast_to(np.nan, len(targets))
    return RowFacts(
        targets, accepted, sources, Keys(content, drop, place, groups), np.concatenate(some, axis=1), when, group, time
    )


def _written(piece: pa.Table, time: str) -> pa.ChunkedArray:
    """The column of times as stored in a segment; empty if the segment lacks it."""
    return piece[time] if time in piece.column_names else pa.chunked_array([pa.nulls(piece.num_rows, pa.string())])


def _column(schema: Schema, name: str) -> Column:
    return next((one for one in schema.columns if one.name == name), Column(name=name or "_", kind="category"))


def _targets(table: Any, schema: Schema) -> Targets:
    return rows.targets(table, schema) if schema.task == "regression" else rows.codes(table, schema)


def assign(read: RowFacts, schema: Schema, by: By, share: float, listed: Mask, recent: Mask) -> Assignment:
    """Decide which rows train and which judge: by their time if a column has it, otherwise by a hash of their unit.

    A newer copy of a training row is no evidence, so it doesn't judge. If equal rows are separate observations, they
    are not copies.
    """
    begin = split.since(read.moments, recent, share)
    if begin is None:
        units = split.units(read.keys, by)
        held = split.held_out(units, share, _classes(read.targets, listed, schema, by))
        return Assignment(units, held, held, None)
    units = split.units(read.keys, By.PLACE if by is By.OCCURRENCE else by)
    held = split.newest(units, share, read.moments, begin)
    return Assignment(units, held, held & split.fair(units, recent & ~held), begin)


def _classes(targets: Targets, listed: Mask, schema: Schema, by: By) -> NDArray[np.int64]:
    """For each row its class, of which some rows must be held out; -1 for none.

    All values of a regression are one class.
    """
    if by is By.PLACE:
        return np.full(len(targets), -1)
    return np.where(listed, 0 if schema.task == "regression" else targets, -1).astype(np.int64, copy=False)


def trained(
    folder: Path, hashes: Mapping[str, str], schema: Schema, now: RowFacts, before: PastAssignment | None
) -> Mask:
    """The rows that the served version may have been trained on: they existed and were not held out at that time."""
    if before is None:
        return np.zeros(len(now.targets), dtype=bool)
    try:
        now = _then(folder, hashes, schema, now, before)
    except TrainingFailed:  # its column can no longer be read, so it may have been trained on all rows of that time
        return now.accepted <= before.created
    there = now.accepted <= before.created
    if before.since is not None:  # taken from the record, because forgotten or late rows would move it
        units = split.units(now.keys, By.PLACE if before.by is By.OCCURRENCE else before.by)
        return there & ~split.newest(units, before.share, now.moments, before.since)
    listed = now.targets >= 0 if before.schema.task == "classification" else np.isfinite(now.targets)
    classes = _classes(now.targets, listed & there, before.schema, before.by)
    return there & ~split.held_out(split.units(now.keys, before.by), before.share, classes)


def _then(folder: Path, hashes: Mapping[str, str], schema: Schema, now: RowFacts, before: PastAssignment) -> RowFacts:
    """The rows as they were read for the served version: only facts with a changed meaning are read again."""
    timed, grouped = before.since is not None, before.by is By.GROUP
    if before.by is By.PLACE and not timed:
        return now
    if not _hash_alike(before.schema, schema):
        return read(folder, hashes, before.schema, before.group, before.time)
    group = before.group if grouped and before.group != now.group else ""
    time = before.time if timed and before.time != now.time else ""
    return _with_columns_of(folder, hashes, before.schema, now, group, time) if group or time else now


def _with_columns_of(
    folder: Path, hashes: Mapping[str, str], schema: Schema, now: RowFacts, group: str, time: str
) -> RowFacts:
    """The same rows by another group or time (empty: unchanged); only these columns are read."""
    groups: list[Prints] = []
    written: list[pa.ChunkedArray] = []
    for piece in segments.pieces(folder, hashes, list(dict.fromkeys([group, time, "_row"]))):
        groups.append(row_hashes.by_cell(piece, [_column(schema, group)])[0])
        written.append(_written(piece, time))
    keys = replace(now.keys, group=np.concatenate(groups)) if group else now.keys
    when = row_times.of(written, _column(schema, time)) if time else now.moments
    return replace(now, keys=keys, moments=when, group=group or now.group, time=time or now.time)


def _hash_alike(one: Schema, other: Schema) -> bool:
    """Whether rows have the same fingerprints and classes by both schemas.

    The dataset may have a column that a schema lacks: those of `train.group` and `train.time` are stored without being
    listed.
    """
    kinds = [{(column.name, column.kind) for column in schema.columns} for schema in (one, other)]
    return kinds[0] == kinds[1] and (one.task, one.target) == (other.task, other.target)
