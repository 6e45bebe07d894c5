"""The core of a bundle's served model, kept for the next explanation if it is small."""

from pathlib import Path

import numpy as np

from retraind.daemon.artifacts import bundle, treelite_model
from retraind.daemon.artifacts.backends import OnnxModel
from retraind.daemon.artifacts.explaining.cores import Core, Link, Matrix, Shape
from retraind.daemon.artifacts.explaining.trees import Trees
from retraind.daemon.artifacts.manifest import AFTER, BEFORE, ONNX, TREELITE, Manifest

KEPT = 4_000_000
"""Numbers (about 32 MB) of a core that stays in memory until another version is explained."""

POSTPROCESSORS: dict[str, Shape] = {
    "identity": "identity",
    "identity_multiclass": "identity",
    "sigmoid": "logistic",
    "softmax": "softmax",
}

_kept: tuple[tuple[Path, str], Core] | None = None


def core(folder: Path, manifest: Manifest) -> Core | None:
    """The core of the model in a bundle's folder; None for one without trees or linear scores. Raises BundleRefused."""
    global _kept  # noqa: PLW0603 - one assignment, so threads do not disturb each other
    name = {"onnx": ONNX, "treelite": TREELITE}.get(manifest.backend)
    if name is None:
        return None
    key = folder, manifest.files[name]
    if _kept is not None and _kept[0] == key:
        return _kept[1]
    made = _read(bundle.served_files(folder, manifest), manifest)
    if made is not None and made.size <= KEPT:
        _kept = key, made
    return made


def _read(files: dict[str, bytes], manifest: Manifest) -> Core | None:
    from retraind.daemon.artifacts.explaining import graph_core  # imported here, because onnx is only needed for this

    classes = len(manifest.data_schema.classes)
    if ONNX in files:
        return graph_core.core(files[ONNX], manifest.input, classes)
    parts = treelite_model.trees(files[TREELITE])
    if parts is None or parts.postprocessor not in POSTPROCESSORS:
        return None
    slope, floor = graph_core.correction(files[AFTER]) if AFTER in files else (None, 0.0)
    link = Link(POSTPROCESSORS[parts.postprocessor], classes, slope, floor, sharpness=parts.sharpness)
    before = OnnxModel(files[BEFORE], "float64").answers if BEFORE in files else None

    def encode(rows: Matrix) -> Matrix:
        encoded = rows if before is None else before(rows)
        return encoded.astype(np.float32).astype(np.float64) if manifest.input == "float32" else encoded

    trees = Trees(**parts.arrays)
    return Core("trees", encode, trees, link, trees.column.size * (6 + trees.leaves.shape[1]))
