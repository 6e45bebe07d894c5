"""What was answered: the predictions of one request, as an endpoint sends them and as the log keeps them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NotRequired, TypedDict

import orjson

from daemon.core.status import utcnow
from web.serving.predictor import Predictor


class RowAnswer(TypedDict):
    """The answer to one row, as `/predict` sends it."""

    prediction: float
    """Code of the class, or the value."""
    prediction_id: str
    prediction_name: str | None
    """Name of the class; None for a value, as is `confidence`."""
    confidence: float | None
    probabilities: NotRequired[dict[str, float]]
    """By name of the class; left out for a value."""


class LogLine(TypedDict):
    """The line of the log about one row."""

    timestamp: str
    """UTC, ISO 8601."""
    model_version: int
    latency_ms: float
    prediction_id: str
    features: Sequence[Any]
    """In the order of the columns."""
    prediction: float
    prediction_name: str | None
    confidence: float | None
    probabilities: list[float] | None
    """In the order of the classes' codes."""
    caller: NotRequired[str]
    """Name of the token; left out for a local program."""


@dataclass(slots=True)
class Answered:
    """The predictions of one request, one per row, already logged."""

    predictor: Predictor
    predictions: list[Any]
    """Codes of classes, or values."""
    probabilities: list[list[float]] | None
    """By row, in the order of the classes' codes; None for values."""
    ids: list[str]
    """The prediction ids."""
    latency_ms: float

    def rows(self) -> list[RowAnswer]:
        """The answer of `/predict` to each row, without what is the same for all of them."""
        if self.probabilities is None:
            return [
                {"prediction": value, "prediction_id": key, "prediction_name": None, "confidence": None}
                for value, key in zip(self.predictions, self.ids, strict=True)
            ]
        classes = self.predictor.classes
        return [
            {
                "prediction": code,
                "prediction_id": key,
                "prediction_name": classes[code],
                "confidence": shares[code],
                "probabilities": dict(zip(classes, shares, strict=True)),
            }
            for code, key, shares in zip(self.predictions, self.ids, self.probabilities, strict=True)
        ]

    def first(self) -> RowAnswer:
        """The same for the first row, which mostly is the only one."""
        prediction, key = self.predictions[0], self.ids[0]
        if self.probabilities is None:
            return {"prediction": prediction, "prediction_id": key, "prediction_name": None, "confidence": None}
        shares, classes = self.probabilities[0], self.predictor.classes
        return {
            "prediction": prediction,
            "prediction_id": key,
            "prediction_name": classes[prediction],
            "confidence": shares[prediction],
            "probabilities": dict(zip(classes, shares, strict=True)),
        }

    def details(self) -> Iterator[tuple[str, float, list[float]]] | Iterator[tuple[None, None, None]]:
        """For each row the name of the class, its probability and all probabilities; for values an endless series of Nones."""
        if self.probabilities is None:
            return repeat((None, None, None))
        classes = self.predictor.classes
        return (
            (classes[code], shares[code], shares)
            for code, shares in zip(self.predictions, self.probabilities, strict=True)
        )

    @property
    def names(self) -> list[str | float]:
        """The predictions as names of classes, or values."""
        if self.probabilities is None:
            return list(self.predictions)
        return [self.predictor.classes[int(code)] for code in self.predictions]


def lines_of(answered: Answered, rows: Sequence[Sequence[Any]], caller: str) -> Iterator[bytes]:
    """The lines of the log, one JSON object per row; `daemon.storage.prediction_history` reads them."""
    at, version, latency = utcnow(), answered.predictor.version, answered.latency_ms
    lines = zip(rows, answered.ids, answered.predictions, answered.details(), strict=False)
    for values, key, prediction, (name, confidence, probabilities) in lines:
        line: LogLine = {
            "timestamp": at,
            "model_version": version,
            "latency_ms": latency,
            "prediction_id": key,
            "features": values,
            "prediction": prediction,
            "prediction_name": name,
            "confidence": confidence,
            "probabilities": probabilities,
        }
        if caller:
            line["caller"] = caller
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def line_of(answered: Answered, values: Sequence[Any], caller: str) -> bytes:
    """The line of the only row, as `lines_of` would give it, in a third of the time."""
    prediction = answered.predictions[0]
    shares = None if answered.probabilities is None else answered.probabilities[0]
    line: LogLine = {
        "timestamp": utcnow(),
        "model_version": answered.predictor.version,
        "latency_ms": answered.latency_ms,
        "prediction_id": answered.ids[0],
        "features": values,
        "prediction": prediction,
        "prediction_name": None if shares is None else answered.predictor.classes[prediction],
        "confidence": None if shares is None else shares[prediction],
        "probabilities": shares,
    }
    if caller:
        line["caller"] = caller
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
