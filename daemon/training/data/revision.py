"""A revision in memory, as training sees it: which rows train, and which only judge.

Pure but for reading the segments. The training rows come first, so that neither part has to be copied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from daemon.core.errors import TooFewRows
from daemon.dataset import segments
from daemon.model import Matrix, Targets
from daemon.schema import arrival_times
from daemon.schema.arrival_times import Arrivals, Era, Window
from daemon.schema.schema import Schema
from daemon.tabular import rows
from daemon.tabular.row_hashes import Prints
from daemon.tabular.row_times import Moments
from daemon.training.data import holdout_assignment, row_roles, split
from daemon.training.data.holdout_assignment import PastAssignment, RowFacts
from daemon.training.data.row_roles import Roles
from daemon.training.data.split import By, Mask

RARE = 4
"""So many classes that lack rows are named."""


@dataclass(frozen=True)
class Data:
    """Rows (n, d), targets (n,), and masks (n,) of those that are held out, in the reference holdout, in the window.

    `listed`: how many rows of the revision have a target that the schema knows, whether the window takes them or not.
    `units` (n,): rows of one number are never parted (`daemon/training/data/split.py`), `by` is what made them so. `fair` (n,): what the
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
    """Since the world changed: what was accepted before it does not judge, but may train."""
    time: str = ""
    """The column of the rows' times, if they are to be parted by it."""
    since: float | None = None
    """From which time on rows are held out; None: a hash of the unit says it."""
    moments: Moments = field(default_factory=lambda: np.zeros(0))
    """When each row was (n,); NaN: not known."""

    @classmethod
    def read(
        cls,
        folder: Path,
        hashes: Mapping[str, str],
        schema: Schema,
        first_rows: int,
        share: float,
        window: Window | None = None,
        by: By | None = None,
        before: PastAssignment | None = None,
        group: str = "",
        era: Era | None = None,
        time: str = "",
    ) -> Self:
        """Read and verify segments (`hashes`: sha256 by name, oldest first); `share` of the rows is held out.

        The held-out ones of the first `first_rows`, or of the `era` if any are left, are the reference holdout, which no window
        shortens. `by` says what makes rows a unit (None: the column `group` or the rows themselves do), `before` how those were
        chosen that the served version was trained on; the column `time` says when rows were. Raises DatasetDamaged, TrainingFailed
        for times that can't be told, and TooFewRows when there is too little to train on.
        """
        read = holdout_assignment.read(folder, hashes, schema, group, time)
        roles = row_roles.of(read, schema, first_rows, share, window or Window(), by, era)
        trained = holdout_assignment.trained(folder, hashes, schema, read, before)
        _require_enough(read.targets[roles.training], schema)
        return cls._arranged(folder, hashes, schema, read, roles, trained)

    @classmethod
    def _arranged(
        cls, folder: Path, hashes: Mapping[str, str], schema: Schema, read: RowFacts, roles: Roles, trained: Mask
    ) -> Self:
        """The rows in the order of their roles; `trained` are those that the served version may have been trained on."""
        order, units = roles.order, roles.sides.units
        place = np.full(len(read.targets), -1, dtype=np.int64)
        place[order] = np.arange(len(order))
        return cls(
            schema=schema,
            folder=folder,
            segments=hashes,
            place=place,
            matrix=_encode(folder, hashes, schema, place, len(order)),
            targets=read.targets[order],
            held=roles.sides.held[order],
            reference=roles.reference[order],
            recent=roles.recent[order],
            listed=int(roles.listed.sum()),
            units=units[order],
            copies=split.units(read.keys, roles.alike)[order],
            by=roles.by,
            fair=split.fair(units, trained)[order],
            first=roles.first[order],
            arrived=Arrivals(roles.times[order], read.keys.drop[order], read.sources[order]),
            era=roles.era,
            time=read.time,
            since=roles.sides.since,
            moments=read.moments[order],
        )

    def moved(self, era: Era) -> Self:
        """The same rows where the world has changed: those of the era are the reference."""
        first = arrival_times.during(self.arrived.times, era)
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
        count = self._training_rows
        place = np.where(self.place >= count, self.place - count, -1)
        return _encode(self.folder, self.segments, schema, place, len(self.targets) - count)

    @property
    def _training_rows(self) -> int:
        return len(self.held) - int(self.held.sum())

    @property
    def training(self) -> tuple[Matrix, Targets]:
        """Rows and targets to train on."""
        return self.matrix[: self._training_rows], self.targets[: self._training_rows]

    @property
    def whole(self) -> tuple[Matrix, Targets]:
        """All rows and targets of the window, those that judge as well: what a served model is trained on."""
        everything = slice(None) if self.recent.all() else self.recent
        return self.matrix[everything], self.targets[everything]

    @property
    def training_units(self) -> Prints:
        """The units of the training rows: cross-validation must not part them."""
        return self.units[: self._training_rows]

    @property
    def training_times(self) -> Moments | None:
        """The times of the training rows, where rows are parted by time: cross-validation goes forward in it."""
        return None if self.since is None else self.moments[: self._training_rows]

    @property
    def judging(self) -> tuple[Matrix, Targets]:
        """Rows and targets that are held out."""
        return self.matrix[self._training_rows :], self.targets[self._training_rows :]

    @property
    def first_training(self) -> NDArray[np.int64]:
        """Places, among the training rows, of those of the first revision, or of the era."""
        return np.flatnonzero(self.first[: self._training_rows])

    @property
    def as_accepted(self) -> tuple[Matrix, Targets]:
        """All rows and targets in the order of the segments: textbook figures depend on it."""
        order = self.place[self.place >= 0]
        return self.matrix[order], self.targets[order]

    def named(self, count: int) -> NDArray[Any]:
        """The first targets as people know them: class names, or numbers."""
        first = self.targets[:count]
        return np.array(self.schema.classes)[first] if self.schema.classes else first


def _encode(folder: Path, hashes: Mapping[str, str], schema: Schema, place: NDArray[np.int64], count: int) -> Matrix:
    # Piece by piece: segments from before a change of the schema have other columns and types.
    matrix, start = np.empty((count, schema.width)), 0
    for piece in segments.pieces(folder, hashes, [*schema.features, "_row"]):
        into = place[start : start + piece.num_rows]
        start += piece.num_rows
        used = into >= 0
        matrix[into[used]] = rows.matrix(piece, schema)[used]
    return matrix


def _require_enough(targets: Targets, schema: Schema) -> None:
    missing = "rows with other values"
    if schema.task == "regression":
        lack = "fewer than two rows" if len(targets) < 2 else ""
    else:
        counts = np.bincount(targets, minlength=len(schema.classes))
        listing = ", ".join(f"{n} of {name}" for name, n in zip(schema.classes, counts, strict=True) if n)[:200]
        lack = f"fewer than two classes with two rows ({listing or 'none'})" if (counts > 1).sum() < 2 else ""
        rare = [name for name, n in zip(schema.classes, counts, strict=True) if n < 2]
        missing = "rows of " + (" or ".join(map(repr, rare[:RARE])) if len(rare) <= RARE else "another class")
    if lack:
        uncounted = "those that are held out (train.holdout) or outside train.window_rows and window_days don't count"
        raise TooFewRows(f"There are {lack} to train on.", hint=f"Drop {missing}; {uncounted}.")
