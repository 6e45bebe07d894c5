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
import sklearn
import structlog
from numpy.typing import NDArray

from daemon import bundle, candidates, export, model, pictures, rows, segments
from daemon.bundle import Manifest
from daemon.candidates import Scored
from daemon.errors import BundleRefused, TrainingFailed
from daemon.figures import DECIDES
from daemon.home import Home
from daemon.registry import Registry
from daemon.schema import Schema, parse
from daemon.scores import score
from daemon.settings import Train
from daemon.status import utcnow

log = structlog.get_logger()

Say = Callable[[dict[str, Any]], None]
Mask = NDArray[np.bool_]
Answering = Callable[[Mask], model.Matrix]
"""Gives what a model answers for the rows of a mask."""

TEXTBOOK_ROWS = 10
"""With fewer rows the textbook figures of a regression mean nothing."""


@dataclass(frozen=True)
class Job:
    """What the loop asks for; `segments` maps segment names to sha256, oldest first."""

    run: int
    reason: str
    revision: str
    dvc_md5: str
    segments: dict[str, str]
    first_rows: int
    """So many rows at the beginning are the first revision: the held-out ones among them are the reference holdout."""
    settings: dict[str, Any]
    champion: int | None
    champion_bundle: str | None

    @property
    def train(self) -> Train:
        """The `[train]` settings."""
        return Train(**self.settings)


@dataclass(frozen=True)
class Data:
    """A revision in memory: rows (n, d), targets (n,), and which of them are held out and in the reference holdout."""

    schema: Schema
    pieces: list[Any]
    """The segments as tables; `listed` (all their rows) says which rows have a target that the schema knows."""
    listed: Mask
    matrix: model.Matrix
    targets: model.Targets
    held: Mask
    reference: Mask

    @classmethod
    def read(cls, home: Home, schema: Schema, job: Job) -> "Data":
        """Read and verify the segments; raises TrainingFailed when there is too little to learn from."""
        pieces = [piece for _, piece in segments.read(home.segments, job.segments)]
        targets = np.concatenate([_targets(piece, schema) for piece in pieces])
        listed = np.isfinite(targets) & ((targets >= 0) | (schema.task == "regression"))
        first = np.arange(len(targets)) < job.first_rows
        held = np.concatenate([rows.held_out(piece, job.train.holdout) for piece in pieces])[listed]
        _require_enough(targets[listed][~held], schema)
        matrix = _encode(pieces, listed, schema)
        return cls(schema, pieces, listed, matrix, targets[listed], held, held & first[listed])

    def encode(self, schema: Schema) -> model.Matrix:
        """All rows as a model of another schema sees them: what that schema does not list is unknown to it."""
        return _encode(self.pieces, self.listed, schema)

    @property
    def taught(self) -> tuple[model.Matrix, model.Targets]:
        """Rows and targets that may teach."""
        return self.matrix[~self.held], self.targets[~self.held]


def _encode(pieces: list[Any], listed: Mask, schema: Schema) -> model.Matrix:
    # Piece by piece: segments from before a change of the schema have other columns and types.
    matrix = np.vstack([rows.matrix(piece, schema) for piece in pieces])
    return matrix if listed.all() else matrix[listed]


def _targets(table: Any, schema: Schema) -> model.Targets:
    return rows.targets(table, schema) if schema.task == "regression" else rows.codes(table, schema)


def _require_enough(taught: model.Targets, schema: Schema) -> None:
    if schema.task == "regression" and len(taught) < 2:
        raise TrainingFailed("There are fewer than two rows to learn from.")
    if schema.task == "classification" and (np.bincount(taught, minlength=2) > 1).sum() < 2:
        raise TrainingFailed("There are fewer than two classes with two rows to learn from.")


@dataclass(frozen=True)
class Work:
    """One training under way: what its steps share. `run` is its MLflow run."""

    home: Home
    job: Job
    schema: Schema
    registry: Registry
    run: str

    @property
    def staging(self) -> Path:
        """Where the bundle is made; the daemon gives it its final name."""
        return self.home.bundles / f".staging-{self.run}"


def train(home: Home, job: Job, say: Say) -> None:
    """Run one job to the end and say `done` with the version; raises TrainingFailed, DatasetDamaged, BundleRefused."""
    started = time.monotonic()
    schema, registry = parse(home.schema.read_bytes(), str(home.schema)), Registry(home)
    tags = {"reason": job.reason, "revision": job.revision, "dvc_md5": job.dvc_md5}
    work = Work(home, job, schema, registry, registry.start_run(f"training {job.run}", tags))
    try:
        version, winner, data = _train(work, say)
    except BaseException:
        registry.end_run(work.run, "FAILED")
        shutil.rmtree(work.staging, ignore_errors=True)
        raise
    say({"run": job.run, "done": version, "seconds": time.monotonic() - started})
    # This figure is for people and decides nothing, so the swap does not wait for it.
    if _is_small(job, data):
        again = candidates.cross_validate(winner.name, schema, data.matrix, data.targets, 10, job.train.seed)
        registry.log(work.run, {}, {f"cv10_{DECIDES[schema.task]}": again.score}, {})
    registry.end_run(work.run)


def _train(work: Work, say: Say) -> tuple[int, Scored, Data]:
    job, schema, settings = work.job, work.schema, work.job.train
    names = candidates.of(schema.task, settings.candidates)

    def stage(name: str, step: int) -> None:
        say({"run": job.run, "stage": name, "step": step, "steps": len(names) + 3})

    stage("reading the data", 1)
    data = Data.read(work.home, schema, job)
    scored = _compare(names, data, settings, stage)
    winner = candidates.best(scored)
    stage(f"fitting {winner.name}", len(names) + 2)
    fitted = winner.estimator.fit(*data.taught)
    figures = _figures(work, data, winner, scored)
    work.staging.mkdir(parents=True)
    files = export.write(fitted, data.matrix, schema, work.staging)
    manifest = _manifest(work, data, winner, files, figures)
    sealed = bundle.seal(work.staging, manifest)
    stage("logging to MLflow", len(names) + 3)
    _log(work, data, scored, winner, manifest)
    tags = {"bundle": sealed, "revision": job.revision, "dvc_md5": job.dvc_md5, "candidate": winner.name}
    version = work.registry.register(work.run, fitted, data.matrix[:5], _requirements(manifest.libraries), tags)
    return version, winner, data


def _compare(names: list[str], data: Data, settings: Train, stage: Callable[[str, int], None]) -> list[Scored]:
    """Cross-validate the candidates; one that can't learn from these rows is left out, unless none is left."""
    scored, problems = [], []
    for number, name in enumerate(names):
        stage(f"cross-validating {name}", number + 2)
        try:
            scored.append(candidates.cross_validate(name, data.schema, *data.taught, settings.folds, settings.seed))
        except Exception as error:  # noqa: BLE001 - estimators raise what they like, for example at a column without a value
            log.warning("candidate_failed", candidate=name, error=str(error)[:200])
            problems.append(f"{name}: {error}")
    if not scored:
        raise TrainingFailed(f"No candidate could be fitted. {'; '.join(problems)[:800]}")
    return scored


def _is_small(job: Job, data: Data) -> bool:
    """Whether the textbook figures are logged: few enough rows, and at least two of each class."""
    if len(data.targets) > job.train.report_rows:
        return False
    if data.schema.task == "regression":
        return len(data.targets) >= TEXTBOOK_ROWS
    return bool(np.bincount(data.targets)[np.unique(data.targets)].min() >= 2)


def _figures(work: Work, data: Data, winner: Scored, scored: list[Scored]) -> dict[str, Any]:
    """Challenger and champion on the same held-out rows, and how the candidates compared."""
    task, report = work.schema.task, _is_small(work.job, data)
    split = f"split42_{DECIDES[task]}"
    entries = []
    for one in scored:
        textbook = candidates.split42(one.estimator, data.matrix, data.targets, task) if report else None
        entries.append({**one.figures(), split: textbook})
    return {
        "challenger": _on_holdouts(_answering(winner.estimator, data), data),
        "champion": _champion(work, data),
        "champion_version": work.job.champion,
        f"cv_{DECIDES[task]}": winner.score,
        split: entries[scored.index(winner)][split],
        "features": work.schema.features,
        "candidates": entries,
    }


def _answering(fitted: Any, data: Data) -> Answering:
    return lambda mask: model.answers(fitted, data.matrix[mask], data.schema)


def _champion(work: Work, data: Data) -> dict[str, Any] | None:
    """Scores of the served version on the held-out rows; None if it is damaged or they can't be put to it."""
    if work.job.champion is None or work.job.champion_bundle is None:
        return None
    try:
        served = bundle.load(work.home.bundle(work.job.champion), work.job.champion_bundle)
    except BundleRefused:
        return None
    known = served.manifest.data_schema
    if not _comparable(known, work.schema):
        return None
    matrix = data.matrix if known.shape == work.schema.shape else data.encode(known)
    return _on_holdouts(lambda mask: _realign(served.answers(matrix[mask]), known, work.schema), data)


def _comparable(known: Schema, schema: Schema) -> bool:
    """Whether a model of `known` can answer rows of `schema`: it may have gained columns, categories and classes since."""
    same = (known.task, known.target) == (schema.task, schema.target)
    return same and set(known.features) <= set(schema.features)


def _realign(answers: model.Matrix, known: Schema, schema: Schema) -> model.Matrix:
    """Probabilities (n, classes of `known`) as (n, classes of `schema`), by name; zero for a class it does not know."""
    if known.classes == schema.classes:
        return answers
    spread = np.zeros((len(answers), len(schema.classes)))
    for name in known.class_codes.keys() & schema.class_codes.keys():
        spread[:, schema.class_codes[name]] = answers[:, known.class_codes[name]]
    return spread


def _on_holdouts(answering: Answering, data: Data) -> dict[str, Any]:
    masks = {"reference": data.reference, "rolling": data.held}
    width = len(data.schema.classes) or 1
    return {
        name: score(answering(mask) if mask.any() else np.zeros((0, width)), data.targets[mask], data.schema)
        for name, mask in masks.items()
    }


def _manifest(work: Work, data: Data, winner: Scored, files: dict[str, Any], figures: dict[str, Any]) -> Manifest:
    job = work.job
    libraries = {"python": ".".join(map(str, sys.version_info[:3])), "scikit-learn": sklearn.__version__}
    libraries |= {"numpy": np.__version__, "onnxruntime": onnxruntime.__version__}
    return Manifest(
        run=work.run,
        candidate=winner.name,
        estimator=str(winner.estimator).replace("\n", "")[:500],
        revision=job.revision,
        dvc_md5=job.dvc_md5,
        rows=len(data.targets),
        trained_rows=int((~data.held).sum()),
        data_schema=work.schema,
        scores=figures,
        reason=job.reason,
        seed=job.train.seed,
        libraries=libraries,
        created=utcnow(),
        **files,
    )


def _requirements(libraries: dict[str, str]) -> list[str]:
    return [f"{name}=={version}" for name, version in libraries.items() if name in ("scikit-learn", "numpy")]


def _log(work: Work, data: Data, scored: list[Scored], winner: Scored, manifest: Manifest) -> None:
    """Log each candidate as a run of its own below the training's, with figures, picture and the dataset."""
    registry, entries = work.registry, manifest.scores["candidates"]
    runs = [work.run]
    for one, entry in zip(scored, entries, strict=True):
        runs.append(_log_candidate(work, data, one, entry, wins=one is winner))
    figures = {key: value for key, value in manifest.scores.items() if isinstance(value, float)}
    for name, found in manifest.scores["challenger"].items():
        decides = found[DECIDES[work.schema.task]]
        figures |= {} if decides is None else {f"{name}_{DECIDES[work.schema.task]}": decides}
    params = {key: getattr(manifest, key) for key in ("candidate", "rows", "trained_rows", "seed")}
    registry.log(work.run, params, figures, {"backend": manifest.backend, "candidate": winner.name})
    learnt = dict(zip(work.schema.features, data.matrix.T, strict=True)) | {work.schema.target: _named(data)}
    registry.log_dataset(runs, learnt, work.schema.target, work.job.dvc_md5, work.home.data)


def _log_candidate(work: Work, data: Data, one: Scored, entry: dict[str, Any], *, wins: bool) -> str:
    registry = work.registry
    run = registry.start_run(one.name, {"candidate": one.name}, work.run)
    fitted = one.estimator if wins else one.estimator.fit(*data.taught)
    found: dict[str, Any] = {}
    if data.held.any():
        answers, truth = _answering(fitted, data)(data.held), data.targets[data.held]
        found = score(answers, truth, work.schema)
        folder = work.staging / "pictures"
        pictures.draw(answers, truth, work.schema, folder, f"{one.name}, {found['n']} held-out rows")
        registry.log_files(run, folder)
        shutil.rmtree(folder)
    registry.log(run, one.estimator.get_params(), _flat(entry, found), {"winner": str(wins).lower()})
    registry.end_run(run)
    return run


def _named(data: Data) -> NDArray[Any]:
    """The targets as people know them: class names, or numbers."""
    return np.array(data.schema.classes)[data.targets] if data.schema.classes else data.targets


def _flat(entry: dict[str, Any], found: dict[str, Any]) -> dict[str, float]:
    figures = {key: value for key, value in entry.items() if isinstance(value, float)}
    figures |= {f"holdout_{key}": value for key, value in found.items() if isinstance(value, float)}
    recall = found.get("recall", {})
    return figures | {f"holdout_recall_{name}": value for name, value in recall.items() if name.isidentifier()}
