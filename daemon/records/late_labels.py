"""Late labels of a version, in the order in which they came. Truth and prediction are texts: classes, or numbers as `repr` writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from daemon.records.dialect import ARRIVAL
from daemon.records.query import ask, listed, parts, typed
from daemon.schema.schema import Task

FIRST = f"""SELECT prediction_id, truth, prediction FROM labels WHERE version = ? AND batch > ?
ORDER BY batch, {ARRIVAL} LIMIT ?"""

NEWEST = f"""SELECT prediction_id, truth, prediction FROM labels WHERE version = ?
ORDER BY batch DESC, {ARRIVAL} DESC LIMIT ?"""

ERRORS = {"classification": "truth <> prediction", "regression": "ABS(CAST(truth AS REAL) - CAST(prediction AS REAL))"}
LATER = f"FROM labels WHERE version = ? AND (batch, {ARRIVAL}) > (?, ?) ORDER BY batch, {ARRIVAL} LIMIT ?"


class Outcome(TypedDict):
    """What was true, and what a version had answered."""

    truth: str
    prediction: str


class Labelled(Outcome):
    """A late label, by the id of the prediction."""

    prediction_id: str


class LabelError(TypedDict):
    """How wrong an answer was; `batch` and `place` say where its label stands among the others."""

    batch: int
    place: int
    error: float


def first(journal: Path, version: int, after: int, most: int) -> list[Labelled]:
    """The first `most` labels that came after a batch."""
    return typed(Labelled, journal, FIRST, version, after, most)


def newest(journal: Path, version: int, most: int) -> list[Labelled]:
    """The newest labels, newest first."""
    return typed(Labelled, journal, NEWEST, version, most)


def labelled(journal: Path, versions: Sequence[int]) -> set[int]:
    """Those of the versions that have late labels."""
    query = "SELECT version FROM versions WHERE version IN ({}) AND EXISTS (SELECT 1 FROM labels WHERE labels.version = versions.version)"
    return {row["version"] for some in parts(versions) for row in ask(journal, query.format(listed(some)), *some)}


def errors(journal: Path, version: int, task: Task, after: tuple[int, int], most: int) -> list[LabelError]:
    """The errors of the labels after the place `after`, oldest first."""
    query = f"SELECT batch, {ARRIVAL} AS place, {ERRORS[task]} AS error {LATER}"
    return typed(LabelError, journal, query, version, *after, most)
