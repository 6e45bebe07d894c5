"""The quick start: an example file to drop and an example prediction, with the columns of this home."""

import math
import shlex
from collections.abc import Mapping
from datetime import date, timedelta
from typing import NotRequired, TypedDict

import orjson

from retraind.daemon.core.errors import BadSchema
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import load as load_schema
from retraind.web.dashboard.facts import Facts

EPOCH = date(1970, 1, 1)


class QuickStart(TypedDict):
    """The page's examples for sending data and requesting predictions; None while the columns are unknown."""

    ask: str | None
    """Body of a prediction, quoted for a shell."""
    tell: str | None
    """Body of a labelled row, quoted for a shell."""
    inbox: str
    origin: str
    header: str | None
    """Header of a CSV file."""
    bootstrap: str
    classes: NotRequired[list[str]]


def commands(home: Home, facts: Facts) -> QuickStart:
    """Commands that can be copied, for the columns of the served model, or else of the dataset."""
    try:
        schema = facts.manifest.data_schema if facts.manifest else load_schema(home.schema)
    except BadSchema:
        schema = None
    settings = facts.settings or Settings()
    quick_start: QuickStart = {
        "ask": None,
        "tell": None,
        "inbox": str(home.inbox),
        "origin": f"http://{settings.server.host or 'localhost'}:{settings.server.port}",
        "header": None,
        "bootstrap": settings.bootstrap,
    }
    if schema is not None:
        features = {column.name: _example(column) for column in schema.columns}
        quick_start["header"] = ",".join(_cell(name) for name in [*schema.features, schema.target])
        quick_start["classes"] = schema.classes
        quick_start["ask"] = _argument({"features": features})
        quick_start["tell"] = _argument({"features": features, "target": schema.classes[0] if schema.classes else 1.5})
    return quick_start


def _argument(body: Mapping[str, object]) -> str:
    # Names of columns and classes are user text, and people paste these lines into a shell.
    return shlex.quote(orjson.dumps(body).decode())


def _cell(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\r\n') else name


def _example(column: Column) -> str | float | bool:
    """A valid JSON value for the column."""
    if column.kind == "category":
        return column.categories[0] if column.categories else ""
    if column.kind == "text":
        return "a few words"
    if column.kind == "boolean":
        return True
    bounded = column.minimum is not None and column.maximum is not None
    middle = ((column.minimum or 0.0) + (column.maximum or 0.0)) / 2 if bounded else 1.0
    if column.kind == "date":
        return (EPOCH + timedelta(days=math.floor(middle))).isoformat()
    return math.floor(middle) if column.kind == "integer" else round(middle, 2)
