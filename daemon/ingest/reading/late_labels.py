"""Late labels: joins true values with their predictions, by id, to rows that a model can be trained on.

The features of a row are those of its prediction, from the prediction history. They are written as text, and reading
that text like the cells of any drop gives the same values again. A prediction is labelled once: its first label counts.
"""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.errors import BundleRefused, InvalidDrop, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import JoinedLabel
from retraind.daemon.records import predictions as recorded_predictions
from retraind.daemon.records.predictions import Cell
from retraind.daemon.schema.column import Kind
from retraind.daemon.schema.schema import PREDICTION_ID, Schema
from retraind.daemon.storage.journal import Journal
from retraind.daemon.tabular import column_types
from retraind.daemon.tabular.checks.cells import BadCell

HISTORY_SECONDS = 3.0
"""Seconds that labels wait for the history to hold every earlier prediction."""

INSTEAD = "Drop this row with its features instead."


@dataclass(frozen=True)
class Joined:
    """The rows of a drop of late labels; `rows` and `bad` are indices of its ids."""

    cells: pa.Table
    """Text (n rows): the schema's features, then the target from the drop; one row per id that is known and new, in
    order."""
    rows: NDArray[np.int64]
    """(n,) index of each row's id in the drop."""
    bad: list[BadCell]
    """Ids that are unknown, or already have a different label; ascending."""
    duplicates: int
    """Ids that already had the same label, from an earlier drop or an earlier row of this drop."""
    records: list[JoinedLabel]
    """For the journal, aligned with `rows`."""
    unknown: int = 0
    """Number of `bad` ids that the history does not have."""


class Prediction(NamedTuple):
    """One row of the prediction history; `features` are JSON values in the order of the version's columns."""

    version: int
    features: list[Cell]
    value: int | float
    name: str | None


class OldPredictions(Protocol):
    """The part of the prediction history that is in files."""

    def by_ids(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Those of the predictions that are in files, by id; raises Unavailable, sqlite3.Error."""

    def lost(self, ids: Sequence[str]) -> Mapping[str, str]:
        """Why predictions can't be found, by id: those whose file is lost. Raises sqlite3.Error."""


class Labels:
    """Joins labels with predictions; used by the loop thread.

    `history_at`: the time (monotonic seconds) up to which the history holds every prediction.
    """

    def __init__(
        self,
        home: Home,
        journal: Journal,
        history_at: Callable[[], float] = time.monotonic,
        old: OldPredictions | None = None,
    ) -> None:
        self._home, self._journal, self._history_at, self._old = home, journal, history_at, old
        self._schemas: dict[int, Schema] = {}

    def wait_for_history(self, moment: float) -> None:
        """Wait until the history holds every prediction from before `moment` (monotonic seconds); raises Unavailable."""
        asked = time.monotonic()
        while self._history_at() < moment:
            if time.monotonic() - asked > HISTORY_SECONDS:
                raise Unavailable("The prediction history makes no progress.", hint="Late labels wait for it.")
            time.sleep(0.02)

    def join(
        self, ids: Sequence[str], truths: Sequence[str], schema: Schema, pending: Mapping[str, str] | None = None
    ) -> Joined:
        """Rows for the predictions `ids`, with their true values as texts in `truths` (as many).

        `pending` are accepted labels that are not yet in the journal, id to the `truth` of its record. Raises
        Unavailable when the history can't be read: then the labels must wait, because their ids would wrongly seem
        unknown.
        """
        ids = [identity.strip() for identity in ids]
        identities = {identity for identity in ids if identity}
        labelled = self._journal.labels.truths(identities)
        labelled |= {identity: pending[identity] for identity in identities & pending.keys()} if pending else {}
        unlabelled = sorted(identities - labelled.keys())
        recorded = self._recorded(unlabelled)
        work = _Work(schema, labelled, recorded, self._absent(set(unlabelled) - recorded.keys()), self._schema_of)
        for row, (identity, truth) in enumerate(zip(ids, truths, strict=True)):
            work.add(row, identity, truth)
        return work.joined()

    def _recorded(self, ids: Sequence[str]) -> dict[str, Prediction]:
        """Those of the predictions that the history has, in its database or in files; raises Unavailable."""
        recorded = dict(_predictions(self._home.history, ids))
        rest = [identity for identity in ids if identity not in recorded]
        for identity, row in self._old.by_ids(rest).items() if self._old is not None and rest else ():
            facts = row["model_version"], row["features"], row["prediction"], row["prediction_name"]
            recorded[identity] = Prediction(*facts)
        return recorded

    def _absent(self, ids: Collection[str]) -> dict[str, str]:
        """Why the history does not have these predictions, by id; raises Unavailable."""
        if self._old is None:
            limit = "which keeps the newest predictions.keep_rows. "
            return dict.fromkeys(ids, f"is not in the prediction history, {limit}{INSTEAD}")
        limit = "which keeps all of predictions.keep_days: look whether the id is whole."
        absent = dict.fromkeys(ids, f"is not in the prediction history, {limit} {INSTEAD}")
        try:
            lost = self._old.lost(sorted(ids))
        except sqlite3.Error as error:
            raise Unavailable(
                f"The index of old predictions can't be read: {error}.", hint="It is tried again."
            ) from None
        again = "Drop this row again once the file is back, or with its features instead."
        return absent | {
            identity: f"may be in a file of old predictions that is lost: {reason} {again}"
            for identity, reason in lost.items()
        }

    def _schema_of(self, version: int) -> Schema:
        """The schema that a version was trained with; raises BundleRefused."""
        if version not in self._schemas:
            judged = self._journal.versions.get(version)
            if judged is None:
                raise BundleRefused(f"The journal does not know version {version}.")
            manifest = bundle.read_manifest(self._home.bundle(version), judged["bundle"])
            self._schemas[version] = manifest.data_schema
        return self._schemas[version]


class _Work:
    """A join in progress."""

    def __init__(
        self,
        schema: Schema,
        labelled: dict[str, str],
        predictions: Mapping[str, Prediction],
        absent: Mapping[str, str],
        schema_of: Callable[[int], Schema],
    ) -> None:
        self._schema, self._labelled, self._schema_of = schema, labelled, schema_of
        self._predictions, self._absent = predictions, absent
        self._cells: list[list[str]] = []
        self._rows: list[int] = []
        self._bad: list[BadCell] = []
        self._duplicates = self._unknown = 0
        self._records: list[JoinedLabel] = []

    def add(self, row: int, identity: str, label: str) -> None:
        """Join one label; an error in it becomes a bad cell of `row`."""
        truth = plain(label, self._schema)
        if truth and self._labelled.get(identity) == truth:
            self._duplicates += 1
            return
        try:
            prediction = self._find(identity, truth)
            trained = self._trained(prediction)
        except InvalidDrop as error:
            self._bad.append(BadCell(row, error.column or PREDICTION_ID, error.reason))
            return
        self._labelled[identity] = truth
        self._cells.append([*cells(prediction.features, trained, self._schema), label])
        self._rows.append(row)
        predicted = repr(float(prediction.value)) if prediction.name is None else prediction.name
        self._records.append(
            {"prediction_id": identity, "version": prediction.version, "prediction": predicted, "truth": truth}
        )

    def joined(self) -> Joined:
        """The result."""
        names = [*self._schema.features, self._schema.target]
        columns = zip(*self._cells, strict=True) if self._cells else ((),) * len(names)
        table = pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})
        rows = np.array(self._rows, dtype=np.int64)
        return Joined(table, rows, self._bad, self._duplicates, self._records, self._unknown)

    def _find(self, identity: str, truth: str) -> Prediction:
        if not identity:
            raise InvalidDrop("The cell is empty: give the prediction_id that /predict returned.")
        if not truth or truth in self._schema.markers[self._schema.target]:
            reason = f"{column_types.unlabelled(truth)} Give the true value, or leave the row out until it is known."
            raise InvalidDrop(reason, column=self._schema.target)
        if identity in self._labelled:
            reason = f"The prediction is labelled {self._labelled[identity]!r:.80} already, and a label stays: remove this row."
            raise InvalidDrop(reason, column=self._schema.target)
        if identity not in self._predictions:
            self._unknown += 1
            raise InvalidDrop(f"{identity!r:.80} {self._absent[identity]}")
        return self._predictions[identity]

    def _trained(self, prediction: Prediction) -> Schema:
        """The schema of the version that made a prediction."""
        try:
            trained = self._schema_of(prediction.version)
        except BundleRefused as error:
            raise InvalidDrop(f"The columns of version {prediction.version} can't be read: {error} {INSTEAD}") from None
        predicted, expected = len(prediction.features), len(trained.columns)
        if predicted != expected:
            reason = f"The history holds {predicted} values of this prediction; version {prediction.version} takes {expected}. "
            raise InvalidDrop(reason + INSTEAD)
        return trained


def cells(features: Sequence[Cell], trained: Schema, schema: Schema) -> Iterator[str]:
    """The features of one prediction, from the columns of `trained`, as text cells in the columns of `schema`."""
    values = dict(zip(trained.features, features, strict=True))
    for column in schema.columns:
        yield cell(values.get(column.name), column.kind, column.decimal_mark(schema.decimal))


def cell(value: Cell, kind: Kind, decimal: str) -> str:
    """A JSON value as the text that a drop would have for it in a column of this kind."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, int | float):
        return _date(value) if kind == "date" else str(value)
    if kind == "integer" and float(value).is_integer():
        return repr(int(value))
    return repr(value).replace(".", decimal) if kind in ("number", "integer") else repr(value)


def _date(text: str) -> str:
    """A date in the format of drops; requests may also write 20260131 or 2026-W05-6."""
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return text


def plain(truth: str, schema: Schema) -> str:
    """A true value in the form compared with predictions: the class's name, or `repr` of the number.

    Any other text stays unchanged: reading the row will reject it, or accept it as a new class.
    """
    truth = truth.strip()
    if schema.task == "classification":
        return schema.labels.matching(truth) or truth
    written = schema.notation.number(truth) if schema.notation else None
    try:
        return repr(float(truth.replace(schema.decimal, ".")) if written is None else written)
    except ValueError:
        return truth


def _predictions(path: Path, ids: Sequence[str]) -> Iterator[tuple[str, Prediction]]:
    """Those of the `ids` that are in the history; raises Unavailable."""
    try:
        for row in recorded_predictions.by_id(path, ids):
            features = orjson.loads(row["features"])
            prediction = Prediction(row["model_version"], features, row["prediction"], row["prediction_name"])
            yield row["prediction_id"], prediction
    except sqlite3.Error as error:
        hint = "Labels wait until it can be."
        raise Unavailable(f"The prediction history {path} can't be read: {error}.", hint=hint) from None
