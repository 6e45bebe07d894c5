"""Explanations: what moved the answer to one row, by feature. Shared with `web`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, Protocol, TypedDict

import numpy as np

from retraind.daemon.artifacts import reference_sample
from retraind.daemon.artifacts.explaining import coalitions, exact, model_core
from retraind.daemon.artifacts.explaining.coalitions import BACKGROUND_ROWS, EXACT_FEATURES, Matrix, evenly
from retraind.daemon.artifacts.explaining.cores import Scale, Vector
from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.core.errors import NotFound
from retraind.daemon.schema.costs import Costs, named
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.text_words import SLOTS


class Answering(Protocol):
    """A loaded version."""

    @property
    def manifest(self) -> Manifest:
        """Its manifest."""

    @property
    def costs(self) -> Costs | None:
        """Costs that decide the answered class."""

    def answers(self, rows: Matrix) -> Matrix:
        """Rows (n, width) to probabilities (n, classes) or values (n, 1)."""


class Contribution(TypedDict):
    """One feature: how far it moved the answer, in units of the explanation's scale."""

    feature: str
    value: Any
    contribution: float
    error: NotRequired[float]
    """Standard error; absent if the contribution is exact."""


class Explained(TypedDict):
    """The contributions, the largest first; they add up to `answer` minus `base`, apart from their errors."""

    version: int
    prediction: str | float
    probabilities: NotRequired[dict[str, float]]
    """Of each class; absent for a regression."""
    scale: str
    """The unit of `answer`, `base` and the contributions: a `Scale`."""
    answer: float
    """The answer on this scale: mostly the probability of the answered class, or the value."""
    base: float
    """Its mean over rows of the training data."""
    method: str
    features: list[Contribution]


@dataclass(frozen=True)
class _Moved:
    """The values of each feature (features,), with their standard errors unless they are exact."""

    values: Vector
    errors: Vector | None
    base: float
    answer: float
    scale: Scale
    method: str


def explain(folder: Path, version: int, model: Answering, features: Any) -> Explained:
    """Explain the answer of the model in a bundle's folder to a row of JSON features.

    Raises InvalidFeatures for a row that does not fit, NotFound if the bundle has no sample of training rows, BundleRefused.
    """
    schema = model.manifest.data_schema
    row = np.array(encode(schema, features))
    sample = reference_sample.read(folder, model.manifest)
    if sample is None or not len(sample.rows):
        raise NotFound(f"Version {version} has no sample of its training rows.", hint="A later version has one.")
    shares = model.answers(row[np.newaxis])
    code = int(named(shares, model.costs)[0]) if schema.classes else 0
    moved = _moved(folder, model, row, sample.rows, code)
    values = features if isinstance(features, list) else [features.get(name) for name in schema.features]
    explained: Explained = {
        "version": version,
        "prediction": schema.classes[code] if schema.classes else float(shares[0, 0]),
        "scale": moved.scale.value,
        "answer": moved.answer,
        "base": moved.base,
        "method": moved.method,
        "features": _contributions(schema, values, moved),
    }
    if schema.classes:
        explained["probabilities"] = dict(zip(schema.classes, shares[0].tolist(), strict=True))
    return explained


def _contributions(schema: Schema, values: Sequence[Any], moved: _Moved) -> list[Contribution]:
    entries: list[Contribution] = []
    for place, (name, value) in enumerate(zip(schema.features, values, strict=True)):
        entry: Contribution = {"feature": name, "value": value, "contribution": float(moved.values[place])}
        if moved.errors is not None:
            entry["error"] = float(moved.errors[place])
        entries.append(entry)
    return sorted(entries, key=lambda entry: -abs(entry["contribution"]))


def _moved(folder: Path, model: Answering, row: Vector, sample: Matrix, code: int) -> _Moved:
    """Exact on the scale of the answers if possible, else exact on the model's own scale, else sampled."""
    groups, few = _groups(model.manifest.data_schema), len(model.manifest.data_schema.columns) <= EXACT_FEATURES
    core = model_core.core(folder, model.manifest)
    # On the scale of the answers, few features are exact for each model.
    if core is not None and not (few and core.link.scale in (Scale.LOG_ODDS, Scale.SCORE)):
        summed = exact.explain(core, model.answers, row, evenly(sample, BACKGROUND_ROWS), groups, code)
        if summed is not None:
            method = f"exact Shapley values of {core.kind}"
            return _Moved(summed.values, None, summed.base, summed.answer, summed.scale, method)
    mixed = coalitions.explain(model.answers, row, sample, groups)
    errors = None if mixed.errors is None else mixed.errors[:, code]
    scale = Scale.PROBABILITY if model.manifest.data_schema.classes else Scale.VALUE
    base, answer, method = float(mixed.base[code]), float(mixed.answer[code]), f"{mixed.method} Shapley values"
    return _Moved(mixed.values[:, code], errors, base, answer, scale, method)


def _groups(schema: Schema) -> list[list[int]]:
    """The places of each feature in the model's row: its own, and those of a text's words."""
    groups = [[place] for place in range(len(schema.columns))]
    for number, place in enumerate(schema.texts):
        start = len(schema.columns) + number * SLOTS
        groups[place] += range(start, start + SLOTS)
    return groups
