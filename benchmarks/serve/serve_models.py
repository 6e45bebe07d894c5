"""The models that everybody serves: a forest of 100 trees and a logistic regression, fitted on the same rows; and our homes.

Peers load `NAME.joblib`; a home of ours holds the same fitted estimators as bundles, made by the daemon's own export.
"""

import pickle
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import Manifest, Pointer
from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import VersionState
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal
from retraind.daemon.training.export import export

Matrix = NDArray[np.float64]

COLUMNS, ROWS = 8, 400
CLASSES = ["a", "b", "c"]
SCHEMA = Schema(
    target="kind", classes=CLASSES, columns=[Column(name=f"x{index}", kind="number") for index in range(COLUMNS)]
)
NAMES = ("forest", "logistic")
MOMENT = "2026-01-01T00:00:00.000Z"


def rows(count: int = ROWS, seed: int = 0) -> tuple[Matrix, NDArray[np.int64]]:
    """`count` rows (n, 8) of three classes, and their codes."""
    drawn: tuple[Matrix, NDArray[np.int64]] = make_classification(
        count, COLUMNS, n_informative=6, n_classes=len(CLASSES), random_state=seed
    )
    return drawn


def estimator(name: str, seed: int = 42) -> Any:
    """The fitted model of that name, nothing but scikit-learn in it."""
    made = {
        "forest": RandomForestClassifier(n_estimators=100, random_state=seed),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    }[name]
    return made.fit(*rows())


def store(folder: Path) -> None:
    """Write NAME.joblib for every model: joblib reads what pickle wrote."""
    for name in NAMES:
        (folder / f"{name}.joblib").write_bytes(pickle.dumps(estimator(name)))


def make_home(folder: Path, fitted: Any) -> Home:
    """A home that serves a fitted model as version 1."""
    home = Home(folder)
    home.make()
    home.schema.write_bytes(SCHEMA.dump())
    point(home, add_version(home, 1, fitted))
    return home


def add_version(home: Home, version: int, fitted: Any) -> Pointer:
    """Write the bundle of a version and the journal's row; returns what the pointer would say."""
    folder = home.bundle(version)
    folder.mkdir(parents=True)
    facts = export.write(fitted, rows()[0], SCHEMA, folder)
    manifest = Manifest(
        **facts,
        run=f"{version:032x}",
        candidate="benchmark",
        estimator=type(fitted).__name__,
        revision="0" * 40,
        dvc_md5="0" * 32,
        rows=ROWS,
        trained_rows=ROWS,
        data_schema=SCHEMA,
        reason="benchmark",
        seed=42,
        libraries={},
        created=MOMENT,
    )
    pointer = Pointer(version=version, manifest=bundle.seal(folder, manifest), since=MOMENT)
    _record(home, pointer, facts["backend"])
    return pointer


def pointer(home: Home) -> Pointer:
    """Which version is served."""
    pointer = bundle.read_pointer(home.pointer)
    assert pointer is not None
    return pointer


def point(home: Home, pointer: Pointer) -> None:
    """Make a version the one to serve."""
    durable.write(home.pointer, pointer.model_dump_json().encode())


def _record(home: Home, pointer: Pointer, backend: str) -> None:
    words = dict.fromkeys(("mlflow_run", "revision", "dvc_md5", "trigger"), "benchmark")
    row: Any = {
        **words,
        "candidate": "benchmark",
        "backend": backend,
        "rows": ROWS,
        "trained_rows": ROWS,
        "scores": "{}",
    }
    with closing(Journal.open(home.journal)) as journal:
        journal.versions.judge(
            row | {"version": pointer.version, "bundle": pointer.manifest}, VersionState.PROMOTED, "To be measured."
        )
