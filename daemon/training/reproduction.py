"""Reproduction: trains a version again from its revision, in a separate folder, and compares it with the record.

It neither writes nor locks anything in the home, so the daemon may run. Only the winning candidate is fitted, because
the record names it, and fitting the others again would not change that.
"""

import math
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import orjson
from threadpoolctl import threadpool_limits

from daemon import model
from daemon.artifacts import bundle
from daemon.artifacts.bundle import PROBE, TWIN, Manifest, Matrix, Model, Probe
from daemon.core.errors import BundleRefused, NotFound, TrainingFailed
from daemon.core.home import Home
from daemon.core.journal_rows import VersionRow
from daemon.core.settings import Train
from daemon.dataset.checkout import check_out
from daemon.dataset.git_repository import Revision
from daemon.objects.store import ObjectLost, ObjectStore
from daemon.records import segments, versions
from daemon.schema.arrival_times import Era, Window
from daemon.schema.costs import Costs
from daemon.schema.scores import NamedMetric, Scored
from daemon.stored import bundle_files
from daemon.training import refit
from daemon.training.data.revision import Data
from daemon.training.evaluation import baseline_comparison, holdouts
from daemon.training.export import export
from daemon.training.refit import Judged
from daemon.training.selection import calibration, candidates, cross_validation
from daemon.training.selection.tuned import Tuned

CLOSE = 1e-12
"""Largest difference (in a score, a probability, or a value divided by the probe's scale) that still counts as equal:
another order of summation, with another number of threads, causes that much."""


class Original(NamedTuple):
    """The record of a version."""

    row: VersionRow
    served: Model
    probe: Probe
    twin: Model | None

    @property
    def manifest(self) -> Manifest:
        """The manifest of its bundle."""
        return self.served.manifest


class Comparison(TypedDict):
    """A version's record compared with today's training on its revision."""

    version: int
    candidate: str
    revision: str
    seed: int
    settings_recorded: bool
    rows: int
    """Number of rows in the probe."""
    equal: str | None
    """`bit for bit`, `within 1e-12`, or None."""
    differences: dict[str, float | None]
    """The largest differences of the scores, of the estimator's answers and of the bundle's; None: not comparable."""
    files: dict[str, bool]
    """Whether each of the bundle's files has the same bytes."""
    libraries: dict[str, list[str | None]]
    """Libraries with another version now: the old one, the present one (None: not installed)."""


class Reproduction(Comparison):
    """A comparison with its duration."""

    seconds: float


def reproduce(home: Home, version: int, settings: Train, store: ObjectStore | None = None) -> Reproduction:
    """Train a judged version again and compare; see `_verdict` for the answer.

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
        answers = model.answers(fitted, _rows(original), data.schema)
    return {**_verdict(original, remade, twin, scores, answers), "seconds": round(time.monotonic() - started, 3)}


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
    rest = first_rows, train.holdout, window, by
    era = Era.of(manifest.scores)
    return Data.read(scratch.segments, chosen, schema, *rest, group=train.group, era=era, time=train.time), train


def _judge(manifest: Manifest, data: Data, train: Train, folder: Path) -> Judged:
    """The candidate that won, with the parameters in its name, fitted, calibrated and exported as before.

    Raises TrainingFailed.
    """
    winner = _candidate(manifest, train)
    fitted, slope = model.fit(winner.estimator, *data.training), _slope(manifest, winner, data, train)
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
    trial = cross_validation.Trial(
        data.schema, *data.training, train, units=data.training_units, times=data.training_times
    )
    correction = calibration.find(
        *trial.of(candidates.Candidate(winner.name, winner.estimator), whole=True).kept,
        train.seed,
        forward=data.since is not None,
    )
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


def _rows(original: Original) -> Matrix:
    return np.array(original.probe["rows"], dtype=np.float64)  # null is NaN


def _verdict(original: Original, remade: Model, twin: Model | None, scores: Scored, answers: Matrix) -> Comparison:
    """The comparison of all facts that both have.

    `scores` are those on the holdouts, `estimator` scikit-learn's answers for the probe rows, `answers` the bundle's,
    `twin` the judged model's if the served model is not the judged one. `files` tells which of the bundle's files have
    the same bytes, `libraries` which have another version now.
    """
    manifest, scale = original.manifest, original.probe.get("scale", 1.0)
    recorded = np.array(original.probe[bundle.answered(manifest.data_schema)], dtype=np.float64)
    rows = _rows(original)
    differences = {
        "scores": _apart(manifest.scores["challenger"], scores),
        "estimator": _distance(recorded, answers) / scale,
        "answers": _distance(original.served.answers(rows), remade.answers(rows)) / scale,
    }
    if original.twin is not None and twin is not None:
        differences["twin"] = _distance(original.twin.answers(rows), twin.answers(rows)) / scale
    largest = max(differences.values())
    close = f"within {CLOSE:g}" if largest <= CLOSE else None
    same = {
        name: sha256 == manifest.files[name]
        for name, sha256 in remade.manifest.files.items()
        if name in manifest.files and name not in (PROBE, f"{TWIN}{PROBE}")
    }
    return {
        "version": original.row["version"],
        "candidate": manifest.candidate,
        "revision": manifest.revision,
        "seed": manifest.seed,
        "settings_recorded": bool(manifest.settings),
        "rows": len(rows),
        "equal": "bit for bit" if largest == 0 else close,
        "differences": {name: value if math.isfinite(value) else None for name, value in differences.items()},
        "files": same,
        "libraries": {name: list(pair) for name, pair in _changed(manifest.libraries)},
    }


def _distance(recorded: Matrix, got: Matrix) -> float:
    """The largest difference of two answers; infinite if their shapes differ."""
    return float(np.abs(recorded - got).max(initial=0.0)) if recorded.shape == got.shape else math.inf


def _apart(recorded: Any, got: Any) -> float:
    """The largest difference of corresponding numbers in two scores; infinite if there are none to compare."""
    if isinstance(recorded, Mapping) and isinstance(got, Mapping):
        pairs = [(recorded.get(key), got.get(key)) for key in recorded.keys() | got.keys()]
    elif isinstance(recorded, list | tuple) and isinstance(got, list | tuple) and len(recorded) == len(got):
        pairs = list(zip(recorded, got, strict=True))
    elif recorded == got:
        return 0.0
    else:
        both = isinstance(recorded, int | float) and isinstance(got, int | float)
        return abs(recorded - got) if both else math.inf
    return max((_apart(*pair) for pair in pairs), default=0.0)


def _changed(recorded: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Each library with another version than in the training: the old and the present version (None: not installed)."""
    for name, then in recorded.items():
        now = platform.python_version() if name == "python" else _installed(name)
        if now != then:
            yield name, (then, now)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def sentence(result: Reproduction) -> str:
    """A verdict for people."""
    subject = f"version {result['version']} ({result['candidate']}) from revision {result['revision'][:10]}, seed {result['seed']}"
    differences = result["differences"].items()
    apart = ", ".join(
        f"{name} {'of another kind' if value is None else format(value, '.3g')}" for name, value in differences
    )
    lines = [f"equal {result['equal']}: {subject}" if result["equal"] else f"DIFFERENT: {subject}"]
    lines.append(
        f"  largest differences: {apart} ({result['rows']} probe rows); only the winning candidate was fitted again"
    )
    lines += [f"  {name}: {'the same bytes' if same else 'other bytes'}" for name, same in result["files"].items()]
    lines += [f"  {name} was {then}, is {now or 'not installed'}" for name, (then, now) in result["libraries"].items()]
    if not result["equal"] and not result["libraries"]:
        lines.append(
            "  All recorded libraries have the same versions: another processor or number of threads may be the cause."
        )
    if not result["settings_recorded"]:
        lines.append("  The bundle does not record its training settings, so today's were used.")
    return "\n".join(lines)
