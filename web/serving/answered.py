"""The answered predictions of one request, in the forms that endpoints send and that the log stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, Protocol, TypedDict

import numpy as np
import orjson

from retraind.daemon.core.status import utcnow
from retraind.web.serving.inputs import Matrix
from retraind.web.serving.predictor import Predictor


class RowAnswer(TypedDict):
    """The answer to one row, as `/predict` sends it."""

    prediction: float
    """Code of the class, or the value."""
    prediction_id: str
    prediction_name: str | None
    """Name of the class; None for a value, as is `confidence`."""
    confidence: float | None
    probabilities: NotRequired[dict[str, float]]
    """By name of the class; absent for a value."""


class LogLine(TypedDict):
    """The line of the log about the only row of a request."""

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
    """Name of the token; absent for a local program."""


class Answered(Protocol):
    """The predictions of one request, already logged; each attribute has an entry for each row."""

    @property
    def predictor(self) -> Predictor:
        """The version that answered."""

    @property
    def latency_ms(self) -> float:
        """How long the model took, in milliseconds."""

    @property
    def ids(self) -> Sequence[str]:
        """The prediction ids."""

    @property
    def predictions(self) -> Sequence[Any]:
        """Codes of classes, or values."""

    @property
    def names(self) -> Sequence[str | float]:
        """The predictions as names of classes, or values."""

    @property
    def probabilities(self) -> list[list[float]] | None:
        """By row, in the order of the classes' codes; None for values."""

    @property
    def matrix(self) -> Matrix:
        """The probabilities (n, classes), or the values (n, 1)."""


@dataclass(slots=True)
class AnsweredRow:
    """The prediction of a request with one row, the most common case."""

    predictor: Predictor
    shares: list[float]
    """The probabilities, or the single value."""
    prediction: Any
    identity: str
    latency_ms: float

    @property
    def ids(self) -> list[str]:
        """The prediction id."""
        return [self.identity]

    @property
    def predictions(self) -> list[Any]:
        """The code of the class, or the value."""
        return [self.prediction]

    @property
    def names(self) -> list[str | float]:
        """The name of the class, or the value."""
        classes = self.predictor.classes
        return [classes[self.prediction] if classes else self.prediction]

    @property
    def probabilities(self) -> list[list[float]] | None:
        """The probabilities of the classes; None for a value."""
        return [self.shares] if self.predictor.classes else None

    @property
    def matrix(self) -> Matrix:
        """The probabilities or the value as an array of one row."""
        return np.array([self.shares])

    def first(self) -> RowAnswer:
        """The answer of `/predict`."""
        prediction, classes, shares = self.prediction, self.predictor.classes, self.shares
        if not classes:
            return {
                "prediction": prediction,
                "prediction_id": self.identity,
                "prediction_name": None,
                "confidence": None,
            }
        return {
            "prediction": prediction,
            "prediction_id": self.identity,
            "prediction_name": classes[prediction],
            "confidence": shares[prediction],
            "probabilities": dict(zip(classes, shares, strict=True)),
        }

    def line(self, values: Sequence[Any], caller: str) -> bytes:
        """The line of the log; `retraind.daemon.storage.prediction_history` reads it."""
        prediction, classes, shares = self.prediction, self.predictor.classes, self.shares
        line: LogLine = {
            "timestamp": utcnow(),
            "model_version": self.predictor.version,
            "latency_ms": self.latency_ms,
            "prediction_id": self.identity,
            "features": values,
            "prediction": prediction,
            "prediction_name": classes[prediction] if classes else None,
            "confidence": shares[prediction] if classes else None,
            "probabilities": shares if classes else None,
        }
        if caller:
            line["caller"] = caller
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
