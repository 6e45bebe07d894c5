"""Explanations: what moved the answer to one row, by feature. Shared with `web`."""

from pathlib import Path
from typing import Any, NotRequired, Protocol, TypedDict

import numpy as np

from retraind.daemon.artifacts import reference_sample, shapley
from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.artifacts.shapley import Matrix
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
    """One feature: how far it moved the answer, in probability of the answered class, or in units of the target."""

    feature: str
    value: Any
    contribution: float
    error: NotRequired[float]
    """Standard error; absent if the contribution is exact."""


class Explained(TypedDict):
    """The contributions, the largest first; they add up to `answer` minus `base`, apart from their errors."""

    version: int
    prediction: str | float
    answer: float
    """The probability of the answered class, or the value."""
    base: float
    """Its mean over rows of the training data."""
    method: str
    features: list[Contribution]


def explain(folder: Path, version: int, model: Answering, features: Any) -> Explained:
    """Explain the answer of the model in a bundle's folder to a row of JSON features.

    Raises InvalidFeatures for a row that does not fit, NotFound if the bundle has no sample of training rows, BundleRefused.
    """
    schema = model.manifest.data_schema
    row = np.array(encode(schema, features))
    sample = reference_sample.read(folder, model.manifest)
    if sample is None or not len(sample.rows):
        raise NotFound(f"Version {version} has no sample of its training rows.", hint="A later version has one.")
    explanation = shapley.explain(model.answers, row, sample.rows, _groups(schema))
    code = int(named(explanation.answer[np.newaxis], model.costs)[0]) if schema.classes else 0
    values = features if isinstance(features, list) else [features.get(name) for name in schema.features]
    moved: list[Contribution] = []
    for place, (name, value) in enumerate(zip(schema.features, values, strict=True)):
        entry: Contribution = {"feature": name, "value": value, "contribution": float(explanation.values[place, code])}
        if explanation.errors is not None:
            entry["error"] = float(explanation.errors[place, code])
        moved.append(entry)
    return {
        "version": version,
        "prediction": schema.classes[code] if schema.classes else float(explanation.answer[0]),
        "answer": float(explanation.answer[code]),
        "base": float(explanation.base[code]),
        "method": f"{explanation.method} Shapley values",
        "features": sorted(moved, key=lambda entry: -abs(entry["contribution"])),
    }


def _groups(schema: Schema) -> list[list[int]]:
    """The places of each feature in the model's row: its own, and those of a text's words."""
    groups = [[place] for place in range(len(schema.columns))]
    for number, place in enumerate(schema.texts):
        start = len(schema.columns) + number * SLOTS
        groups[place] += range(start, start + SLOTS)
    return groups
