"""Reference answers: a version's answers for the reference rows, for comparison with later versions.

A bundle's `remembered.npz` holds the answers for the reference holdout. For the training rows of the reference it holds
cross-validation's answers for held-back rows: five times as many, and also older than every later drop.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np

from retraind.daemon.artifacts.manifest import REMEMBERED as FILE
from retraind.daemon.core import durable
from retraind.daemon.schema.costs import Costs
from retraind.daemon.schema.scores import Metric
from retraind.daemon.training import losses
from retraind.daemon.training.losses import Difference, Matrix, Truth

MOST_ROWS, MOST_CELLS = 4096, 100_000
"""Maximum rows and numbers in each of the two parts: up to 1.6 MB in a bundle."""

SURE = 0.05
"""Significance level at which a version that is better than the baseline becomes the baseline."""

PARTS = {"held": "held", "training": "taught"}
"""The parts, each with its name in the file, which older bundles also have."""


@dataclass(frozen=True)
class Part:
    """Answers (n, classes) or (n, 1) for the first rows of a part, and their true values (n,), which identify the rows."""

    answers: Matrix
    truth: Truth

    @classmethod
    def of(cls, answers: Matrix, truth: Truth) -> Self:
        """The first rows, as many as are stored."""
        most = max(1, min(MOST_ROWS, MOST_CELLS // max(1, answers.shape[1])))
        return cls(answers[:most], truth[:most])

    @property
    def key(self) -> str:
        """A key that is equal for the same rows in the same order, judged by their targets."""
        return hashlib.sha256(np.asarray(self.truth, dtype=np.float64).tobytes()).hexdigest()

    def widened(self, width: int) -> Matrix | None:
        """The answers with columns for later classes; None if they have more classes than that."""
        missing = width - self.answers.shape[1]
        return None if missing < 0 else np.pad(self.answers, ((0, 0), (0, missing)))


@dataclass(frozen=True)
class Remembered:
    """Answers for the reference rows: for the held-out ones, and by cross-validation for the training rows."""

    held: Part
    training: Part

    def write(self, folder: Path) -> dict[str, str]:
        """Write it into a bundle's folder; returns the file's name and sha256 for the manifest."""
        packed = io.BytesIO()
        parts = {
            f"{name}_{kind}": getattr(getattr(self, part), kind)
            for part, name in PARTS.items()
            for kind in ("answers", "truth")
        }
        np.savez(packed, **parts)
        (folder / FILE).write_bytes(packed.getvalue())
        return {FILE: durable.sha256(packed.getvalue())}


def read(folder: Path) -> Remembered | None:
    """The answers stored in a bundle's folder; None if missing, unreadable, or from an earlier retraind."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            return Remembered(*(Part(arrays[f"{name}_answers"], arrays[f"{name}_truth"]) for name in PARTS.values()))
    except (OSError, ValueError, KeyError, BadZipFile):
        return None


def of_same_reference(these: Remembered, other: Remembered) -> bool:
    """Whether both are answers for the same reference."""
    pairs = [(getattr(these, part), getattr(other, part)) for part in PARTS]
    return any(len(mine.truth) and mine.key == theirs.key for mine, theirs in pairs)


def difference(new: Remembered, old: Remembered, metric: Metric, costs: Costs | None = None) -> Difference | None:
    """How much worse `new` is than `old` on the reference rows that both have answered; None if there are none."""
    pairs = []
    for part in PARTS:
        mine, theirs = getattr(new, part), getattr(old, part)
        answers = theirs.widened(mine.answers.shape[1]) if mine.key == theirs.key and len(mine.truth) else None
        if answers is not None:
            pairs.append((mine.answers, answers, mine.truth))
    if not pairs:
        return None
    now, before, truth = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return compare_answers(now, before, truth, metric, costs)


def compare_answers(
    now: Matrix, before: Matrix, truth: Truth, metric: Metric, costs: Costs | None = None
) -> Difference:
    """How much worse the answers `now` are than `before` for the same rows, (n, classes) or (n, 1) each."""
    if metric in ("r2", "rmse", "mae"):
        return losses.compare_values(now[:, 0], before[:, 0], truth, metric)
    return losses.compare(losses.of(now, truth, metric, costs), losses.of(before, truth, metric, costs))


def mark(past: Mapping[int, Remembered], metric: Metric, costs: Costs | None = None) -> int | None:
    """The version that challengers are compared with.

    It is the first of `past` (oldest first), or a later one that is surely better. It is not simply the best: of twenty
    equal versions one is lucky, and every later version would be compared with that luck.
    """
    best: int | None = None
    for version, answered in past.items():
        rise = None if best is None else difference(past[best], answered, metric, costs)
        if best is None or (rise is not None and rise.loss > 0 and rise.p < SURE):
            best = version
    return best
