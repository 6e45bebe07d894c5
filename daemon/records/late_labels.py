"""Late labels of a version, in the order in which they came. Truth and prediction are texts: classes, or numbers as `repr` writes them."""

from collections.abc import Sequence
from pathlib import Path

from daemon.records.dialect import ARRIVAL
from daemon.records.query import Row, ask, listed, parts
from daemon.schema.schema import Task

FIRST = f"""SELECT prediction_id, truth, prediction FROM labels WHERE version = ? AND batch > ?
ORDER BY batch, {ARRIVAL} LIMIT ?"""

NEWEST = f"""SELECT prediction_id, truth, prediction FROM labels WHERE version = ?
ORDER BY batch DESC, {ARRIVAL} DESC LIMIT ?"""

ERRORS = {"classification": "truth <> prediction", "regression": "ABS(CAST(truth AS REAL) - CAST(prediction AS REAL))"}
LATER = f"FROM labels WHERE version = ? AND (batch, {ARRIVAL}) > (?, ?) ORDER BY batch, {ARRIVAL} LIMIT ?"


def first(journal: Path, version: int, after: int, most: int) -> list[Row]:
    """The first `most` labels that came after a batch: prediction_id, truth, prediction."""
    return ask(journal, FIRST, version, after, most)


def newest(journal: Path, version: int, most: int) -> list[Row]:
    """The newest labels, newest first: prediction_id, truth, prediction."""
    return ask(journal, NEWEST, version, most)


def labelled(journal: Path, versions: Sequence[int]) -> set[int]:
    """Those of the versions that have late labels."""
    query = "SELECT version FROM versions WHERE version IN ({}) AND EXISTS (SELECT 1 FROM labels WHERE labels.version = versions.version)"
    return {row["version"] for some in parts(versions) for row in ask(journal, query.format(listed(some)), *some)}


def errors(journal: Path, version: int, task: Task, after: tuple[int, int], most: int) -> list[Row]:
    """The errors of the labels after the place `after`, oldest first: `error`, and the `batch` and `place` of each."""
    query = f"SELECT batch, {ARRIVAL} AS place, {ERRORS[task]} AS error {LATER}"
    return ask(journal, query, version, *after, most)
