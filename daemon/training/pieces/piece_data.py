"""A revision that stays in its segments: a sample of its training rows in memory, all others read piece by piece.

The roles of the rows are those of `revision.Data`, so a row never changes sides between a training in memory and one
from pieces.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.dataset import segments
from retraind.daemon.model import Matrix, Targets
from retraind.daemon.schema.hash_mixing import Prints, splitmix
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import rows
from retraind.daemon.training.data.holdout_assignment import RowFacts
from retraind.daemon.training.data.revision import Data, encode, facts_of
from retraind.daemon.training.data.row_roles import Roles
from retraind.daemon.training.data.split import Mask
from retraind.daemon.training.pieces import boosting

SAMPLE_ROWS = 100_000
"""About so many training rows are in memory: candidates are compared on them, and drift is measured against some of them.
"""

LEAST_ROWS = 100
"""Minimum rows of a class in the sample, if there are so many."""

MOST_HELD = 20_000
"""Maximum held-out rows that are read once and kept."""


@dataclass(frozen=True)
class PieceData(Data):
    """As `Data`, but the rows are those of the sample and the held-out ones, and only the sample's are in `matrix`.

    `chosen` are the masks (n,) of all rows of the segments that are in `training` and in `whole`, `held_rows` that of
    those that judge, `labels` all their targets.
    """

    in_pieces: ClassVar[bool] = True

    chosen: tuple[Mask, Mask] = field(default=(np.zeros(0, bool), np.zeros(0, bool)), repr=False)
    held_rows: Mask = field(default_factory=lambda: np.zeros(0, bool), repr=False)
    labels: Targets = field(default_factory=lambda: np.zeros(0), repr=False)

    @classmethod
    def _arranged(
        cls, folder: Path, hashes: Mapping[str, str], schema: Schema, read: RowFacts, roles: Roles, trained: Mask
    ) -> Self:
        training, judging = roles.training, roles.judging
        classes = read.targets if schema.task == "classification" else None
        sampled = sample(roles.sides.units, training, classes)
        order = np.concatenate([np.flatnonzero(sampled), np.flatnonzero(judging)])
        place = np.full(len(training), -1, dtype=np.int64)
        place[sampled] = np.arange(int(sampled.sum()))
        return cls(
            schema=schema,
            folder=folder,
            segments=hashes,
            place=np.zeros(0, np.int64),
            matrix=encode(folder, hashes, schema, place, int(sampled.sum())),
            **facts_of(read, roles, trained, order),
            chosen=(training, roles.recent & (training | judging)),
            held_rows=judging,
            labels=_narrow(read.targets),
        )

    def blocks(self, chosen: Mask, schema: Schema | None = None) -> Iterator[Matrix]:
        """The rows of a mask (n,), encoded by `schema` (None: the present one), some at a time; raises DatasetDamaged."""
        start, schema = 0, schema or self.schema
        for piece in segments.pieces(self.folder, self.segments, [*schema.features, "_row"]):
            part = chosen[start : start + piece.num_rows]
            start += piece.num_rows
            if part.any():
                yield rows.matrix(piece if part.all() else piece.filter(part), schema)

    def fit(self, estimator: Any, examples: tuple[Matrix, Targets], *, whole: bool) -> Any:
        """A clone fitted on all rows of `whole` or `training`, read piece by piece; `examples` are the sample."""
        training, everything = self.chosen
        # As in memory, held-out rows come last: LightGBM chooses the rows that decide on its bins by their places.
        parts = [training, everything & ~training] if whole else [training]
        targets = np.concatenate([self.labels[part] for part in parts])
        return boosting.fit(estimator, lambda: chain.from_iterable(map(self.blocks, parts)), targets, examples)

    def answer(self, answering: Callable[[Matrix], Matrix], schema: Schema | None = None) -> Matrix:
        """The answers for the held-out rows, in their order, of a model with another `schema` if it has one."""
        answers = np.concatenate([answering(block) for block in self.blocks(self.held_rows, schema)])
        boosting.release()
        return answers

    @property
    def training(self) -> tuple[Matrix, Targets]:
        """The sample of the training rows, and their targets."""
        return self.matrix, self.targets[: len(self.matrix)]

    @property
    def whole(self) -> tuple[Matrix, Targets]:
        """The same sample: it stands for the rows of a fit, whose number is in `counts`."""
        return self.training

    @property
    def training_targets(self) -> Targets:
        """The targets of all training rows."""
        return self.labels[self.chosen[0]]

    @property
    def counts(self) -> tuple[int, int]:
        """Numbers of rows in a fit on the training rows, and in one on all rows of the window."""
        return int(self.chosen[0].sum()), int(self.chosen[1].sum())

    @cached_property
    def judging(self) -> tuple[Matrix, Targets]:
        """The held-out rows, which are read when they are indexed, and their targets."""
        held = HeldRows(self)
        # Whoever uses more rows than are kept asks for a length, and for some rows by their positions.
        return held[:] if len(held) <= MOST_HELD else cast(Matrix, held), self.targets[len(self.matrix) :]


def _narrow(targets: Targets) -> Targets:
    """Class codes in as few bytes as hold them; values unchanged."""
    if targets.dtype.kind != "i":
        return targets
    return targets.astype(np.min_scalar_type(-1 - int(targets.max(initial=0))))


class HeldRows:
    """The held-out rows (m, d) as a matrix that is read only where it is indexed."""

    def __init__(self, data: PieceData) -> None:
        self._data = data
        self._count = int(data.held_rows.sum())

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, key: slice | NDArray[Any]) -> Matrix:
        positions = np.arange(len(self))[key]
        wanted, inverse = np.unique(positions, return_inverse=True)
        chosen = np.zeros(len(self._data.held_rows), dtype=bool)
        chosen[np.flatnonzero(self._data.held_rows)[wanted]] = True
        blocks = [np.empty((0, self._data.schema.width)), *self._data.blocks(chosen)]
        return np.concatenate(blocks)[inverse]


def sample(units: Prints, training: Mask, classes: Targets | None) -> Mask:
    """About SAMPLE_ROWS of the training rows, as a mask (n,): whole units, chosen by their hash, and some rows of each class."""
    share = SAMPLE_ROWS / max(1, int(training.sum()))
    if share >= 1:
        return training.copy()
    # Not by the unit itself, because that decides whether a row is held out.
    chosen = training & (splitmix(units ^ np.uint64(0x9E3779B97F4A7C15)) < np.uint64(share * 2.0**64))
    if classes is not None:
        for code in np.flatnonzero(np.bincount(classes[chosen], minlength=int(classes.max()) + 1) < LEAST_ROWS):
            chosen[np.flatnonzero(training & (classes == code))[:LEAST_ROWS]] = True
    return chosen
