"""A revision in memory, as training sees it: which rows teach, and which are only judged on.

Level 3, pure but for reading the segments. The rows that teach come first, so that neither part has to be copied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from daemon import arrivals, fingerprints, rows, segments, split
from daemon.arrivals import SOURCES, Arrivals, Era, Window
from daemon.errors import TooFewRows
from daemon.fingerprints import Prints
from daemon.model import Matrix, Targets
from daemon.schema import BOUND, Column, Schema
from daemon.split import By, Keys, Mask

RARE = 4
"""So many classes that lack rows are named."""

SOME_ROWS = 500
"""Of each piece of a segment, to look at what stands in its columns."""


@dataclass(frozen=True)
class Before:
    """What decided which rows a version was trained on: its schema, what made rows a unit, the share held out, and when it was trained.

    `created`: ms since 1970. Rows that were accepted later can't be among its training rows.
    """

    schema: Schema
    by: By
    share: float
    created: float
    group: str = ""


@dataclass(frozen=True)
class Data:
    """Rows (n, d), targets (n,), and masks (n,) of those that are held out, in the reference holdout, in the window.

    `listed`: how many rows of the revision have a target that the schema knows, whether the window takes them or not.
    `units` (n,): rows of one number are never parted (`daemon/split.py`), `by` is what made them so. `fair` (n,): what the
    served version was not trained on either; of held-out rows that is all of them unless they were once chosen otherwise.
    """

    schema: Schema
    folder: Path
    segments: Mapping[str, str]
    place: NDArray[np.int64]
    """For each row of the segments its row here, -1 for one that is left out."""
    matrix: Matrix
    targets: Targets
    held: Mask
    reference: Mask
    recent: Mask
    listed: int
    units: Prints
    copies: Prints
    """Rows of one number and one target say the same (n,): they count once where they judge."""
    by: By
    fair: Mask
    first: Mask
    """Whose held-out rows are the reference (n,): those of the first revision, or of `era`."""
    arrived: Arrivals
    era: Era | None = None
    """Since the world changed: what was accepted before it does not judge, and may teach."""

    @classmethod
    def read(
        cls,
        folder: Path,
        wanted: Mapping[str, str],
        schema: Schema,
        first_rows: int,
        share: float,
        window: Window | None = None,
        by: By | None = None,
        before: Before | None = None,
        group: str = "",
        era: Era | None = None,
    ) -> Self:
        """Read and verify the segments `wanted` (name: sha256, oldest first); `share` of the rows is held out.

        The held-out ones of the first `first_rows`, or of the `era` if any are left, are the reference holdout, which no window
        shortens. `by` says what makes rows a unit (None: the column `group` or the rows themselves do), `before` how those were
        chosen that the served version was trained on. Raises DatasetDamaged, and TooFewRows when there is too little to learn from.
        """
        read = _read(folder, wanted, schema, group)
        targets, window = read.targets, window or Window()
        times = arrivals.plausible(read.times, window.now)
        # NaN is no number, and one beyond the bound comes from a segment of before these were refused.
        listed = (np.abs(targets) <= BOUND) & ((targets >= 0) | (schema.task == "regression"))
        alike = by if by not in (None, By.GROUP) else split.choose(read.keys, read.cells, targets.astype(np.float64))
        assert alike is not None
        by = by or (By.GROUP if group else alike)
        units, copies = (split.units(read.keys, one) for one in (by, alike))
        held = split.held_out(units, share, _classes(targets, listed, schema, by))
        learnt = (
            np.zeros(len(units), dtype=bool) if before is None else _learnt(folder, wanted, schema, read, before, group)
        )
        recent = arrivals.within(times, listed, window)
        first = np.zeros(len(targets), dtype=bool) if era is None else arrivals.during(times, era)
        if era is None or not (listed & held & first).any():
            first, era = np.arange(len(targets)) < first_rows, None
        reference = listed & held & first
        taught, judged = np.flatnonzero(recent & ~held), np.flatnonzero((recent & held) | reference)
        _require_enough(targets[taught], schema)
        order = np.concatenate([taught, judged])
        place = np.full(len(targets), -1, dtype=np.int64)
        place[order] = np.arange(len(order))
        matrix = _encode(folder, wanted, schema, place, len(order))
        masks = held[order], reference[order], recent[order]
        parted, fair = (units[order], copies[order]), split.fair(units, learnt)[order]
        listed_rows = int(listed.sum())
        arrived = Arrivals(times[order], read.keys.drop[order], read.sources[order])
        rows_of = schema, folder, wanted, place, matrix, targets[order], *masks
        return cls(*rows_of, listed_rows, *parted, by, fair, first[order], arrived, era)

    def moved(self, era: Era) -> Self:
        """The same rows where the world has changed: those of the era are the reference."""
        first = arrivals.during(self.arrived.times, era)
        return replace(self, first=first, reference=self.held & first, era=era)

    @property
    def rolling(self) -> Mask:
        """Which held-out rows judge beside the reference (n,): those in the window, since the world changed."""
        since = self.held & self.recent
        return since if self.era is None else since & (self.arrived.times >= self.era.since)

    def judged_by(self, schema: Schema) -> Matrix:
        """The held-out rows as a model of another schema sees them: what that schema does not list is unknown to it."""
        if schema.shape == self.schema.shape:
            return self.judging[0]
        count = self._taught_rows
        place = np.where(self.place >= count, self.place - count, -1)
        return _encode(self.folder, self.segments, schema, place, len(self.targets) - count)

    @property
    def _taught_rows(self) -> int:
        return len(self.held) - int(self.held.sum())

    @property
    def taught(self) -> tuple[Matrix, Targets]:
        """Rows and targets that may teach."""
        return self.matrix[: self._taught_rows], self.targets[: self._taught_rows]

    @property
    def taught_units(self) -> Prints:
        """The units of the rows that may teach: cross-validation must not part them."""
        return self.units[: self._taught_rows]

    @property
    def judging(self) -> tuple[Matrix, Targets]:
        """Rows and targets that are held out."""
        return self.matrix[self._taught_rows :], self.targets[self._taught_rows :]

    @property
    def first_taught(self) -> NDArray[np.int64]:
        """Places, among the rows that teach, of those of the first revision, or of the era."""
        return np.flatnonzero(self.first[: self._taught_rows])

    @property
    def as_accepted(self) -> tuple[Matrix, Targets]:
        """All rows and targets in the order of the segments: textbook figures depend on it."""
        order = self.place[self.place >= 0]
        return self.matrix[order], self.targets[order]

    def named(self, count: int) -> NDArray[Any]:
        """The first targets as people know them: class names, or numbers."""
        first = self.targets[:count]
        return np.array(self.schema.classes)[first] if self.schema.classes else first


@dataclass(frozen=True)
class _Read:
    """Of every row its target, when it was accepted (ms), whence, and the keys of its unit; `cells` (columns, m) are prints of some rows'."""

    targets: Targets
    times: NDArray[np.int64]
    sources: NDArray[np.int64]
    keys: Keys
    cells: Prints


def _read(folder: Path, wanted: Mapping[str, str], schema: Schema, group: str) -> _Read:
    columns = list(dict.fromkeys([*schema.features, schema.target, group, "_drop", "_row", "_accepted_at", "_source"]))
    listed = [one for one in schema.columns if one.name == group] or [Column(name=group or "_", kind="category")]
    found: list[tuple[NDArray[Any], ...]] = []
    some: list[Prints] = []
    for piece in segments.pieces(folder, wanted, columns):
        cells = fingerprints.by_cell(piece, schema.columns)
        some.append(cells[:, :: max(1, piece.num_rows // SOME_ROWS)].copy())
        names, codes = fingerprints.drops(piece)
        drops = np.array([fingerprints.of_text(name) for name in names], dtype=np.uint64)
        of_group = fingerprints.by_cell(piece, listed)[0]
        prints = fingerprints.of(cells), drops[codes], fingerprints.places(piece), of_group
        found.append((_targets(piece, schema), rows.accepted_at(piece), rows.source(piece, SOURCES), *prints))
    targets, times, sources, *prints_of = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _Read(targets, times, sources, Keys(*prints_of), np.concatenate(some, axis=1))


def _classes(targets: Targets, listed: Mask, schema: Schema, by: By) -> NDArray[np.int64]:
    """For each row the class of which some have to be held out; -1 for none. Values of a regression are of one class."""
    if by is By.PLACE:
        return np.full(len(targets), -1)
    return np.where(listed, 0 if schema.task == "regression" else targets, -1).astype(np.int64)


def _learnt(folder: Path, wanted: Mapping[str, str], schema: Schema, read: _Read, before: Before, group: str) -> Mask:
    """Which rows the version of before may have been trained on: what was there and not held out by the choice of then."""
    if before.by is not By.PLACE and not (_print_alike(before.schema, schema) and before.group == group):
        read = _read(folder, wanted, before.schema, before.group)
    listed = read.targets >= 0 if before.schema.task == "classification" else np.isfinite(read.targets)
    there = read.times <= before.created
    classes = _classes(read.targets, listed & there, before.schema, before.by)
    return there & ~split.held_out(split.units(read.keys, before.by), before.share, classes)


def _print_alike(one: Schema, other: Schema) -> bool:
    """Whether rows have the same fingerprints by both schemas, and the same classes: columns that one lacks were empty then."""
    kinds = [{(column.name, column.kind) for column in schema.columns} for schema in (one, other)]
    return kinds[0] <= kinds[1] and (one.task, one.target) == (other.task, other.target)


def _encode(folder: Path, wanted: Mapping[str, str], schema: Schema, place: NDArray[np.int64], count: int) -> Matrix:
    # Piece by piece: segments from before a change of the schema have other columns and types.
    matrix, start = np.empty((count, schema.width)), 0
    for piece in segments.pieces(folder, wanted, [*schema.features, "_row"]):
        into = place[start : start + piece.num_rows]
        start += piece.num_rows
        used = into >= 0
        matrix[into[used]] = rows.matrix(piece, schema)[used]
    return matrix


def _targets(table: Any, schema: Schema) -> Targets:
    return rows.targets(table, schema) if schema.task == "regression" else rows.codes(table, schema)


def _require_enough(taught: Targets, schema: Schema) -> None:
    missing = "rows with other values"
    if schema.task == "regression":
        lack = "fewer than two rows" if len(taught) < 2 else ""
    else:
        counts = np.bincount(taught, minlength=len(schema.classes))
        found = ", ".join(f"{n} of {name}" for name, n in zip(schema.classes, counts, strict=True) if n)[:200]
        lack = f"fewer than two classes with two rows ({found or 'none'})" if (counts > 1).sum() < 2 else ""
        rare = [name for name, n in zip(schema.classes, counts, strict=True) if n < 2]
        missing = "rows of " + (" or ".join(map(repr, rare[:RARE])) if len(rare) <= RARE else "another class")
    if lack:
        uncounted = "those that are held out (train.holdout) or outside train.window_rows and window_days don't count"
        raise TooFewRows(f"There are {lack} to learn from.", hint=f"Drop {missing}; {uncounted}.")
