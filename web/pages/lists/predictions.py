"""The page of predictions: a search form, and the predictions that fit with their late labels, newest first."""

from collections.abc import Mapping, Sequence
from typing import Any

from retraind.daemon.artifacts.manifest import Manifest
from retraind.web.lists import predictions
from retraind.web.lists.listing import SHOWN
from retraind.web.pages.frame import PageRequest
from retraind.web.pages.lists import form

MOST_FEATURES = 30
"""Number of features of a row that are shown; the CSV has all."""


def content(request: PageRequest) -> Mapping[str, object]:
    """The predictions that the query asks for; raises Problem 400 for a wrong query, TooSlow, sqlite3.Error."""
    entries = predictions.find(request.home, request.query, SHOWN, request.old_predictions)
    served, manifest = request.facts.number, request.facts.manifest
    return {
        "rows": [_row(row, manifest if row["model_version"] == served else None) for row in entries.page.rows],
        "fields": form.fields(predictions.PARAMETERS, entries.values),
        "filtered": form.is_filtered(entries.values),
        "complete": entries.page.complete,
        "links": form.links(entries),
    }


def _row(row: Mapping[str, Any], manifest: Manifest | None) -> Mapping[str, object]:
    """A prediction whose features have names, if its version serves: other versions may have other columns."""
    values: Sequence[object] = row["features"]
    names = manifest.data_schema.features if manifest else []
    named = names if len(names) == len(values) else [""] * len(values)
    shown = [{"name": name, "value": _cell(value)} for name, value in zip(named, values, strict=True)]
    right = None if row["label"] is None or row["prediction_name"] is None else row["label"] == row["prediction_name"]
    return {**row, "cells": shown[:MOST_FEATURES], "more": max(0, len(shown) - MOST_FEATURES), "right": right}


def _cell(value: object) -> str:
    return "missing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
