"""Late labels of a version, in order of arrival.

Truth and prediction are texts: classes, or numbers as `repr` writes them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from retraind.daemon.records.dialect import ARRIVAL
from retraind.daemon.records.query import ask, listed, parts, typed
from retraind.daemon.records.query import first as one
from retraind.daemon.schema.schema import Task

FIRST = f"""SELECT prediction_id, truth, prediction FROM labels WHERE version = ? AND batch > ?
ORDER BY batch, {ARRIVAL} LIMIT ?"""

NEWEST = f"""SELECT prediction_id, truth, prediction FROM labels WHERE version = ?
ORDER BY batch DESC, {ARRIVAL} DESC LIMIT ?"""

ERRORS = {"classification": "truth <> prediction", "regression": "ABS(CAST(truth AS REAL) - CAST(prediction AS REAL))"}
LATER = f"FROM labels WHERE version = ? AND (batch, {ARRIVAL}) > (?, ?) ORDER BY batch, {ARRIVAL} LIMIT ?"


class Outcome(TypedDict):
    """A true value, and the version's answer."""

    truth: str
    prediction: str


class Labelled(Outcome):
    """A late label with the id of its prediction."""

    prediction_id: str


class LabelFacts(Outcome):
    """The late label of one prediction."""

    drop: str
    """Its sha256."""
    at: str


class LabelError(TypedDict):
    """The error of an answer; `batch` and `place` give the position of its label among all."""

    batch: int
    place: int
    error: float


def first(journal: Path, version: int, after: int, most: int) -> list[Labelled]:
    """The first `most` labels after a batch."""
    return typed(Labelled, journal, FIRST, version, after, most)


def of(journal: Path, prediction: str) -> LabelFacts | None:
    """The label of a prediction; None before it came."""
    query = 'SELECT truth, prediction, "drop", at FROM labels WHERE prediction_id = ?'
    return one(LabelFacts, journal, query, prediction)


def newest(journal: Path, version: int, most: int) -> list[Labelled]:
    """The newest labels, newest first."""
    return typed(Labelled, journal, NEWEST, version, most)


def labelled(journal: Path, versions: Sequence[int]) -> set[int]:
    """The versions among them that have late labels."""
    query = "SELECT version FROM versions WHERE version IN ({}) AND EXISTS (SELECT 1 FROM labels WHERE labels.version = versions.version)"
    return {row["version"] for some in parts(versions) for row in ask(journal, query.format(listed(some)), *some)}


def errors(journal: Path, version: int, task: Task, after: tuple[int, int], most: int) -> list[LabelError]:
    """The errors of the labels after the place `after`, oldest first."""
    query = f"SELECT batch, {ARRIVAL} AS place, {ERRORS[task]} AS error {LATER}"
    return typed(LabelError, journal, query, version, *after, most)
