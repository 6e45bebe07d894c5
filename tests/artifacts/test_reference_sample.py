"""retraind.daemon.artifacts.reference_sample: a small, verified, reproducible sample in the bundle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import SCHEMA
from numpy.typing import NDArray

from retraind.daemon.artifacts import reference_sample
from retraind.daemon.artifacts.bundle import Manifest
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.schema.schema import Schema

Matrix = NDArray[np.float64]


def manifest(schema: Schema = SCHEMA, **fields: Any) -> Manifest:
    texts = dict.fromkeys(("run", "estimator", "revision", "dvc_md5", "reason", "created"), "test")
    common: dict[str, Any] = {"candidate": "logistic", "backend": "onnx", "input": "float64", "difference": 0.0}
    common |= {"rows": 1, "trained_rows": 1, "seed": 1, "libraries": {}, "files": {}, "data_schema": schema}
    return Manifest(**{**texts, **common, **fields})


def sign(rows: Matrix) -> Matrix:
    """Probabilities of two classes: surely the one that the sign of the first column names."""
    positive = (rows[:, 0] > 0).astype(np.float64)
    return np.column_stack([1 - positive, positive])


def rows(n: int, width: int = 4) -> Matrix:
    return np.random.default_rng(n).normal(size=(n, width))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    taught, unseen = rows(300), rows(150)
    taught[0, 0], taught[1, 1] = np.nan, -1.0
    files = reference_sample.write(tmp_path, taught, unseen, sign, 42)
    sample = reference_sample.read(tmp_path, manifest(files=files))
    assert sample is not None
    assert np.array_equal(sample.rows, taught, equal_nan=True)
    assert np.array_equal(sample.answers, (unseen[:, 0] > 0).astype(float))


def test_few_unseen_rows_are_joined_by_training_rows(tmp_path: Path) -> None:
    reference_sample.write(tmp_path, rows(300), rows(20), sign, 42)
    sample = reference_sample.read(
        tmp_path, manifest(files=reference_sample.write(tmp_path, rows(300), rows(20), sign, 42))
    )
    assert sample is not None
    assert len(sample.answers) == 320


def test_values_are_kept_as_they_are(tmp_path: Path) -> None:
    files = reference_sample.write(tmp_path, rows(300), rows(200), lambda asked: asked[:, :1] * 2, 42)
    sample = reference_sample.read(tmp_path, manifest(files=files))
    assert sample is not None
    assert np.array_equal(sample.answers, rows(200)[:, 0] * 2)


@pytest.mark.parametrize(("width", "kept"), [(4, 10_000), (400, 2500)])
def test_a_large_revision_gives_a_seeded_sample(tmp_path: Path, width: int, kept: int) -> None:
    taught = np.arange(12_000.0)[:, None].repeat(width, axis=1)
    files = [reference_sample.write(tmp_path, taught, taught, sign, seed) for seed in (1, 1, 2)]
    assert files[0] == files[1] != files[2]
    sample = reference_sample.read(tmp_path, manifest(files=files[2]))
    assert sample is not None
    assert sample.rows.shape == (kept, width)
    assert (np.diff(sample.rows[:, 0]) > 0).all()
    assert len(sample.answers) == 10_000


def test_bundles_without_one_have_none(tmp_path: Path) -> None:
    assert reference_sample.read(tmp_path, manifest()) is None


def test_a_changed_or_lost_file_is_refused(tmp_path: Path) -> None:
    files = reference_sample.write(tmp_path, rows(100), rows(100), sign, 42)
    path = tmp_path / reference_sample.FILE
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleRefused, match="not the file that was recorded"):
        reference_sample.read(tmp_path, manifest(files=files))
    path.unlink()
    with pytest.raises(BundleRefused, match="not a readable reference"):
        reference_sample.read(tmp_path, manifest(files=files))
