"""Training: a revision to fitted candidates to a registered version with its bundle, in a process of its own.

Level 4. Runs in the child that `daemon.trainer` forks, and can be killed at any moment: what is written before the last
step, registering the version, is swept later.
"""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import sklearn

from daemon import bundle, dataset, export, model, pictures, rows
from daemon.bundle import Manifest
from daemon.errors import BundleRefused, TrainingFailed
from daemon.home import Home
from daemon.registry import Registry
from daemon.schema import Schema, parse
from daemon.settings import Train
from daemon.status import utcnow

Say = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """What the loop asks for; `segments` maps segment names to sha256, oldest first."""

    run: int
    reason: str
    revision: str
    dvc_md5: str
    segments: dict[str, str]
    first: list[str]
    """Segments of the first revision: their held-out rows are the reference holdout."""
    settings: dict[str, Any]
    champion: int | None
    champion_bundle: str | None

    @property
    def train(self) -> Train:
        """The `[train]` settings."""
        return Train(**self.settings)


@dataclass(frozen=True)
class Data:
    """A revision in memory: features (n, d), codes (n,), and which rows are held out and in the reference holdout."""

    table: pa.Table
    matrix: model.Matrix
    codes: model.Codes
    held: np.ndarray[Any, np.dtype[np.bool_]]
    reference: np.ndarray[Any, np.dtype[np.bool_]]

    @classmethod
    def read(cls, home: Home, schema: Schema, job: Job) -> "Data":
        """Read and verify the segments; raises TrainingFailed when there is too little to learn from."""
        pieces = dict(dataset.read(home.segments, job.segments))
        first = np.concatenate([np.full(len(piece), name in job.first) for name, piece in pieces.items()])
        table = pa.concat_tables(pieces.values(), promote_options="permissive").unify_dictionaries()
        listed = rows.codes(table, schema) >= 0
        table, first = table.filter(pa.array(listed)), first[listed]
        codes, held = rows.codes(table, schema), rows.held_out(table, job.train.holdout)
        counts = np.bincount(codes[~held], minlength=len(schema.classes))
        if (counts > 1).sum() < 2:
            raise TrainingFailed("There are fewer than two classes with two rows to learn from.")
        return cls(table, rows.matrix(table, schema), codes, held, held & first)


def train(home: Home, job: Job, say: Say) -> None:
    """Run one job to the end and say `done` with the version; raises TrainingFailed, DatasetDamaged, BundleRefused."""
    started = time.monotonic()
    schema = _schema(home)
    registry = Registry(home)
    parent = registry.start_run(
        f"training {job.run}", {"reason": job.reason, "revision": job.revision, "dvc_md5": job.dvc_md5}
    )
    staging = home.bundles / f".staging-{parent}"
    try:
        version, winner, data = _train(home, job, say, schema, registry, parent, staging)
    except BaseException:
        registry.end_run(parent, "FAILED")
        shutil.rmtree(staging, ignore_errors=True)
        raise
    say({"run": job.run, "done": version, "seconds": time.monotonic() - started})
    # This figure is for people and decides nothing, so the swap does not wait for it.
    if _is_small(job, data):
        registry.log(parent, {}, {"cv10_accuracy": _cv10(winner, data, job)}, {})
    registry.end_run(parent)


def _train(
    home: Home, job: Job, say: Say, schema: Schema, registry: Registry, parent: str, staging: Path
) -> tuple[int, model.Scored, Data]:
    settings, steps = job.train, len(job.train.candidates) + 3

    def stage(name: str, step: int) -> None:
        say({"run": job.run, "stage": name, "step": step, "steps": steps})

    stage("reading the data", 1)
    data = Data.read(home, schema, job)
    taught = ~data.held
    scored = []
    for number, name in enumerate(settings.candidates):
        stage(f"cross-validating {name}", number + 2)
        estimator = model.build(name, schema, settings.seed)
        scored.append(
            model.cross_validate(
                name, estimator, data.matrix[taught], data.codes[taught], settings.folds, settings.seed
            )
        )
    winner = model.best(scored)
    stage(f"fitting {winner.name}", steps - 1)
    fitted = winner.estimator.fit(data.matrix[taught], data.codes[taught])
    scores = _scores(home, job, schema, data, fitted, winner, scored)
    staging.mkdir(parents=True)
    files = export.write(fitted, data.matrix, schema, staging)
    manifest = _manifest(job, schema, data, winner, files, parent, scores)
    sealed = bundle.seal(staging, manifest)
    stage("logging to MLflow", steps)
    _log(home, job, schema, data, registry, parent, scored, winner, manifest)
    tags = {"bundle": sealed, "revision": job.revision, "dvc_md5": job.dvc_md5, "candidate": winner.name}
    version = registry.register(parent, fitted, data.matrix[:5], _requirements(manifest.libraries), tags)
    return version, winner, data


def _schema(home: Home) -> Schema:
    return parse(home.schema.read_bytes(), str(home.schema))


def _scores(
    home: Home, job: Job, schema: Schema, data: Data, fitted: Any, winner: model.Scored, scored: list[model.Scored]
) -> dict[str, Any]:
    """Challenger and champion on the same held-out rows, and how the candidates compared."""
    width = len(schema.classes)
    report = _is_small(job, data)
    champion = None
    if job.champion is not None and job.champion_bundle is not None:
        champion = _champion(home, job.champion, job.champion_bundle, data, schema)
    candidates = [_candidate(one, data, report=report) for one in scored]
    return {
        "challenger": _on_holdouts(lambda matrix: model.spread(fitted, matrix, width), data, schema),
        "champion": champion,
        "champion_version": job.champion,
        "cv_accuracy": winner.cv_accuracy,
        "split42_accuracy": candidates[scored.index(winner)]["split42_accuracy"],
        "features": schema.features,
        "candidates": candidates,
    }


def _champion(home: Home, version: int, sha256: str, data: Data, schema: Schema) -> dict[str, Any] | None:
    """Scores of the served version on the held-out rows; None if it is damaged or made for other columns or classes."""
    try:
        served = bundle.load(home.bundle(version), sha256)
    except BundleRefused:
        return None
    return (
        _on_holdouts(served.probabilities, data, schema) if served.manifest.data_schema.shape == schema.shape else None
    )


def _candidate(one: model.Scored, data: Data, *, report: bool) -> dict[str, Any]:
    return {
        "name": one.name,
        "cv_accuracy": one.cv_accuracy,
        "cv_log_loss": one.cv_log_loss,
        "fit_seconds": one.fit_seconds,
        "split42_accuracy": model.split42(one.estimator, data.matrix, data.codes) if report else None,
    }


def _is_small(job: Job, data: Data) -> bool:
    """Whether the textbook figures are logged: few enough rows, and at least two of each class."""
    rarest = np.bincount(data.codes)[np.unique(data.codes)].min()
    return bool(len(data.codes) <= job.train.report_rows and rarest >= 2)


def _cv10(winner: model.Scored, data: Data, job: Job) -> float:
    again = model.cross_validate(winner.name, winner.estimator, data.matrix, data.codes, 10, job.train.seed)
    return again.cv_accuracy


def _on_holdouts(predict: Callable[[model.Matrix], model.Matrix], data: Data, schema: Schema) -> dict[str, Any]:
    empty = {
        "n": 0,
        "accuracy": 0.0,
        "log_loss": 0.0,
        "balanced_accuracy": 0.0,
        "recall": {},
        "support": {},
        "confusion": [],
    }
    found = {}
    for name, mask in (("reference", data.reference), ("rolling", data.held)):
        found[name] = model.score(predict(data.matrix[mask]), data.codes[mask], schema) if mask.any() else empty
    return found


def _manifest(
    job: Job,
    schema: Schema,
    data: Data,
    winner: model.Scored,
    files: dict[str, Any],
    parent: str,
    scores: dict[str, Any],
) -> Manifest:
    libraries = {"python": ".".join(map(str, sys.version_info[:3])), "scikit-learn": sklearn.__version__}
    libraries |= {"numpy": np.__version__, "onnxruntime": onnxruntime.__version__}
    return Manifest(
        run=parent,
        candidate=winner.name,
        estimator=str(winner.estimator).replace("\n", "")[:500],
        revision=job.revision,
        dvc_md5=job.dvc_md5,
        rows=len(data.codes),
        trained_rows=int((~data.held).sum()),
        data_schema=schema,
        scores=scores,
        reason=job.reason,
        seed=job.train.seed,
        libraries=libraries,
        created=utcnow(),
        **files,
    )


def _requirements(libraries: dict[str, str]) -> list[str]:
    return [f"{name}=={version}" for name, version in libraries.items() if name in ("scikit-learn", "numpy")]


def _log(
    home: Home,
    job: Job,
    schema: Schema,
    data: Data,
    registry: Registry,
    parent: str,
    scored: list[model.Scored],
    winner: model.Scored,
    manifest: Manifest,
) -> None:
    runs, folder = [parent], home.bundles / f".staging-{parent}" / "pictures"
    for one, entry in zip(scored, manifest.scores["candidates"], strict=True):
        run = registry.start_run(one.name, {"candidate": one.name}, parent)
        fitted = one.estimator if one is winner else one.estimator.fit(data.matrix[~data.held], data.codes[~data.held])
        proba = model.spread(fitted, data.matrix[data.held], len(schema.classes)) if data.held.any() else None
        score = None if proba is None else model.score(proba, data.codes[data.held], schema)
        registry.log(run, one.estimator.get_params(), _flat(entry, score), {"winner": str(one is winner).lower()})
        runs.append(run)
        if score is not None:
            pictures.draw_confusion(
                score, schema, folder / "confusion_matrix.png", f"{one.name}, {score['n']} held-out rows"
            )
            registry.log_files(run, folder)
        registry.end_run(run)
    figures = {key: value for key, value in manifest.scores.items() if isinstance(value, float)}
    challenger = {
        f"{name}_accuracy": manifest.scores["challenger"][name]["accuracy"] for name in ("reference", "rolling")
    }
    params = {
        "candidate": winner.name,
        "rows": manifest.rows,
        "trained_rows": manifest.trained_rows,
        "seed": manifest.seed,
    }
    registry.log(parent, params, figures | challenger, {"backend": manifest.backend, "candidate": winner.name})
    frame = data.table.select([*schema.features, schema.target]).to_pandas()
    registry.log_dataset(runs, frame, schema.target, job.dvc_md5, home.data)
    shutil.rmtree(folder, ignore_errors=True)


def _flat(entry: dict[str, Any], score: dict[str, Any] | None) -> dict[str, float]:
    figures = {key: value for key, value in entry.items() if isinstance(value, float)}
    if score is not None:
        figures |= {f"holdout_{key}": value for key, value in score.items() if isinstance(value, float)}
        figures |= {f"holdout_recall_{name}": value for name, value in score["recall"].items() if name.isidentifier()}
    return figures
