"""The logbook: what a training leaves in MLflow for people, one run with a nested run for each candidate.

Level 4. Nothing here decides anything; the manifest holds the same figures.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daemon import pictures
from daemon.bundle import Manifest
from daemon.candidates import Scored
from daemon.figures import DECIDES
from daemon.holdouts import answers_of
from daemon.registry import Registry
from daemon.revision import Data
from daemon.scores import score


class Logbook:
    """Writes below one run; `folder` is a place for files on their way into MLflow."""

    def __init__(self, registry: Registry, run: str, folder: Path) -> None:
        self._registry, self._run, self._folder = registry, run, folder

    def write(self, data: Data, scored: Sequence[Scored], winner: Scored, manifest: Manifest, source: Path) -> None:
        """Log candidates, figures and the dataset that lies in `source`; all candidates but the winner are fitted for it."""
        entries = manifest.scores["candidates"]
        runs = [self._run]
        for one, entry in zip(scored, entries, strict=True):
            runs.append(self._candidate(data, one, entry, wins=one is winner))
        params = {key: getattr(manifest, key) for key in ("candidate", "rows", "trained_rows", "seed")}
        tags = {"backend": manifest.backend, "candidate": winner.name}
        self._registry.log(self._run, params, _figures(manifest), tags)
        learnt = dict(zip(data.schema.features, data.matrix.T, strict=True)) | {data.schema.target: data.named}
        self._registry.log_dataset(runs, learnt, data.schema.target, manifest.dvc_md5, source)

    def _candidate(self, data: Data, one: Scored, entry: dict[str, Any], *, wins: bool) -> str:
        run = self._registry.start_run(one.name, {"candidate": one.name}, self._run)
        fitted = one.estimator if wins else one.estimator.fit(*data.taught)
        found: dict[str, Any] = {}
        if data.held.any():
            answers, truth = answers_of(fitted, data), data.targets[data.held]
            found = score(answers, truth, data.schema)
            pictures.draw(answers, truth, data.schema, self._folder, f"{one.name}, {found['n']} held-out rows")
            self._registry.log_files(run, self._folder)
            shutil.rmtree(self._folder)
        self._registry.log(run, one.estimator.get_params(), _flat(entry, found), {"winner": str(wins).lower()})
        self._registry.end_run(run)
        return run


def _figures(manifest: Manifest) -> dict[str, float]:
    """The figures of the winner, and how it scored on each holdout."""
    decides = DECIDES[manifest.data_schema.task]
    figures = {key: value for key, value in manifest.scores.items() if isinstance(value, float)}
    held = {f"{name}_{decides}": found[decides] for name, found in manifest.scores["challenger"].items()}
    return figures | {key: value for key, value in held.items() if value is not None}


def _flat(entry: dict[str, Any], found: dict[str, Any]) -> dict[str, float]:
    figures = {key: value for key, value in entry.items() if isinstance(value, float)}
    figures |= {f"holdout_{key}": value for key, value in found.items() if isinstance(value, float)}
    recall = found.get("recall", {})
    return figures | {f"holdout_recall_{name}": value for name, value in recall.items() if name.isidentifier()}
