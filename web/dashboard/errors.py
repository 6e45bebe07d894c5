"""Errors of the champion: of a regression the size of its errors, of a classification the classes that it confuses."""

from collections.abc import Sequence
from typing import TypedDict

from retraind.daemon.schema import score_names
from retraind.daemon.schema.scores import Score
from retraind.web.dashboard.facts import Facts
from retraind.web.dashboard.quality import held_out, wilson

MOST_CLASSES = 20
"""With more classes, the confusion matrix is replaced by lists of the worst."""

CONFUSED = 15
"""Number of confused pairs of classes in such a list."""


class ErrorEntry(TypedDict):
    """The errors of a regression on some rows."""

    on: str
    n: int
    r2: float | None
    rmse: float | None
    mae: float | None


class Errors(TypedDict):
    """The errors of a regression, in the unit of its target."""

    rows: list[ErrorEntry]
    target: str


class Cell(TypedDict):
    """One cell of the confusion matrix; `share` is of its row."""

    n: int
    share: float


class ClassEntry(TypedDict):
    """The rows of one class: their predicted classes, its recall and the 95 % interval of that."""

    name: str
    cells: list[Cell]
    n: int
    recall: float | None
    low: float
    high: float


class Confusion(TypedDict):
    """The confusion matrix; rows are true classes, columns predicted ones."""

    classes: list[str]
    rows: list[ClassEntry]
    n: int
    accuracy: float


class Confused(TypedDict):
    """A true class and the class that was answered instead."""

    truth: str
    answer: str
    n: int


class WorstClasses(TypedDict):
    """What is shown of a matrix of too many classes: those with the lowest recall, and the most frequent confusions."""

    rows: list[ClassEntry]
    confused: list[Confused]


def regression(facts: Facts) -> Errors | None:
    """The champion's errors in the target's unit, on held-out rows and on late labels."""
    score = held_out(facts.champion)
    if score is None or score_names.deciding(score) != "r2":
        return None
    measured = [("held-out rows", score), ("late labels", facts.live)]
    rows: list[ErrorEntry] = [
        {"on": on, "n": figures["n"], "r2": figures.get("r2"), "rmse": figures.get("rmse"), "mae": figures.get("mae")}
        for on, figures in measured
        if figures
    ]
    return {"rows": rows, "target": facts.manifest.data_schema.target if facts.manifest else "target"}


def confusion(facts: Facts) -> Confusion | None:
    """The champion's confusion matrix on held-out rows."""
    return matrix(held_out(facts.champion), facts.manifest.data_schema.classes if facts.manifest else [])


def matrix(score: Score | None, classes: Sequence[str]) -> Confusion | None:
    """The confusion matrix (rows: true, columns: predicted) with recall and its 95 % interval per class.

    Without the right number of `classes`, their names are those of the recall, or else their codes.
    """
    if score is None or not score.get("confusion"):
        return None
    recall, support = score.get("recall") or {}, score.get("support") or {}
    names = list(classes or recall)
    if len(names) != len(score["confusion"]):
        names = [str(code) for code in range(len(score["confusion"]))]
    rows: list[ClassEntry] = []
    for name, counts in zip(names, score["confusion"], strict=True):
        total = sum(counts)
        low, high = wilson(recall.get(name) or 0.0, support.get(name) or 0)
        cells: list[Cell] = [{"n": n, "share": n / total if total else 0.0} for n in counts]
        rows.append({"name": name, "cells": cells, "n": total, "recall": recall.get(name), "low": low, "high": high})
    return {"classes": names, "rows": rows, "n": score["n"], "accuracy": score["accuracy"]}


def worst_classes(confusion: Confusion | None) -> WorstClasses | None:
    """The worst classes of a matrix that is too large to be shown; None of one that is not."""
    if confusion is None or len(confusion["classes"]) <= MOST_CLASSES:
        return None
    measured = [row for row in confusion["rows"] if row["recall"] is not None]
    worst = sorted(measured, key=lambda row: row["recall"] or 0.0)[:MOST_CLASSES]
    return {"rows": worst, "confused": _confused(confusion)}


def _confused(confusion: Confusion) -> list[Confused]:
    """The pairs of classes that are confused most often."""
    pairs: list[Confused] = [
        {"truth": row["name"], "answer": answer, "n": cell["n"]}
        for place, row in enumerate(confusion["rows"])
        for other, (answer, cell) in enumerate(zip(confusion["classes"], row["cells"], strict=True))
        if other != place and cell["n"]
    ]
    return sorted(pairs, key=lambda pair: -pair["n"])[:CONFUSED]
