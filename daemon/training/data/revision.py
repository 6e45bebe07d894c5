"""A revision in memory for a training: its rows, and which of them train or only judge.

Pure except for reading the segments. The training rows come first, so that neither part must be copied.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from retraind.daemon import model
from retraind.daemon.core.errors import TooFewRows
from retraind.daemon.dataset import segments
from retraind.daemon.model import Matrix, Targets
from retraind.daemon.schema import arrival_times
from retraind.daemon.schema.arrival_times import Arrivals, Era, Window
from retraind.daemon.schema.hash_mixing import Prints
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import rows
from retraind.daemon.tabular.row_times import Moments
from retraind.daemon.training.data import holdout_assignment, row_roles, split
from retraind.daemon.training.data.holdout_assignment import PastAssignment, RowFacts
from retraind.daemon.training.data.row_roles import Roles
from retraind.daemon.training.data.split import By, Mask

RARE = 4
"""Maximum number of classes without enough rows that a message names."""


@dataclass(frozen=True)
class Data:
    """Rows (n, d), targets (n,), and masks (n,) of the rows that are held out, in the reference holdout, in the window.

    `listed`: the number of rows in the revision with a target that the schema knows, in the window or not. `units`
    (n,): rows with the same number are never separated (`daemon/training/data/split.py`); `by` is the rule that made
    the units. `fair` (n,): rows that the served version was not trained on either; these are all held-out rows, unless
    an earlier rule chose others.
    """

    in_pieces: ClassVar[bool] = False
    """Whether the rows stay in their segments, so that only candidates that read pieces can be fitted to them."""

    schema: Schema
    folder: Path
    segments: Mapping[str, str]
    place: NDArray[np.int64]
    """For each row of the segments its row here, -1 if it is left out."""
    matrix: Matrix
    targets: Targets
    held: Mask
    reference: Mask
    recent: Mask
    listed: int
    units: Prints
    copies: Prints
    """Rows (n,) with the same number and target are copies: they count once when they judge."""
    by: By
    fair: Mask
    first: Mask
    """Rows (n,) that are in the reference if held out: those of the first revision, or of `era`."""
    arrived: Arrivals
    era: Era | None = None
    """The era since the world changed: rows accepted before it do not judge, but may train."""
    time: str = ""
    """The column of the rows' times, if time separates training rows from judging rows."""
    since: float | None = None
    """The time from which on rows are held out; None: a hash of the unit decides."""
    moments: Moments = field(default_factory=lambda: np.zeros(0))
    """The time of each row (n,); NaN: unknown."""

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
        early_rows: int = 0,
    ) -> Self:
        """Read and verify segments (`hashes`: sha256 by name, oldest first); `share` of the rows is held out.

        The held-out rows among the first `first_rows` and the `early_rows` accepted next, or of the `era` if any are
        left, are the reference holdout, which no window shortens. `by` is the rule for units (None: it follows from the column `group` or from the
        rows), `before` the assignment of the served version, `time` the column with the rows' times. Raises
        DatasetDamaged, TrainingFailed for ambiguous times, and TooFewRows when there is too little to train on.
        """
        read = holdout_assignment.read(folder, hashes, schema, group, time)
        roles = row_roles.of(read, schema, (first_rows, early_rows), share, window or Window(), by, era)
        trained = holdout_assignment.trained(folder, hashes, schema, read, before)
        require_enough(read.targets[roles.training], schema)
        return cls._arranged(folder, hashes, schema, read, roles, trained)

    @classmethod
    def _arranged(
        cls, folder: Path, hashes: Mapping[str, str], schema: Schema, read: RowFacts, roles: Roles, trained: Mask
    ) -> Self:
        """The rows in the order of their roles; `trained` are those that the served version may have been trained on."""
        order = roles.order
        place = np.full(len(read.targets), -1, dtype=np.int64)
        place[order] = np.arange(len(order))
        matrix = encode(folder, hashes, schema, place, len(order))
        return cls(
            schema=schema,
            folder=folder,
            segments=hashes,
            place=place,
            matrix=matrix,
            **facts_of(read, roles, trained, order),
        )

    def moved(self, era: Era) -> Self:
        """The same rows after a world change: those of the era are the reference."""
        first = arrival_times.during(self.arrived.times, era)
        return replace(self, first=first, reference=self.held & first, era=era)

    @property
    def rolling(self) -> Mask:
        """The held-out rows (n,) that judge in addition to the reference: those in the window, since the world changed."""
        since = self.held & self.recent
        return since if self.era is None else since & (self.arrived.times >= self.era.since)

    def fit(self, estimator: Any, examples: tuple[Matrix, Targets], *, whole: bool) -> Any:
        """A clone fitted on `examples`, which are `whole` (with the rows that judge) or `training`."""
        return model.fit(estimator, *examples)

    def answer(self, answering: Callable[[Matrix], Matrix], schema: Schema | None = None) -> Matrix:
        """The answers for the held-out rows, in their order, of a model with another `schema` if it has one."""
        return answering(self.judging[0] if schema is None else self._judged_by(schema))

    def _judged_by(self, schema: Schema) -> Matrix:
        """The held-out rows, encoded for a model with another schema: values that it does not list are unknown to it."""
        if schema.shape == self.schema.shape:
            return self.judging[0]
        count = self._training_rows
        place = np.where(self.place >= count, self.place - count, -1)
        return encode(self.folder, self.segments, schema, place, len(self.targets) - count)

    @property
    def _training_rows(self) -> int:
        return len(self.held) - int(self.held.sum())

    @property
    def training(self) -> tuple[Matrix, Targets]:
        """Rows and targets to train on."""
        return self.matrix[: self._training_rows], self.targets[: self._training_rows]

    @property
    def whole(self) -> tuple[Matrix, Targets]:
        """All rows and targets of the window, including those that judge: a served model is trained on them."""
        everything = slice(None) if self.recent.all() else self.recent
        return self.matrix[everything], self.targets[everything]

    @property
    def training_targets(self) -> Targets:
        """The targets of all training rows."""
        return self.training[1]

    @property
    def counts(self) -> tuple[int, int]:
        """Numbers of rows in `training` and in `whole`."""
        return self._training_rows, int(self.recent.sum())

    @property
    def training_units(self) -> Prints:
        """The units of the training rows, which cross-validation must not separate."""
        return self.units[: self._training_rows]

    @property
    def training_times(self) -> Moments | None:
        """The times of the training rows if time separates rows; cross-validation then goes forward in time."""
        return None if self.since is None else self.moments[: self._training_rows]

    @property
    def judging(self) -> tuple[Matrix, Targets]:
        """Rows and targets that are held out."""
        return self.matrix[self._training_rows :], self.targets[self._training_rows :]

    @property
    def first_training(self) -> NDArray[np.int64]:
        """Positions, among the training rows, of rows of the first revision or of the era."""
        return np.flatnonzero(self.first[: self._training_rows])

    @property
    def as_accepted(self) -> tuple[Matrix, Targets]:
        """All rows and targets in the order of the segments, on which textbook figures depend."""
        order = self.place[self.place >= 0]
        return self.matrix[order], self.targets[order]

    def named(self, count: int) -> NDArray[Any]:
        """The first targets for people: class names, or numbers."""
        first = self.targets[:count]
        return np.array(self.schema.classes)[first] if self.schema.classes else first


class Facts(TypedDict):
    """The facts of some rows, as in `Data`."""

    targets: Targets
    held: Mask
    reference: Mask
    recent: Mask
    listed: int
    units: Prints
    copies: Prints
    by: By
    fair: Mask
    first: Mask
    arrived: Arrivals
    era: Era | None
    time: str
    since: float | None
    moments: Moments


def facts_of(read: RowFacts, roles: Roles, trained: Mask, order: NDArray[np.int64]) -> Facts:
    """The facts of the rows `order`, in that order; `trained` (n,) may have trained the served version."""
    units, copies = roles.sides.units, split.units(read.keys, roles.alike)
    ordered = units[order]
    return {
        "targets": read.targets[order],
        "held": roles.sides.held[order],
        "reference": roles.reference[order],
        "recent": roles.recent[order],
        "listed": int(roles.listed.sum()),
        "units": ordered,
        "copies": ordered if copies is units else copies[order],
        "by": roles.by,
        "fair": split.fair(units, trained)[order],
        "first": roles.first[order],
        "arrived": Arrivals(roles.times[order], read.keys.drop[order], read.sources[order]),
        "era": roles.era,
        "time": read.time,
        "since": roles.sides.since,
        # One NaN for all rows, if no column has times.
        "moments": read.moments[order] if read.time else read.moments[: len(order)],
    }


def encode(folder: Path, hashes: Mapping[str, str], schema: Schema, place: NDArray[np.int64], count: int) -> Matrix:
    """The rows (count, d) with a place (n,) that is not negative, each in its place."""
    # Piece by piece, because segments from before a schema change have other columns and types.
    matrix, start = np.empty((count, schema.width)), 0
    for piece in segments.pieces(folder, hashes, [*schema.features, "_row"]):
        into = place[start : start + piece.num_rows]
        start += piece.num_rows
        used = into >= 0
        matrix[into[used]] = rows.matrix(piece, schema)[used]
    return matrix


def require_enough(targets: Targets, schema: Schema) -> None:
    """Raise TooFewRows if no model can be trained on these targets, (n,)."""
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
        uncounted = "held-out rows (train.holdout) and rows outside train.window_rows and window_days don't count"
        raise TooFewRows(f"There are {lack} to train on.", hint=f"Drop {missing}; {uncounted}.")
