"""The row that `retraind explain` is asked about: in JSON, or of a logged prediction."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from retraind.daemon.artifacts.explaining import explanation
from retraind.daemon.artifacts.explaining.explanation import Explained
from retraind.daemon.core import settings
from retraind.daemon.core.errors import NotFound, NotRows, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.objects.opening import open_store
from retraind.daemon.predicting.served_version import Version
from retraind.daemon.records import predictions
from retraind.daemon.records.search import history_files


def logged(home: Home, identity: str) -> tuple[list[Any], int]:
    """The features of a prediction in the history, and its version; raises NotFound."""
    try:
        for row in predictions.by_id(home.history, [identity]):
            return orjson.loads(row["features"]), row["model_version"]
    except sqlite3.Error as error:
        raise NotFound(f"The prediction history can't be read: {error}.") from None
    if row_in_file := _old(home, identity):
        return row_in_file["features"], row_in_file["model_version"]
    raise NotFound(
        f"{identity!r:.80} is not in the prediction history.", hint="Give a prediction_id, or a row in JSON."
    )


def _old(home: Home, identity: str) -> Mapping[str, Any] | None:
    """A prediction in the history's files; raises NotFound if they can't be read."""
    if not history_files.last_seq(home.journal):
        return None
    from retraind.daemon.history import old_predictions  # imported here, because few homes have such files

    store = open_store(settings.load(home.settings).storage)
    try:
        return old_predictions.by_ids(home, store, [identity]).get(identity)
    except (Unavailable, sqlite3.Error) as error:
        raise NotFound(f"The prediction history can't be read: {error}") from None
    finally:
        if store is not None:
            store.close()


def parsed(text: str) -> Any:
    """A row in JSON, a list or an object; raises NotRows."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise NotRows(f"The row is not JSON: {error}.", hint="For example: '{\"length\": 5.1}'") from None


def explain(home: Home, version: Version, features: Any) -> Explained:
    """Explain the answer to a row of JSON features; raises InvalidFeatures for one that does not fit, NotFound, BundleRefused."""
    return explanation.explain(home.bundle(version.number), version.number, version.model, features)
