"""A line of drops, trainings and verdicts in memory: what the daemon does with rows, without its processes.

Reading, candidates, holdouts and verdicts are the daemon's own; only MLflow, bundles and the journal are left out.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import make_classification

from retraind.daemon import model
from retraind.daemon.artifacts.bundle import Manifest, Model
from retraind.daemon.core import durable
from retraind.daemon.core.settings import Inbox, Promote, Train
from retraind.daemon.dataset import segment_writer
from retraind.daemon.gate import rules as verdicts
from retraind.daemon.schema.arrival_times import Era, Window
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.scores import Scores
from retraind.daemon.tabular import rows
from retraind.daemon.training.data.holdout_assignment import PastAssignment
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.evaluation import baseline_comparison, holdouts, new_reference
from retraind.daemon.training.evaluation.reference_answers import Remembered
from retraind.daemon.training.selection import candidates, comparison
from retraind.daemon.training.selection.cross_validation import Trial

FIRST = 1000
"""Clean rows of the first drop; a poisoned one has as many, so half of all rows come from it."""

CANDIDATES = ("logistic", "tree", "forest")

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]
"""(n, d) and class codes (n,)."""


class World:
    """A source of clean rows: three classes, six columns, of which four are informative; about 0.9 can be reached."""

    schema = Schema(
        target="kind", classes=["a", "b", "c"], columns=[Column(name=f"x{i}", kind="number") for i in range(6)]
    )

    def __init__(self, seed: int) -> None:
        matrix, codes = make_classification(
            45_000,
            n_features=6,
            n_informative=4,
            n_redundant=0,
            n_classes=3,
            n_clusters_per_class=1,
            class_sep=1.4,
            flip_y=0.02,
            random_state=seed,
        )
        self.test: Rows = matrix[:20_000].round(4), codes[:20_000].astype(np.int64)
        self._pool: Rows = matrix[20_000:].round(4), codes[20_000:].astype(np.int64)
        self._taken = 0

    def draw(self, count: int) -> Rows:
        """Clean rows that were not drawn before."""
        part = slice(self._taken, self._taken + count)
        self._taken += count
        return self._pool[0][part], self._pool[1][part].copy()

    def of_class(self, code: int, count: int) -> Rows:
        """Clean rows of one class."""
        matrix, codes = self.draw(4 * count)
        return matrix[codes == code][:count], codes[codes == code][:count]


class Judged(NamedTuple):
    """One training: the verdict, and how much accuracy on clean rows the challenger loses against the first champion."""

    promoted: bool
    reason: str
    loss: float


class Line:
    """Drops, trainings and verdicts one after the other, as the daemon would have them."""

    def __init__(self, folder: Path, world: World, promote: Promote, names: Sequence[str] = CANDIDATES) -> None:
        self._folder, self._world, self._promote = folder, world, promote
        self._train = Train(candidates=list(names), calibrate=False)
        self._segments: dict[str, str] = {}
        self._served: Model | None = None
        self._past: dict[int, Any] = {}
        self._answered: dict[int, Remembered] = {}
        self._version, self._first_rows = 0, 0
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self._era: Era | None = None
        self._clean = 0.0
        self.loss = 0.0
        """How much accuracy on clean rows the served version has lost against the first one."""
        folder.mkdir(parents=True, exist_ok=True)

    def drop(self, given: Rows, after: timedelta = timedelta(0)) -> None:
        """Take a drop as ingestion does, so long `after` the one before: text cells, typed and checked, one segment."""
        self._now += after
        schema, (matrix, codes) = self._world.schema, given
        cells = {name: [repr(float(value)) for value in matrix[:, i]] for i, name in enumerate(schema.features)}
        cells[schema.target] = [schema.classes[code] for code in codes]
        sha256 = durable.sha256("\n".join(",".join(row) for row in zip(*cells.values(), strict=True)).encode())
        checked = rows.check(pa.table(cells), schema, Inbox())
        count = checked.table.num_rows
        table = rows.with_provenance(checked.table, [sha256], [count], np.arange(count), self._now, "file")
        made = segment_writer.write(self._folder, [table]).place()
        self._segments[made.name] = made.sha256
        self._first_rows = self._first_rows or count

    def train(self) -> Judged:
        """Train on all rows so far, compare with what is served, judge, and serve the challenger if it is promoted."""
        schema, self._version = self._world.schema, self._version + 1
        rest = self._first_rows, self._train.holdout, Window(now=self._now.timestamp() * 1000)
        data = Data.read(self._folder, self._segments, schema, *rest, before=self._before(), era=self._era)
        competing = candidates.plan(schema, self._train)
        best = comparison.compare(competing, Trial.of_data(data, self._train)).ranking[0]
        fitted = clone(best.estimator).fit(*data.training)
        known = list(self._answered.items())
        past = dict(known[-max(1, self._promote.baseline_versions) :])
        rules = baseline_comparison.Rules(past=past, champion=known[-1][0] if known else None)
        kept = baseline_comparison.Kept(best.kept.answers, best.kept.targets, best.places)
        gate = new_reference.Gate(self._promote, self._past if self._promote.baseline_versions else {})
        compared = new_reference.compare(fitted, self._served, data, kept, rules, gate)
        scores: Scores = {**compared.scores, "champion_version": rules.champion}
        verdict = verdicts.judge(scores, self._promote, gate.past)
        matrix, codes = self._world.test
        accuracy = float((model.answers(fitted, matrix, schema).argmax(axis=1) == codes).mean())
        self._clean = self._clean or accuracy
        if verdict.state == "promoted":
            self._past[self._version] = scores
            self._era = Era.of(scores)
            self._answered[self._version], self.loss = compared.answered, self._clean - accuracy
            self._served = Model(self._manifest(scores), "", lambda given: model.answers(fitted, given, schema))
        return Judged(verdict.state == "promoted", verdict.reason, self._clean - accuracy)

    def _before(self) -> PastAssignment | None:
        return None if self._served is None else holdouts.assignment_of(self._served.manifest, self._world.schema)

    def _manifest(self, scores: Scores) -> Manifest:
        texts = dict.fromkeys(("run", "candidate", "estimator", "revision", "dvc_md5", "reason"), "poison")
        texts["created"] = self._now.isoformat()
        numbers: dict[str, Any] = {"rows": 0, "trained_rows": 0, "difference": 0.0, "seed": self._train.seed}
        kind: dict[str, Any] = {"backend": "sklearn", "input": "float64", "files": {}, "libraries": {}}
        known: dict[str, Any] = {"scores": scores, "settings": self._train.model_dump()}
        return Manifest(**texts, **numbers, **kind, **known, data_schema=self._world.schema)
