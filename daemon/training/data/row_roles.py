"""Roles: which rows of a revision train, which judge, and which of these are the reference holdout.

Pure: everything follows from the facts that `holdout_assignment` has read.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.schema import arrival_times
from retraind.daemon.schema.arrival_times import Era, Times, Window
from retraind.daemon.schema.column import BOUND
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.data import holdout_assignment, split
from retraind.daemon.training.data.holdout_assignment import Assignment, RowFacts
from retraind.daemon.training.data.split import By, Mask

Oldest = tuple[int, int]
"""Number of rows in the first revision, and of the rows accepted next that are in the reference with them."""


@dataclass(frozen=True)
class Roles:
    """The roles of a revision's rows, as masks (n,) in the order of the segments.

    `listed`: the schema knows the target; `recent`: the row is in the window; `reference`: it is in the reference
    holdout; `judging`: it judges, or is in the reference; `first`: the row is in the reference if it is held out. `by`
    is the rule for units, `alike` the rule for copies. `times` (n,) are the arrival times.
    """

    times: Times
    listed: Mask
    recent: Mask
    by: By
    alike: By
    sides: Assignment
    first: Mask
    era: Era | None
    reference: Mask
    judging: Mask

    @property
    def training(self) -> Mask:
        """Which rows train (n,)."""
        return self.recent & ~self.sides.held

    @property
    def order(self) -> NDArray[np.int64]:
        """Positions of the rows that train, followed by those that judge."""
        return np.concatenate([np.flatnonzero(self.training), np.flatnonzero(self.judging)])


def of(
    read: RowFacts, schema: Schema, oldest: Oldest, share: float, window: Window, by: By | None, era: Era | None
) -> Roles:
    """Decide the roles of the rows; the arguments are those of `revision.Data.read`."""
    times = arrival_times.plausible(read.accepted, window.now)
    # NaN is not a number, and a number beyond the bound is from before such numbers were rejected.
    listed = (np.abs(read.targets) <= BOUND) & ((read.targets >= 0) | (schema.task == "regression"))
    alike = _alike(read, by)
    by = by or (By.GROUP if read.group else alike)
    recent = arrival_times.within(times, listed, window)
    sides = holdout_assignment.assign(read, schema, by, share, listed, recent)
    first, era = _first(times, listed & sides.judging, oldest, era)
    reference = listed & sides.judging & first
    # An era may begin at any moment in the window and includes all its rows, so later readings get the same rows.
    judging = sides.judging & (recent | arrival_times.parted(times, listed, recent)) | reference
    return Roles(times, listed, recent, by, alike, sides, first, era, reference, judging)


def _alike(read: RowFacts, by: By | None) -> By:
    """The rule that makes rows copies of each other; a group never does."""
    if by is None or by is By.GROUP:
        return split.choose(read.keys, read.cells, read.targets)
    return by


def _first(times: Times, judging: Mask, oldest: Oldest, era: Era | None) -> tuple[Mask, Era | None]:
    """The era with the reference holdout; None (the oldest rows) if the era has no held-out rows."""
    if era is not None and (judging & (first := arrival_times.during(times, era))).any():
        return first, era
    first_rows, early_rows = oldest
    first = np.zeros(len(times), dtype=bool)
    first[:first_rows] = True
    if early_rows:
        # By time, not by place: a merge may put later rows between those of the batches after the first.
        others = first_rows + np.argsort(times[first_rows:], kind="stable")
        first[others[:early_rows]] = True
    return first, None
