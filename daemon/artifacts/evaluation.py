"""The evaluation: how a version scored in detail, as a file of its bundle: curves, calibration, residuals.

All figures are sums over many rows, so the file stays when the files that serve an old version are removed. Shared with
`web`; loads no numpy.
"""

from pathlib import Path
from typing import Required, TypedDict

import orjson

from retraind.daemon.artifacts.manifest import EVALUATION as FILE
from retraind.daemon.artifacts.manifest import Manifest, read_manifest
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BundleRefused

Point = tuple[float, float]


class ClassCurves(TypedDict):
    """One class against all others; curves have at most 100 points."""

    name: str
    n: int
    """Rows of the class."""
    roc: list[Point]
    """False positive rate, true positive rate."""
    roc_auc: float
    precision_recall: list[Point]
    """Recall, precision."""
    average_precision: float


class ConfidenceBin(TypedDict):
    """Rows with similar confidence: their number, mean confidence, and the share with the right answer."""

    n: int
    confidence: float
    right: float


class Calibration(TypedDict):
    """Confidence against accuracy. `ece` is the expected calibration error: the mean distance, weighted by rows."""

    ece: float
    bins: list[ConfidenceBin]


class ResidualBin(TypedDict):
    """Rows with similar answers: their number, mean answer and truth, and quantiles (10, 50, 90 %) of answer - truth."""

    n: int
    answer: float
    truth: float
    low: float
    middle: float
    high: float


class Residuals(TypedDict):
    """Answer minus truth: a histogram, whose ends include everything beyond them, and the residuals by answer."""

    edges: list[float]
    counts: list[int]
    bins: list[ResidualBin]


class ClassDetails(TypedDict, total=False):
    """The details of a classification."""

    calibration: Calibration
    curves: list[ClassCurves]
    classes: int
    """Number of classes that could have curves; the most frequent have some."""


class Evaluation(ClassDetails, total=False):
    """The judged model on `n` of the `total` rows of the rolling holdout, without copies."""

    n: Required[int]
    total: Required[int]
    residuals: Residuals


def write(folder: Path, evaluation: Evaluation) -> dict[str, str]:
    """Write it into a bundle's folder; returns the file's name and sha256 for the manifest."""
    data = orjson.dumps(evaluation)
    (folder / FILE).write_bytes(data)
    return {FILE: durable.sha256(data)}


def read(folder: Path, manifest: Manifest) -> Evaluation | None:
    """The evaluation of a bundle; None if an older release made it without one, or if the file is gone or has changed."""
    try:
        data = (folder / FILE).read_bytes()
    except OSError:
        return None
    if durable.sha256(data) != manifest.files.get(FILE):
        return None
    evaluation: Evaluation = orjson.loads(data)
    return evaluation


def of_bundle(folder: Path, sha256: str) -> Evaluation | None:
    """The same for a bundle whose manifest has this sha256; None also if the manifest can't be read."""
    try:
        return read(folder, read_manifest(folder, sha256))
    except BundleRefused:
        return None
