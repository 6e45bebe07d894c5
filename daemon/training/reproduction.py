"""Reproduction: trains a version again from its revision, in a separate folder, and compares it with the record.

It neither writes nor locks anything in the home, so the daemon may run. Only the winning candidate is fitted, because
the record names it, and fitting the others again would not change that.
"""

import math
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from threadpoolctl import threadpool_limits

from retraind.daemon import model
from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import PROBE, Manifest, Model
from retraind.daemon.core.errors import BundleRefused, NotFound, TrainingFailed
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Train
from retraind.daemon.dataset.checkout import check_out
from retraind.daemon.dataset.git_repository import Revision
from retraind.daemon.objects.store import ObjectLost, ObjectStore
from retraind.daemon.records import segments, versions
from retraind.daemon.schema.arrival_times import Era, Window
from retraind.daemon.schema.costs import Costs
from retraind.daemon.schema.scores import NamedMetric
from retraind.daemon.stored import bundle_files
from retraind.daemon.training import refit, reproduction_verdict
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.data.source import Source
from retraind.daemon.training.evaluation import baseline_comparison, holdouts
from retraind.daemon.training.export import export
from retraind.daemon.training.pieces.piece_data import PieceData
from retraind.daemon.training.refit import Judged
from retraind.daemon.training.reproduction_verdict import Original, Reproduction
from retraind.daemon.training.selection import calibration, candidates
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.tuned import Tuned


def reproduce(home: Home, version: int, settings: Train, store: ObjectStore | None = None) -> Reproduction:
    """Train a judged version again and compare; `reproduction_verdict` explains the answer.

    `settings` replace those of a bundle that does not record its own. What is gone from the home comes from the object
    `store`. Raises NotFound if the version, its bundle or its rows are gone, DatasetDamaged if the rows differ from the
    record, TrainingFailed if it can't be fitted now.
    """
    started = time.monotonic()
    # The trainer computes in one thread; several threads would sum in another order.
    with threadpool_limits(1), tempfile.TemporaryDirectory(prefix="retraind-reproduce-") as folder:
        scratch = Home(Path(folder))
        scratch.make()
        original = _original(home, version, scratch, store)
        data, train = _data(home, scratch, original.manifest, settings, store)
        judged = _judge(original.manifest, data, train, scratch.bundle(version))
        fitted, remade, twin = _remake(original.manifest, judged, data)
        scores = holdouts.compare(judged.fitted, None, data, rules=_rules(original.manifest)).scores["challenger"]
        answers = model.answers(fitted, reproduction_verdict.probe_rows(original), data.schema)
    return {
        **reproduction_verdict.verdict(original, remade, twin, scores, answers),
        "seconds": round(time.monotonic() - started, 3),
    }


def _original(home: Home, version: int, scratch: Home, store: ObjectStore | None) -> Original:
    judged = versions.judged(home.journal, version)
    if judged is None:
        raise NotFound(f"There is no version {version}.", hint="`retraind versions` lists them.")
    folder = home.bundle(version)
    try:
        if store is not None and not folder.exists():
            folder = scratch.bundles / "original"
            bundle_files.fetch(store, folder, judged["bundle"])
        served = bundle.load(folder, judged["bundle"])
        twin = None if served.manifest.twin is None else bundle.load_judged(folder, judged["bundle"])
    except (BundleRefused, ObjectLost) as error:
        raise NotFound(f"There is nothing to compare version {version} with: {error}") from None
    return Original(judged, served, orjson.loads((folder / PROBE).read_bytes()), twin)


def _data(
    home: Home, scratch: Home, manifest: Manifest, settings: Train, store: ObjectStore | None
) -> tuple[Data, Train]:
    """The rows that the version was trained on, verified against the journal, and the settings of its training."""
    names = check_out(home, scratch, Revision(manifest.revision, manifest.dvc_md5), store)
    hashes = segments.hashes(home.journal)
    chosen = {name: sha256 for name, sha256 in hashes.items() if name in set(names)}
    if len(chosen) < len(names):
        raise NotFound(f"The journal does not know all segments of revision {manifest.revision[:10]}.")
    train = Train(**manifest.settings) if manifest.settings else settings
    first_rows = manifest.first_rows if manifest.settings else manifest.rows
    began = datetime.fromisoformat(manifest.created).timestamp() * 1000
    window = Window(train.window_rows, train.window_days, began)
    by, schema = holdouts.units_of(manifest), manifest.data_schema
    source = Source(
        scratch.segments,
        chosen,
        schema,
        first_rows,
        train,
        window,
        era=Era.of(manifest.scores),
        by=by,
        early_rows=manifest.early_rows,
        kind=PieceData if manifest.scores.get("from_pieces") else Data,
    )
    return source.read(), train


def _judge(manifest: Manifest, data: Data, train: Train, folder: Path) -> Judged:
    """The candidate that won, with the parameters in its name, fitted, calibrated and exported as before.

    Raises TrainingFailed.
    """
    winner = _candidate(manifest, train)
    fitted, slope = data.fit(winner.estimator, data.training, whole=False), _slope(manifest, winner, data, train)
    if slope is not None:
        fitted = model.Calibrated(fitted, slope)
    folder.mkdir()
    facts = export.write(fitted, data.matrix, data.schema, folder, _rules(manifest).costs)
    return Judged(winner.estimator, fitted, slope, facts, folder, 0.0)


def _candidate(manifest: Manifest, train: Train) -> candidates.Candidate:
    """The candidate that won, unfitted; raises TrainingFailed if this release has no candidate of that name."""
    tuned = Tuned.of(manifest.scores)
    if tuned is not None:
        return tuned.made(manifest.data_schema, train)
    # By its name, because the default candidates differ between releases.
    named = train.model_copy(update={"candidates": [manifest.candidate.partition("(")[0]]})
    for candidate in candidates.plan(manifest.data_schema, named):
        if candidate.name == manifest.candidate:
            return candidate
    raise TrainingFailed(
        f"{manifest.candidate} is not a candidate of this retraind.", hint="Install the release that made it."
    )


def _slope(manifest: Manifest, winner: candidates.Candidate, data: Data, train: Train) -> float | None:
    """The slope that corrects its probabilities, determined again by cross-validation; None if they are not corrected."""
    if not manifest.scores.get("calibration"):
        return None
    kept = Trial.of_data(data, train).of(winner).kept
    correction = calibration.find(*kept, train.seed, forward=data.since is not None)
    return None if correction is None else correction.slope


def _remake(manifest: Manifest, judged: Judged, data: Data) -> tuple[Any, Model, Model | None]:
    """The fitted served model, and the bundle, loaded as workers load it, and the judged model if the version has one."""
    made = refit.serve_judged(judged, data)
    if manifest.twin is not None:
        made = refit.serve(judged, data, _rules(manifest).costs, math.inf, None)
        if problem := made.facts["refit_problem"]:
            raise TrainingFailed(problem)
    folder = judged.folder
    sha256 = bundle.seal(folder, manifest.model_copy(update=made.facts))
    twin = None if manifest.twin is None else bundle.load_judged(folder, sha256)
    return made.fitted, bundle.load(folder, sha256), twin


def _rules(manifest: Manifest) -> baseline_comparison.Rules:
    """The metric and costs by which the version was judged, from its scores."""
    rolling = manifest.scores["challenger"].get("rolling")
    metric: NamedMetric = (rolling.get("metric") if rolling else None) or ""
    return baseline_comparison.Rules(
        metric, costs=Costs.of(manifest.settings.get("costs"), manifest.data_schema.classes)
    )
