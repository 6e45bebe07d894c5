"""Predictions in the history: a version's inputs and answers."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from retraind.daemon.records.query import LAST, MANY, ask, listed, must, number, parts, typed

BY_ID = "SELECT prediction_id, model_version, features, prediction, prediction_name FROM predictions"

NEWEST = "SELECT features, prediction FROM predictions WHERE model_version = ? ORDER BY seq DESC LIMIT ?"

OTHER = "other"
"""The name of all classes but the most frequent ones."""

Cell = str | float | bool | None
"""The JSON value of a feature; whole numbers are also numbers."""


class Answered(TypedDict):
    """A version's input, `features` (JSON), and its answer: the code of a class, or a number."""

    features: str
    prediction: float


class Identified(Answered):
    """The same with the id of the prediction; `prediction_name` is the class."""

    prediction_id: str
    model_version: int
    prediction_name: str | None


class PredictionFacts(TypedDict):
    """A line of the prediction log, without its features."""

    seq: int
    prediction_id: str
    timestamp: str
    prediction: float
    prediction_name: str | None
    confidence: float | None
    model_version: int
    latency_ms: float
    caller: str


class LoggedPrediction(PredictionFacts):
    """A line of the prediction log; features in the order of the schema."""

    features: list[Cell]


class _Stored(PredictionFacts):
    features: str


class _Number(TypedDict):
    prediction_id: str
    seq: int


def newest_seq(history: Path, version: int) -> int | None:
    """The number of the newest prediction of a version; None without one."""
    return number(history, "SELECT MAX(seq) FROM predictions WHERE model_version = ?", version)


def lowest_seq(history: Path) -> int:
    """The smallest number of a prediction in the database, LAST without one: those in files only have smaller ones."""
    lowest = number(history, "SELECT MIN(seq) FROM predictions")
    return LAST if lowest is None else lowest


def newest(history: Path, version: int, most: int) -> list[Answered]:
    """The newest predictions of a version, newest first."""
    return typed(Answered, history, NEWEST, version, most)


def features_of(history: Path, ids: Sequence[str], version: int) -> dict[str, str]:
    """The features (JSON) of the predictions among these that this version made, by id."""
    features: dict[str, str] = {}
    for some in parts(ids):
        query = f"SELECT prediction_id, features FROM predictions WHERE prediction_id IN ({listed(some)})"
        rows = ask(history, f"{query} AND model_version = ?", *some, version)
        features |= {row["prediction_id"]: row["features"] for row in rows}
    return features


def any_of(history: Path, ids: Sequence[str]) -> bool:
    """Whether the history holds one of the first MANY of these predictions."""
    some = ids[:MANY]
    return bool(ask(history, f"SELECT 1 FROM predictions WHERE prediction_id IN ({listed(some)}) LIMIT 1", *some))


def by_id(history: Path, ids: Sequence[str]) -> Iterator[Identified]:
    """The predictions among these that the history holds; raises sqlite3.Error even if there is no history."""
    for some in parts(ids):
        yield from must(Identified, history, f"{BY_ID} WHERE prediction_id IN ({listed(some)})", *some)


def numbers_of(history: Path, ids: Sequence[str]) -> dict[str, int]:
    """The numbers (`seq`) of those predictions that the history holds, by id; raises sqlite3.Error even without a history."""
    query = "SELECT prediction_id, seq FROM predictions WHERE prediction_id IN ({})"
    rows = (row for some in parts(ids) for row in must(_Number, history, query.format(listed(some)), *some))
    return {row["prediction_id"]: row["seq"] for row in rows}


class Predictions:
    """Predictions of the history."""

    def __init__(self, history: Path) -> None:
        self._history = history

    def newest(self, limit: int = 100, before: str | None = None, version: int | None = None) -> list[LoggedPrediction]:
        """Predictions, newest first; `before` is the prediction_id of the last one seen (an unknown id gives nothing)."""
        query, values = "SELECT * FROM predictions WHERE 1 = 1", []
        if before is not None:
            query += " AND seq < (SELECT seq FROM predictions WHERE prediction_id = ?)"
            values.append(before)
        if version is not None:
            query += " AND model_version = ?"
            values.append(str(version))
        rows = typed(_Stored, self._history, f"{query} ORDER BY seq DESC LIMIT ?", *values, limit)
        return [{**row, "features": json.loads(row["features"])} for row in rows]

    def find(self, key: str) -> LoggedPrediction | None:
        """The prediction with this id, or None."""
        rows = typed(_Stored, self._history, "SELECT * FROM predictions WHERE prediction_id = ?", key)
        return {**rows[0], "features": json.loads(rows[0]["features"])} if rows else None

    def answers(self, version: int, limit: int, classes: int) -> dict[str, int]:
        """The newest predictions of one version by class, most frequent first; beyond `classes` they are `other`.

        Empty for a regression, and while the history is damaged: it is replaced, and metrics must not wait for that.
        """
        recent = "SELECT prediction_name FROM predictions WHERE model_version = ? ORDER BY seq DESC LIMIT ?"
        query = (
            f"SELECT prediction_name AS name, COUNT(*) AS n FROM ({recent}) "
            "WHERE prediction_name IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        try:
            rows = ask(self._history, query, version, limit)
        except sqlite3.Error:
            return {}
        counts = {row["name"]: int(row["n"]) for row in rows[:classes]}
        rest = sum(int(row["n"]) for row in rows[classes:])
        return counts | ({OTHER: counts.get(OTHER, 0) + rest} if rest else {})

    def confidences(self, version: int, limit: int) -> list[float]:
        """Confidences (0-1) of the newest predictions of one version, newest first."""
        query = "SELECT confidence FROM predictions WHERE model_version = ? ORDER BY seq DESC LIMIT ?"
        return [row["confidence"] for row in ask(self._history, query, version, limit)]
