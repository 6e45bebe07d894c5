"""The page of one logged prediction: the row, the answer, its label if one came, and what moved it."""

from collections.abc import Mapping
from typing import Any, TypedDict

from retraind.daemon.artifacts import manifest
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.records import late_labels
from retraind.daemon.records.late_labels import LabelFacts
from retraind.daemon.records.predictions import LoggedPrediction
from retraind.daemon.records.records import Records
from retraind.daemon.records.search import history_files, open_faults
from retraind.daemon.records.search.old_predictions import OldPredictions
from retraind.web.http.problems import Problem
from retraind.web.pages.frame import PageRequest
from retraind.web.pages.predicting.moved import Moved


class Prediction(TypedDict):
    """The content of the page."""

    prediction: LoggedPrediction
    answer: str
    cells: list[tuple[str, str]]
    """Column and value."""
    label: LabelFacts | None
    """Its true value; None before it came."""
    error: float | None
    """By how much a regression was wrong; None without a label, and for classes."""
    moved: Moved | None
    problem: str
    """Why it can't be explained; empty if it can."""
    doubt: str
    """That its version was trained on rows that have been forgotten since; empty if it was not."""


def content(request: PageRequest) -> Prediction:
    """The page of a prediction, without its explanation; raises Problem 404."""
    row = find(request.home, request.records, request.key, request.old_predictions)
    label = late_labels.of(request.home.journal, row["prediction_id"])
    named = row["prediction_name"] is not None
    wrong = None if label is None or named else abs(float(label["truth"]) - row["prediction"])
    return {
        "prediction": row,
        "answer": row["prediction_name"] or f"{row['prediction']:,.6g}",
        "cells": [(name, _cell(value)) for name, value in zip(_names(request, row), row["features"], strict=True)],
        "label": label,
        "error": wrong,
        "moved": None,
        "problem": "",
        "doubt": open_faults.trained_on_forgotten(request.home.journal, row["model_version"]),
    }


def find(home: Home, records: Records, key: str, old: OldPredictions | None) -> LoggedPrediction:
    """A prediction by its id; raises Problem 404, Unavailable."""
    row = records.predictions.find(key)
    if row is None and old is not None and history_files.holding(home.journal, [key]):
        row = old.find(key)
    if row is None:
        hint = "The history has it a moment after the answer, until predictions.keep_rows or keep_days remove it."
        raise Problem(404, f"There is no prediction {key!r:.80}.", hint=hint)
    return row


class Record(LoggedPrediction):
    """A logged prediction for programs."""

    label: str | None
    """Its true value; None before it came."""
    doubt: str
    """That its version was trained on rows that have been forgotten since; empty if it was not."""


def record(home: Home, records: Records, key: str, old: OldPredictions | None) -> Record:
    """A prediction by its id, for programs; raises Problem 404, Unavailable."""
    row = find(home, records, key, old)
    label = late_labels.of(home.journal, row["prediction_id"])
    doubt = open_faults.trained_on_forgotten(home.journal, row["model_version"])
    return {**row, "label": label["truth"] if label else None, "doubt": doubt}


def _names(request: PageRequest, row: Mapping[str, Any]) -> list[str]:
    """The columns of the version that answered; their numbers if it is not known any more."""
    judged = request.records.versions.get(row["model_version"])
    numbers = [f"column {place + 1}" for place in range(len(row["features"]))]
    if judged is None:
        return numbers
    try:
        names = manifest.read_manifest(request.home.bundle(row["model_version"]), judged["bundle"]).data_schema.features
    except BundleRefused:
        return numbers
    return names if len(names) == len(numbers) else numbers


def _cell(value: Any) -> str:
    if value is None:
        return "missing"
    return str(value).lower() if isinstance(value, bool) else str(value)
