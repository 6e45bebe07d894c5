"""A revision in memory, as training sees it: which rows teach, and which are only judged on.

Level 3, pure but for reading the segments.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from daemon import rows, segments
from daemon.errors import TrainingFailed
from daemon.model import Matrix, Targets
from daemon.schema import Schema

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Data:
    """Rows (n, d), targets (n,), and which of them are held out and in the reference holdout."""

    schema: Schema
    pieces: list[Any]
    """The segments as tables; `listed` (all their rows) says which rows have a target that the schema knows."""
    listed: Mask
    matrix: Matrix
    targets: Targets
    held: Mask
    reference: Mask

    @classmethod
    def read(cls, folder: Path, wanted: Mapping[str, str], schema: Schema, first_rows: int, share: float) -> Self:
        """Read and verify the segments `wanted` (name: sha256, oldest first); `share` of the rows is held out.

        The held-out ones of the first `first_rows` are the reference holdout. Raises DatasetDamaged, and TrainingFailed
        when there is too little to learn from.
        """
        pieces = [piece for _, piece in segments.read(folder, wanted)]
        targets = np.concatenate([_targets(piece, schema) for piece in pieces])
        listed = np.isfinite(targets) & ((targets >= 0) | (schema.task == "regression"))
        first = np.arange(len(targets)) < first_rows
        held = np.concatenate([rows.held_out(piece, share) for piece in pieces])[listed]
        _require_enough(targets[listed][~held], schema)
        matrix = _encode(pieces, listed, schema)
        return cls(schema, pieces, listed, matrix, targets[listed], held, held & first[listed])

    def encode(self, schema: Schema) -> Matrix:
        """All rows as a model of another schema sees them: what that schema does not list is unknown to it."""
        return self.matrix if schema.shape == self.schema.shape else _encode(self.pieces, self.listed, schema)

    @cached_property
    def taught(self) -> tuple[Matrix, Targets]:
        """Rows and targets that may teach."""
        return self.matrix[~self.held], self.targets[~self.held]

    @property
    def judging(self) -> tuple[Matrix, Targets]:
        """Rows and targets that are held out."""
        return self.matrix[self.held], self.targets[self.held]

    @property
    def named(self) -> NDArray[Any]:
        """The targets as people know them: class names, or numbers."""
        return np.array(self.schema.classes)[self.targets] if self.schema.classes else self.targets


def _encode(pieces: list[Any], listed: Mask, schema: Schema) -> Matrix:
    # Piece by piece: segments from before a change of the schema have other columns and types.
    matrix = np.vstack([rows.matrix(piece, schema) for piece in pieces])
    return matrix if listed.all() else matrix[listed]


def _targets(table: Any, schema: Schema) -> Targets:
    return rows.targets(table, schema) if schema.task == "regression" else rows.codes(table, schema)


def _require_enough(taught: Targets, schema: Schema) -> None:
    if schema.task == "regression" and len(taught) < 2:
        raise TrainingFailed("There are fewer than two rows to learn from.")
    if schema.task == "classification" and (np.bincount(taught, minlength=2) > 1).sum() < 2:
        raise TrainingFailed("There are fewer than two classes with two rows to learn from.")
