"""The holdouts: challenger and champion answer the same rows, which have taught neither.

Level 4. The reference holdout never grows, so its score compares versions over time; the rolling one is all held-out rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from daemon import model
from daemon.bundle import Model
from daemon.model import Matrix
from daemon.revision import Data, Mask
from daemon.schema import Schema
from daemon.scores import score

Answering = Callable[[Mask], Matrix]
"""Gives what a model answers for the rows of a mask."""


def of_challenger(fitted: Any, data: Data) -> dict[str, Any]:
    """Scores of a fitted estimator by holdout."""
    return _on_holdouts(answering(fitted, data), data)


def of_champion(served: Model, data: Data) -> dict[str, Any] | None:
    """Scores of a served version by holdout; None if the rows can't be put to it: another target, task or columns."""
    known, schema = served.manifest.data_schema, data.schema
    if not _comparable(known, schema):
        return None
    matrix = data.encode(known)
    return _on_holdouts(lambda mask: _realign(served.answers(matrix[mask]), known, schema), data)


def answering(fitted: Any, data: Data) -> Answering:
    """A fitted estimator as it answers rows of `data`."""
    return lambda mask: model.answers(fitted, data.matrix[mask], data.schema)


def _comparable(known: Schema, schema: Schema) -> bool:
    """Whether a model of `known` can answer rows of `schema`: it may have gained columns, categories and classes since."""
    same = (known.task, known.target) == (schema.task, schema.target)
    return same and set(known.features) <= set(schema.features)


def _realign(answers: Matrix, known: Schema, schema: Schema) -> Matrix:
    """Probabilities (n, classes of `known`) as (n, classes of `schema`), by name; zero for a class it does not know."""
    if known.classes == schema.classes:
        return answers
    spread = np.zeros((len(answers), len(schema.classes)))
    for name in known.class_codes.keys() & schema.class_codes.keys():
        spread[:, schema.class_codes[name]] = answers[:, known.class_codes[name]]
    return spread


def _on_holdouts(answers: Answering, data: Data) -> dict[str, Any]:
    masks = {"reference": data.reference, "rolling": data.held}
    nothing = np.zeros((0, len(data.schema.classes) or 1))
    return {
        name: score(answers(mask) if mask.any() else nothing, data.targets[mask], data.schema)
        for name, mask in masks.items()
    }
