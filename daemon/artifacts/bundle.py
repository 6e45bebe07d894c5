"""The bundle: the files that serve one version, a manifest with their sha256, and the loaded model.

Shared with `web`. `daemon/artifacts/manifest.py` has its manifest, `daemon/artifacts/backends.py` its backends.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Required, TypedDict

import numpy as np
import orjson
from numpy.typing import NDArray

from retraind.daemon.artifacts import backends, linear_model
from retraind.daemon.artifacts.manifest import (
    AFTER,
    BEFORE,
    KEPT,
    LINEAR,
    MANIFEST,
    MODEL,
    ONNX,
    PROBE,
    REMEMBERED,
    SKOPS,
    TREELITE,
    TWIN,
    Backend,
    Kind,
    Manifest,
    Pointer,
    Summary,
    Twin,
    cleared,
    read_manifest,
    read_pointer,
    seal,
    summary,
)
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.schema.costs import Costs, named
from retraind.daemon.schema.schema import Schema

__all__ = [
    "AFTER",
    "BEFORE",
    "KEPT",
    "LINEAR",
    "MANIFEST",
    "MODEL",
    "ONNX",
    "PARITY",
    "PROBE",
    "REMEMBERED",
    "SKOPS",
    "TREELITE",
    "TWIN",
    "Backend",
    "Manifest",
    "Matrix",
    "Model",
    "Pointer",
    "Probe",
    "Summary",
    "Twin",
    "answered",
    "cleared",
    "load",
    "load_judged",
    "probe",
    "read_manifest",
    "read_pointer",
    "seal",
    "served_files",
    "summary",
]

Matrix = NDArray[np.float64]
RowFunction = Callable[[Sequence[float]], list[float]]
"""One row in schema order to its probabilities, or to its one value."""

PARITY = 1e-6
"""Largest difference between scikit-learn and the backend: in a probability, or in a value divided by the probe's
`scale`: the range of the model's values on the rows of its revision (docs/architecture.md, Serving)."""


class Probe(TypedDict, total=False):
    """Rows (n, d) and what scikit-learn answers for them: (n, classes) probabilities or (n, 1) values; null is NaN."""

    rows: Required[list[list[float | None]]]
    probabilities: list[list[float]]
    values: list[list[float]]
    scale: float
    """The range of the values, by which differences are measured."""


class Model:
    """A loaded bundle; immutable. `answers` takes rows in schema order."""

    def __init__(
        self, manifest: Manifest, sha256: str, run: Callable[[Matrix], Matrix], row: RowFunction | None = None
    ) -> None:
        self.manifest = manifest
        self.sha256 = sha256
        self.costs = Costs.of(manifest.settings.get("costs"), manifest.data_schema.classes)
        """The costs by which it chooses a class; None: it answers the likeliest."""
        self.row = row
        """Answers one row without an array, with the result of `answers`; None if the backend can't."""
        self._run = run

    def answers(self, rows: Matrix) -> Matrix:
        """Float64 (n, d) to float64: (n, classes) probabilities or (n, 1) values; NaN is a missing number."""
        return self._run(rows)


def answered(schema: Schema) -> Literal["values", "probabilities"]:
    """The kind of answer that a model of this schema gives; also the probe's key for it."""
    return "values" if schema.task == "regression" else "probabilities"


def load(folder: Path, sha256: str) -> Model:
    """Verify the files that serve against their sha256, load those very bytes, compare with the probe.

    Raises BundleRefused. It does not read the judged model's files, so a version with a damaged one keeps serving.
    `load_judged` reads them.
    """
    return _load(folder, sha256, "")


def load_judged(folder: Path, sha256: str) -> Model:
    """As `load`, but loads the judged model if there is one.

    The served model has seen every holdout. Its `manifest` is the version's; its settings and revision say which rows
    that model was trained on.
    """
    return _load(folder, sha256, TWIN)


def _load(folder: Path, sha256: str, prefix: str) -> Model:
    manifest = read_manifest(folder, sha256)
    made: Twin | Manifest = manifest
    if prefix and manifest.twin is not None:
        made = manifest.twin
    else:
        prefix = ""
    files = _read(folder, manifest, prefix)
    try:
        model = Model(manifest, sha256, *_backend(made.backend, made.input, files, manifest.data_schema))
        probe(model, orjson.loads(files[PROBE]))
    except BundleRefused:
        raise
    except Exception as error:
        raise BundleRefused(f"{folder}: the {made.backend} model does not load and predict: {error}") from error
    return model


def _backend(
    backend: Backend, kind: Kind, files: dict[str, bytes], schema: Schema
) -> tuple[Callable[[Matrix], Matrix], RowFunction | None]:
    """The functions that answer many rows, and one row."""
    if LINEAR in files:
        linear = linear_model.read(files[LINEAR])
        return linear.answers, linear.row
    if backend == "onnx":
        graph = backends.OnnxModel(files[ONNX], kind)
        return graph.answers, graph.row
    if backend == "treelite":
        return backends.treelite_model(files[TREELITE], kind, schema, files.get(BEFORE), files.get(AFTER)), None
    return backends.skops_model(files[SKOPS], schema), None


def served_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """The verified bytes of the served model's files, by name; raises BundleRefused."""
    return _read(folder, manifest, "")


def _read(folder: Path, manifest: Manifest, prefix: str) -> dict[str, bytes]:
    """The files of the served model (`prefix` empty) or of the judged model, by the names without the prefix.

    Raises BundleRefused. Each file is read once, so the verified bytes are the loaded bytes. The files of the other
    model are not read.
    """
    files: dict[str, bytes] = {}
    for name, expected in manifest.files.items():
        if name.startswith(TWIN) != bool(prefix):
            continue
        try:
            files[name.removeprefix(prefix)] = data = (folder / Path(name).name).read_bytes()
        except OSError as error:
            raise BundleRefused(f"{folder} is not a readable bundle: {error}") from error
        if durable.sha256(data) != expected:
            raise BundleRefused(f"{folder / name} is not the file that was recorded ({expected[:12]}…).")
    return files


def probe(model: Model, expected: Probe) -> None:
    """Predict the probe rows and compare with scikit-learn's stored answers; raises BundleRefused."""
    rows = np.array(expected["rows"], dtype=np.float64)  # null is NaN
    answered_with = answered(model.manifest.data_schema)
    expected_answers = np.array(expected[answered_with], dtype=np.float64)
    got = model.answers(rows)
    if got.shape != expected_answers.shape or not np.isfinite(got).all():
        raise BundleRefused(
            f"The probe gave {got.shape} {answered_with}, some maybe not finite; expected {expected_answers.shape}."
        )
    alone = got if model.row is None else np.array([model.row(row) for row in rows.tolist()])
    difference = float(np.abs([got - expected_answers, alone - expected_answers]).max()) / expected.get("scale", 1.0)
    if not difference <= PARITY or (named(got, model.costs) != named(expected_answers, model.costs)).any():
        raise BundleRefused(f"The probe differs from scikit-learn by {difference:.2g}; allowed is {PARITY:g}.")
