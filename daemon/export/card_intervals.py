"""Intervals of scores, from the answers of the judged model that a bundle keeps for the held-out rows of the first data."""

from collections.abc import Mapping

import numpy as np

from retraind.daemon.export.exported_version import ExportedVersion
from retraind.daemon.schema.scores import Metric, Score
from retraind.daemon.training.evaluation import reference_answers
from retraind.daemon.training.metrics import score

RESAMPLES = 200

LEVEL = (2.5, 97.5)
"""Percentiles of the resampled figures: a 95 % interval."""

LEAST_ROWS = 10


def bootstrapped(
    version: ExportedVersion, figures: Score, metrics: tuple[Metric, ...]
) -> Mapping[Metric, tuple[float, float]]:
    """95 % intervals of the figures of the reference holdout, by resampling its rows; seeded, so they are the same each time.

    Empty if the bundle does not keep the answers to all of its rows, or if these are few.
    """
    kept = reference_answers.read(version.folder)
    if kept is None or len(kept.held.truth) != figures["n"] or figures["n"] < LEAST_ROWS:
        return {}
    random, n = np.random.default_rng(version.manifest.seed), figures["n"]
    drawn: dict[Metric, list[float]] = {metric: [] for metric in metrics}
    for _ in range(RESAMPLES):
        rows = random.integers(0, n, n)
        resampled = score(kept.held.answers[rows], kept.held.truth[rows], version.schema, costs=version.model.costs)
        for metric in metrics:
            value = resampled.get(metric)
            if isinstance(value, float):
                drawn[metric].append(value)
    return {metric: _ends(values) for metric, values in drawn.items() if len(values) == RESAMPLES}


def _ends(values: list[float]) -> tuple[float, float]:
    low, high = np.percentile(values, LEVEL).tolist()
    return low, high
