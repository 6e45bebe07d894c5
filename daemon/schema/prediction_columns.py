"""Columns of answers in CSV: the same from `retraind predict`, the outbox and `POST /predict`. Shared with `web`."""

from collections.abc import Sequence

from retraind.daemon.schema.schema import PREDICTION_ID

PREDICTION, CONFIDENCE, MODEL_VERSION = "prediction", "confidence", "model_version"
PROBABILITY = "probability_"
"""The beginning of the name of each class's column."""


def answer_columns(classes: Sequence[str], *, shares: bool, ids: bool) -> list[str]:
    """The names, in order; `classes` is empty for a regression. `shares`: the probability of each class."""
    probabilities = [f"{PROBABILITY}{name}" for name in classes] if shares else []
    confidence = [CONFIDENCE] if classes else []
    return [*([PREDICTION_ID] if ids else []), PREDICTION, *confidence, *probabilities, MODEL_VERSION]
