"""Training: a revision to fitted candidates to a registered version with its bundle, in a process of its own.

Level 4. Runs in the child that `daemon.trainer` forks, and can be killed at any moment: what is written before the last
step, registering the version, is swept later.
"""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import sklearn
import structlog

from daemon import bundle, candidates, export, holdouts, importance, model, reference
from daemon.bundle import Manifest, Model
from daemon.candidates import Scored
from daemon.errors import BundleRefused, TrainingFailed
from daemon.figures import DECIDES
from daemon.home import Home
from daemon.logbook import Logbook
from daemon.registry import Registry
from daemon.revision import Data
from daemon.schema import Schema, parse
from daemon.settings import Train
from daemon.status import utcnow

log = structlog.get_logger()

Say = Callable[[dict[str, Any]], None]

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
    data = Data.read(work.home.segments, job.segments, schema, job.first_rows, settings.holdout)
    scored = _compare(names, data, settings, stage)
    winner = candidates.best(scored)
    stage(f"fitting {winner.name}", len(names) + 2)
    fitted = winner.estimator.fit(*data.taught)
    figures = _figures(work, data, winner, scored)
    work.staging.mkdir(parents=True)
    files = export.write(fitted, data.matrix, schema, work.staging)
    unseen, answering = data.matrix[data.held], partial(model.answers, fitted, schema=schema)
    files["files"] |= reference.write(work.staging, data.taught[0], unseen, answering, settings.seed)
    manifest = _manifest(work, data, winner, files, figures)
    sealed = bundle.seal(work.staging, manifest)
    stage("logging to MLflow", len(names) + 3)
    Logbook(work.registry, work.run, work.staging / "pictures").write(data, scored, winner, manifest, work.home.data)
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
        **holdouts.compare(winner.estimator, _served(work), data),
        "champion_version": work.job.champion,
        f"cv_{DECIDES[task]}": winner.score,
        split: entries[scored.index(winner)][split],
        "features": work.schema.features,
        "importance": importance.of(winner.estimator, *data.judging, work.schema, work.job.train.seed),
        "candidates": entries,
    }


def _served(work: Work) -> Model | None:
    """The served version; None if there is none or it is damaged."""
    if work.job.champion is None or work.job.champion_bundle is None:
        return None
    try:
        return bundle.load(work.home.bundle(work.job.champion), work.job.champion_bundle)
    except BundleRefused:
        return None


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
        settings=job.train.model_dump(),
        first_rows=job.first_rows,
        libraries=libraries,
        created=utcnow(),
        **files,
    )


def _requirements(libraries: dict[str, str]) -> list[str]:
    return [f"{name}=={version}" for name, version in libraries.items() if name in ("scikit-learn", "numpy")]
