"""Logs a training in MLflow for people: one run, with a nested run for each candidate.

Nothing here affects decisions; the manifest has the same figures.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retraind.daemon import model
from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.core.settings import Train
from retraind.daemon.registry.registry import Registry, Source
from retraind.daemon.schema.costs import Costs
from retraind.daemon.schema.score_names import DECIDES
from retraind.daemon.schema.scores import HOLDOUTS, Score
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.evaluation.holdouts import answers_of
from retraind.daemon.training.metrics import score
from retraind.daemon.training.selection import report_metrics
from retraind.daemon.training.selection.cross_validation import Scored

TEXTBOOK_ROWS = 10
"""Minimum rows for the textbook figures of a regression."""

SCHEMA_ROWS = 100
"""Number of rows from which MLflow infers the columns and types of a dataset."""


class RunLogger:
    """Writes below one run; `source` is the folder of the data."""

    def __init__(self, registry: Registry, run: str, data: Data, manifest: Manifest, source: Path) -> None:
        self._registry, self._run, self._data, self._manifest = registry, run, data, manifest
        self._source = Source(str(source), manifest.revision, manifest.dvc_md5, data.counts[0] + int(data.held.sum()))

    def begin(self) -> None:
        """Log parameters, figures and dataset of the training itself, before its version is registered."""
        manifest = self._manifest
        params = {key: getattr(manifest, key) for key in ("candidate", "rows", "trained_rows", "seed")}
        params |= {f"train.{key}": value for key, value in manifest.settings.items()}
        tags = {"backend": manifest.backend, "candidate": manifest.candidate}
        if manifest.twin is not None:
            params["twin_rows"] = manifest.twin.trained_rows
        if manifest.scored:
            tags["scored"] = manifest.scored
        self._registry.log(self._run, params, _figures(manifest) | {"backend_difference": manifest.difference}, tags)
        self._log_dataset([self._run])

    def finish(self, scored: Sequence[Scored], winner: Scored, fitted: Any, *, few: bool) -> None:
        """Log the candidates and draw the pictures; with `few` rows, also fit the other candidates to compare them."""
        runs = [self._candidate(one, fitted if one is winner else None, few=few) for one in scored]
        self._log_dataset(runs)
        if self._data.held.any():
            self._draw(self._run, fitted, self._manifest.candidate, everything=True)
        if few:
            self._textbook(winner)

    def _textbook(self, winner: Scored) -> None:
        data, decides = self._data, DECIDES[self._data.schema.task]
        split = report_metrics.split42(winner.estimator, *data.as_accepted, data.schema.task)
        again = report_metrics.cross_validate(winner, data.schema, *data.as_accepted, 10, self._manifest.seed)
        self._registry.log(self._run, {}, {f"split42_{decides}": split, f"cv10_{decides}": again.score}, {})

    def _candidate(self, scored: Scored, fitted: Any, *, few: bool) -> str:
        """A nested run: figures of the comparison, and with few rows (or for the winner) those on the held-out rows."""
        data, wins = self._data, fitted is not None
        run = self._registry.start_run(scored.name, {"candidate": scored.name}, self._run)
        split: dict[str, float] = {}
        if few:
            figure = report_metrics.split42(scored.estimator, *data.as_accepted, data.schema.task)
            split[f"split42_{DECIDES[data.schema.task]}"] = figure
            fitted = fitted if wins else model.fit(scored.estimator, *data.training)
        drawn = self._draw(run, fitted, scored.name) if data.held.any() and fitted is not None else None
        figures = _flat(scored.figures(), drawn) | split
        self._registry.log(run, scored.estimator.get_params(), figures, {"winner": str(wins).lower()})
        self._registry.end_run(run)
        return run

    def _draw(self, run: str, fitted: Any, name: str, *, everything: bool = False) -> Score:
        """Score a fitted candidate on the held-out rows and log the pictures of that; returns the scores."""
        from retraind.daemon.training import plots  # matplotlib is imported here, because no version waits for it

        data = self._data
        answers, truth = answers_of(fitted, data), data.targets[data.held]
        costs = Costs.of(self._manifest.settings.get("costs"), data.schema.classes)
        figures = score(answers, truth, data.schema, costs=costs)
        with tempfile.TemporaryDirectory(prefix="retraind-") as folder:
            plots.draw(answers, truth, data.schema, Path(folder), f"{name}, {figures['n']} held-out rows", costs)
            if everything:
                plots.draw_more(answers, truth, data.schema, Path(folder), self._manifest.scores["importance"])
            self._registry.log_files(run, Path(folder))
        return figures

    def _log_dataset(self, runs: Sequence[str]) -> None:
        data = self._data
        first = data.matrix[:SCHEMA_ROWS, : len(data.schema.features)].T
        columns = dict(zip(data.schema.features, first, strict=True)) | {data.schema.target: data.named(SCHEMA_ROWS)}
        self._registry.log_dataset(runs, columns, data.schema.target, self._source)


def is_small(data: Data, settings: Train) -> bool:
    """Whether the textbook figures are logged: the rows are few enough, but enough of each class for the split."""
    count = len(data.targets)
    if data.in_pieces or count > settings.report_rows:
        return False
    if data.schema.task == "regression":
        return count >= TEXTBOOK_ROWS
    classes = np.bincount(data.targets)[np.unique(data.targets)]
    # A stratified fifth has to hold a row of each class.
    return bool(classes.min() >= 2 and report_metrics.TEST_SHARE * count >= len(classes))


def _figures(manifest: Manifest) -> dict[str, float]:
    """The figures of the winner, and its score on each holdout."""
    decides = DECIDES[manifest.data_schema.task]
    figures = {key: value for key, value in manifest.scores.items() if isinstance(value, float)}
    challenger = manifest.scores["challenger"]
    held = {f"{name}_{decides}": challenger[name].get(decides) for name in HOLDOUTS if name in challenger}
    return figures | {key: value for key, value in held.items() if value is not None}


def _flat(entry: Mapping[str, object], score: Score | None) -> dict[str, float]:
    """The figures of a candidate, and of its score on the held-out rows, in MLflow's form."""
    figures = {key: value for key, value in entry.items() if isinstance(value, float)}
    if score is None:
        return figures
    figures |= {f"holdout_{key}": value for key, value in score.items() if isinstance(value, float)}
    recall = score.get("recall", {})
    return figures | {f"holdout_recall_{name}": share for name, share in recall.items() if name.isidentifier()}
