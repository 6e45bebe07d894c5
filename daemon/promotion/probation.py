"""The live watch: whether the champion is as good on late labels as on the holdouts.

A new champion is on trial: the previous version answers the same labelled predictions from the history, so neither is
blamed for a world that has become harder for both. A fall after the trial starts a training instead.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import logs
from retraind.daemon.core.errors import BundleRefused, InvalidFeatures
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import SwapRow, VersionRow
from retraind.daemon.core.settings import Promote
from retraind.daemon.promotion import live_comparison
from retraind.daemon.promotion.live_comparison import SUREST, Figure, Measured, measure, scored, standard_errors
from retraind.daemon.records import late_labels, live_score, predictions
from retraind.daemon.records.late_labels import Labelled, Outcome
from retraind.daemon.records.predictions import Cell
from retraind.daemon.schema import costs
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema, Task
from retraind.daemon.schema.scores import Score, Scores, Table
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

SURE = 3.0
"""Standard errors that a fall must have. Every drop of labels leads to another test, and so to another chance of error:
with 3, equal versions are rolled back in at most 2 of 100 trials (tests/promotion/test_probation.py)."""


@dataclass(frozen=True)
class LiveChange:
    """A new champion's live comparison: its figure, that of the version `before`, and whether the fall is significant."""

    now: Measured
    before: float
    sure: bool
    where: str
    """The rows behind the previous version's figure."""


class Probation:
    """Compares live scores; results are cached until the next batch or swap."""

    def __init__(self, home: Home, settings: Promote, journal: Journal) -> None:
        self._home, self._settings, self._journal = home, settings, journal
        self._known: dict[str, tuple[tuple[int, int | None], str | None]] = {}
        self._problems: dict[str, str] = {}
        self.old: Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]] | None = None
        """Those of some predictions that are in the history's files, by id."""

    @property
    def problem(self) -> str | None:
        """Why the last comparison failed, for the health; None if it did not."""
        return next(iter(self._problems.values()), None)

    def trial(self) -> str | None:
        """Why the served version should be rolled back; None if it should not, or that is unknown.

        Only a newer version that replaced an older one is on trial: a version that was brought back was chosen for a
        reason.
        """
        return self._remembered("trial", self._trial)

    def fell(self) -> str | None:
        """Why the champion's newest answers are worse than its score at its promotion; None if they are not."""
        return self._remembered("fell", self._fell)

    def _remembered(self, subject: str, look: Callable[[SwapRow], str | None]) -> str | None:
        swap = self._journal.swaps.last()
        if self._settings.live_rows == 0 or swap is None:
            return None
        state = swap["id"], self._journal.batches.committed().batch
        if self._known.get(subject, (None, None))[0] == state:
            return self._known[subject][1]
        try:
            self._known[subject] = state, look(swap)
            self._problems.pop(subject, None)
        except Exception as error:
            problem = f"The late labels can't be read: {type(error).__name__}: {error}. See the log."
            if problem != self._problems.get(subject):
                log.exception("live_not_watched")
            self._problems[subject] = problem
            return None
        return self._known[subject][1]

    def _trial(self, swap: SwapRow) -> str | None:
        if swap["previous"] is None or swap["previous"] > swap["version"]:
            return None
        versions = self._journal.versions
        new, old = versions.get(swap["version"]), versions.get(swap["previous"])
        since = self._journal.swaps.newest_batch()
        rows = late_labels.first(self._home.journal, swap["version"], since, self._settings.live_until)
        if new is None or old is None or len(rows) < self._settings.live_rows:
            return None
        trained, before = self._schema(new), self._schema(old)
        if trained is None or before is None or (trained.task, trained.target) != (before.task, before.target):
            return None
        figure, table = _figure(new)
        comparison = self._on_the_same(new, old, rows, trained) or self._on_their_own(old, rows, figure, table)
        if (
            comparison is None
            or not comparison.sure
            or comparison.now.upper >= comparison.before - self._settings.tolerance
        ):
            return None
        return (
            f"Live {live_comparison.title(figure)} of version {new['version']} is {comparison.now.value:.4f} on "
            f"{comparison.now.n} late labels (95 % interval up to {comparison.now.upper:.4f}); version {old['version']} has "
            f"{comparison.before:.4f} {comparison.where}; promote.tolerance = {self._settings.tolerance}."
        )

    def _schema(self, judged: VersionRow) -> Schema | None:
        try:
            return bundle.read_manifest(self._home.bundle(judged["version"]), judged["bundle"]).data_schema
        except BundleRefused:
            return None

    def _features_of(self, ids: Sequence[str], version: int) -> dict[str, str]:
        """The features (JSON) of the predictions among these that this version made, by id; raises Unavailable."""
        features = predictions.features_of(self._home.history, ids, version)
        rest = [identity for identity in ids if identity not in features]
        for identity, row in self.old(rest).items() if self.old is not None and rest else ():
            if row["model_version"] == version:
                features[identity] = orjson.dumps(row["features"]).decode()
        return features

    def _on_the_same(
        self, new: VersionRow, old: VersionRow, rows: Sequence[Labelled], trained: Schema
    ) -> LiveChange | None:
        """Both versions on the labelled predictions whose features are still in the history.

        None if the old one can't predict.
        """
        ids = [row["prediction_id"] for row in rows]
        features = self._features_of(ids, new["version"])
        with_features = [row for row in rows if row["prediction_id"] in features]
        if len(with_features) < self._settings.live_rows:
            return None
        try:
            served = bundle.load(self._home.bundle(old["version"]), old["bundle"])
            outcomes = replay(served, trained, [orjson.loads(features[row["prediction_id"]]) for row in with_features])
        except (BundleRefused, InvalidFeatures):
            return None
        replayed: list[Labelled] = [
            {**row, "prediction": answer} for row, answer in zip(with_features, outcomes, strict=True)
        ]
        figure, table = _figure(new)
        now, before = (measure(labels, figure, table=table) for labels in (with_features, replayed))
        if now is None or before is None:
            return None
        return LiveChange(
            now, before.value, standard_errors(with_features, replayed, figure, table) > SURE, "on the same ones"
        )

    def _on_their_own(
        self, old: VersionRow, rows: Sequence[Outcome], figure: Figure, table: Table | None = None
    ) -> LiveChange | None:
        """The new version on its labels; the old one on the labels of its own time, otherwise on its held-out rows."""
        task: Task = "regression" if figure == "r2" else "classification"
        own = live_score.score(self._home.journal, old["version"], task, table)
        enough = own is not None and own["n"] >= self._settings.live_rows
        score, where = (own, "late labels of its own") if enough else (_held_out(old), "held-out rows")
        now, entry = measure(rows, figure, table=table), scored(score, figure, rows, table)
        if now is None or score is None or entry is None:
            return None
        before, error = entry
        if figure == "r2":
            surest = measure(rows, figure, SUREST)
            sure = surest is not None and surest.upper < before
        else:
            sure = before - now.value > SURE * math.hypot(now.error, error)
        return LiveChange(now, before, sure, f"on {score['n']} {where}")

    def _fell(self, swap: SwapRow) -> str | None:
        judged = self._journal.versions.get(swap["version"])
        if judged is None:
            return None
        figure, table = _figure(judged)
        rows = late_labels.newest(self._home.journal, swap["version"], self._settings.live_until)
        entry = scored(_held_out(judged), figure, rows, table)
        now = measure(rows, figure, table=table) if len(rows) >= self._settings.live_rows else None
        if now is None or entry is None or now.upper >= entry[0] - self._settings.tolerance:
            return None
        return (
            f"{live_comparison.title(figure)} {now.value:.4f} on the newest {now.n} late labels "
            f"(95 % interval up to {now.upper:.4f}); at its promotion it was {entry[0]:.4f}."
        )


def _figure(judged: VersionRow) -> tuple[Figure, Table | None]:
    """The figure to measure on late labels: the deciding metric, unless it needs probabilities, which are not stored."""
    if live_score.task_of(orjson.loads(judged["scores"])) == "regression":
        return "r2", None
    rolling = _held_out(judged)
    metric, table = (rolling.get("metric"), rolling.get("costs")) if rolling else (None, None)
    if metric == "cost":
        return "cost", table
    return "balanced_accuracy" if metric == "balanced_accuracy" else "accuracy", table


def _held_out(judged: VersionRow) -> Score | None:
    """The score on the rolling holdout by which a version was judged; None if it has none."""
    scores: Scores = orjson.loads(judged["scores"])
    return (scores.get("challenger") or {}).get("rolling")


def replay(served: bundle.Model, trained: Schema, features: list[list[Cell]]) -> list[str]:
    """A version's answers to features in the columns of `trained`: class names, or numbers as `repr` writes them.

    Raises InvalidFeatures if it has other columns, or rejects a value.
    """
    schema = served.manifest.data_schema
    width = len(trained.features)
    if not set(schema.features) <= set(trained.features) or any(len(values) != width for values in features):
        raise InvalidFeatures("The versions use different columns.")
    named = [dict(zip(trained.features, values, strict=True)) for values in features]
    matrix = np.array([encode(schema, {name: row[name] for name in schema.features}) for row in named])
    answers = served.answers(matrix)
    if schema.task == "regression":
        return [repr(float(value)) for value in answers[:, 0]]
    return [schema.classes[code] for code in costs.named(answers, served.costs)]
