"""The judged rows: answers of a version's judged model for held-out rows, by which any two versions can be compared.

`judged.npz` has a row for each of the held-out rows with the smallest keys, so two versions have many rows in common. It
is removed with the files that serve an old version, because it has features of rows.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.core import durable

FILE = "judged.npz"

MOST = 4096
"""Maximum number of rows with answers."""

MOST_ROWS, MOST_CELLS = 1000, 100_000
"""Maximum number of rows with features, and of their values."""


@dataclass(frozen=True)
class JudgedRows:
    """Rows (n,) by ascending key; the first of them, (m, d), with their features."""

    keys: NDArray[np.uint64]
    """A hash of features and target, equal for the same row in any version with the same columns."""
    truth: NDArray[np.float64]
    """Class codes or values, as `answers`."""
    answers: NDArray[np.float64]
    confidence: NDArray[np.float64]
    """The probability of the answer; NaN for a regression."""
    rows: NDArray[np.float32]
    """In the model's encoding, without the words of texts."""

    def write(self, folder: Path) -> dict[str, str]:
        """Write them into a bundle's folder; returns the file's name and sha256 for the manifest."""
        packed = io.BytesIO()
        np.savez(packed, **{name: getattr(self, name) for name in self.__dataclass_fields__})
        (folder / FILE).write_bytes(packed.getvalue())
        return {FILE: durable.sha256(packed.getvalue())}


def read(folder: Path, manifest: Manifest) -> JudgedRows | None:
    """The judged rows of a bundle; None if an older release made it without them, or if they are gone or have changed."""
    try:
        data = (folder / FILE).read_bytes()
        if durable.sha256(data) != manifest.files.get(FILE):
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return JudgedRows(**{name: arrays[name] for name in JudgedRows.__dataclass_fields__})
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
