"""The reference sample: training rows and answers of a version, kept in its bundle for comparison with predictions.

`reference.npz` holds two arrays: `rows`, float64 (n, d), a sample of the training rows in the model's encoding, and
`answers`, float64 (m,), the class codes or values that the version answers, mostly for rows it was not trained on.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.artifacts.bundle import Manifest
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.schema.costs import Costs, named

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

FILE = "reference.npz"

ENOUGH = 100
"""With fewer unseen rows, training rows are answered too, because ten answers do not show a distribution."""

MOST_ROWS = 10_000
MOST_CELLS = 1_000_000
"""Maximum rows and values: 8 MB in each bundle, which every worker that loads it hashes."""


@dataclass(frozen=True)
class Reference:
    """`rows` (n, d) in schema order, NaN for missing, categories as codes; `answers` (m,) class codes or values."""

    rows: Matrix
    answers: Vector


def write(
    folder: Path,
    training: Matrix,
    unseen: Matrix,
    answering: Callable[[Matrix], Matrix],
    seed: int,
    costs: Costs | None = None,
    trained: Matrix | None = None,
) -> dict[str, str]:
    """Write seeded samples into a bundle's folder; returns the file's name and sha256 for the manifest.

    `training` (n, d) are the rows that trained the version. `answering` gives its answers, (m, classes) or (m, 1). They
    are taken for the rows of `unseen` (m, d), because a forest is more confident on its training rows. `trained` (k, d)
    are the training rows of the served model, if it is another model.
    """
    random = np.random.default_rng(seed)
    sampled = training if trained is None else trained
    rows = _sample(sampled, max(1, min(MOST_ROWS, MOST_CELLS // sampled.shape[1])), random)
    asked = unseen if len(unseen) >= ENOUGH else np.vstack([unseen, training])
    sampled_answers = answering(_sample(asked, MOST_ROWS, random))
    answers = (
        named(sampled_answers, costs).astype(np.float64) if sampled_answers.shape[1] > 1 else sampled_answers[:, 0]
    )
    packed = io.BytesIO()
    np.savez(packed, rows=rows, answers=answers)
    (folder / FILE).write_bytes(packed.getvalue())
    return {FILE: durable.sha256(packed.getvalue())}


def _sample(values: Matrix, most: int, random: np.random.Generator) -> Matrix:
    if len(values) <= most:
        return values
    return values[np.sort(random.choice(len(values), most, replace=False))]


def read(folder: Path, manifest: Manifest) -> Reference | None:
    """The reference of a bundle, verified against its recorded sha256; None if an older release made it without one.

    Raises BundleRefused when the file is gone or has changed.
    """
    if FILE not in manifest.files:
        return None
    try:
        data = (folder / FILE).read_bytes()
        if durable.sha256(data) != manifest.files[FILE]:
            raise BundleRefused(f"{folder / FILE} is not the file that was recorded ({manifest.files[FILE][:12]}…).")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return Reference(arrays["rows"], arrays["answers"])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise BundleRefused(f"{folder / FILE} is not a readable reference: {error}") from error
