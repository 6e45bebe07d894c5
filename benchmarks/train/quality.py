"""Iris: the figures that the daemon's own training logged to MLflow, and the same figures computed without the daemon.

Run it with `python -m benchmarks.train.quality`.
"""

import argparse
from typing import Any

from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split

from benchmarks.figures import show
from benchmarks.harness import Service, running
from retraind.daemon.core.settings import Train
from retraind.daemon.registry.registry import Registry
from retraind.daemon.schema import schema
from retraind.daemon.storage.model_versions import CHAMPION, NAME
from retraind.daemon.training.selection import candidates

BEST_SPLIT42, SELECTED_CV10 = "0.9667", "0.955"
"""29 of 30 flowers on the textbook split, for the best candidate; the mean of ten folds, for the selected one."""


def split42(estimator: Any) -> float:
    """Accuracy on the textbook split of scikit-learn's Iris."""
    rows, codes = load_iris(return_X_y=True)
    learn, test, known, truth = train_test_split(rows, codes, test_size=0.2, random_state=42, stratify=codes)
    return float(clone(estimator).fit(learn, known).score(test, truth))


def cv10(estimator: Any, folds: Any) -> float:
    """Mean accuracy of ten folds; `folds` is 10 or a splitter."""
    rows, codes = load_iris(return_X_y=True)
    return float(cross_val_score(clone(estimator), rows, codes, cv=folds).mean())


def collect(service: Service) -> list[list[str]]:
    """Rows of the table, after the service has trained on Iris and has stopped."""
    # After retraind.daemon.registry.registry, whose environment keeps MLflow from calling home.
    import mlflow.sklearn

    client = Registry(service.home).client
    version = client.get_model_version_by_alias(NAME, CHAMPION)
    parent = client.get_run(str(version.run_id))
    nested = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{version.run_id}'")
    chosen = mlflow.sklearn.load_model(f"models:/{NAME}@{CHAMPION}")[-1].estimator
    return [*_candidates(service, nested), *_selected(parent, chosen)]


def _candidates(service: Service, runs: Any) -> list[list[str]]:
    """One row for each nested run, and the best of them."""
    known = schema.load(service.home.schema)
    assert known is not None
    rows, logged = [], []
    for run in sorted(runs, key=lambda run: str(run.info.run_name)):
        estimator = candidates.build(run.info.run_name, known, Train().seed)
        logged.append(float(run.data.metrics["split42_accuracy"]))
        same = {key: str(value)[:500] for key, value in estimator.get_params().items()} == dict(run.data.params)
        note = "built with the parameters in MLflow" if same else "MLFLOW HAS OTHER PARAMETERS"
        rows.append([f"split42, {run.info.run_name}", _four(logged[-1]), _four(split42(estimator)), "", note])
    rows.append(["split42, best candidate", _four(max(logged)), "", BEST_SPLIT42, ""])
    return rows


def _selected(parent: Any, chosen: Any) -> list[list[str]]:
    """Rows of the selected candidate: `parent` is the run, `chosen` the estimator that MLflow has stored."""
    name, metrics = parent.data.params["candidate"], parent.data.metrics
    shuffled = StratifiedKFold(10, shuffle=True, random_state=Train().seed)
    logged = _four(metrics["split42_accuracy"]), _four(metrics["cv10_accuracy"])
    return [
        [f"split42, selected ({name})", logged[0], _four(split42(chosen)), "", f"a clone of models:/{NAME}@{CHAMPION}"],
        [f"10-fold, selected ({name})", logged[1], _four(cv10(chosen, shuffled)), SELECTED_CV10, "shuffled, seed 42"],
        [f"10-fold, selected ({name})", "", _four(cv10(chosen, 10)), SELECTED_CV10, "cross_val_score(cv=10)"],
    ]


def _four(value: float) -> str:
    return f"{value:.4f}"


def main() -> None:
    """Train once through the service and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train.quality", description=__doc__.partition("\n")[0])
    parser.parse_args()
    with running(retrain__schedule="") as service:
        service.terminate()
        rows = collect(service)
    show("Accuracy on Iris", ["figure", "logged in MLflow", "recomputed", "target", "how"], rows)


if __name__ == "__main__":
    main()
