"""Explanations: what moved the answer to one row, by feature, for people and programs."""

import sqlite3
from typing import Any, NotRequired, TypedDict

import numpy as np
import orjson

from daemon.artifacts import reference_sample, shapley
from daemon.core.errors import BadSettings, InvalidFeatures, NotFound
from daemon.core.home import Home
from daemon.predicting.served_version import Version
from daemon.records import predictions
from daemon.schema.costs import named
from daemon.schema.row_encoding import encode
from daemon.schema.schema import Schema
from daemon.schema.text_words import SLOTS


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


def logged(home: Home, identity: str) -> tuple[list[Any], int]:
    """The features of a prediction in the history, and its version; raises NotFound."""
    try:
        for row in predictions.by_id(home.history, [identity]):
            return orjson.loads(row["features"]), row["model_version"]
    except sqlite3.Error as error:
        raise NotFound(f"The prediction history can't be read: {error}.") from None
    raise NotFound(
        f"{identity!r:.80} is not in the prediction history.", hint="Give a prediction_id, or a row in JSON."
    )


def parsed(text: str) -> Any:
    """A row in JSON, a list or an object; raises BadSettings."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadSettings(f"The row is not JSON: {error}.", hint="For example: '{\"length\": 5.1}'") from None


def explain(home: Home, version: Version, features: Any) -> Explained:
    """Explain the answer to a row of JSON features; raises BadSettings for one that does not fit, NotFound, BundleRefused."""
    schema, model = version.model.manifest.data_schema, version.model
    try:
        row = np.array(encode(schema, features))
    except InvalidFeatures as error:
        raise BadSettings(str(error)) from None
    sample = reference_sample.read(home.bundle(version.number), model.manifest)
    if sample is None or not len(sample.rows):
        raise NotFound(f"Version {version.number} has no sample of its training rows.", hint="A later version has one.")
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
        "version": version.number,
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
