"""Refit: fits the winner once more, including the rows that judged it, and serves that model.

The records of a version, above all its scores, are those of its judged model: the same estimator fitted without the
held-out rows. The judged model stays in the bundle, because the served model can't be fairly compared on rows that it
has seen.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from retraind.daemon import model
from retraind.daemon.artifacts.manifest import TWIN, Twin
from retraind.daemon.core import logs
from retraind.daemon.model import Calibrated
from retraind.daemon.schema.costs import Costs
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.engines.fit_ahead import FitAhead
from retraind.daemon.training.evaluation.refit_check import Check, objection
from retraind.daemon.training.export import export
from retraind.daemon.training.export.export import Exported
from retraind.daemon.training.selection.budget import BudgetUsed, alarm

log = logs.Logger()

FOLDER = "refit"
"""Folder below the bundle in which the files are made until all exist."""

SHARE = 0.5
"""Share of the remaining `train.timeout_seconds`, because registering the version needs time, too."""


@dataclass(frozen=True)
class Judged:
    """The winner as evaluated: unfitted, fitted on the training rows, and the slope of its calibration (None: none).

    `facts` are the manifest entries from `export.write`, for the files in `folder`; `seconds` is the duration of the
    fit.
    """

    estimator: Any
    fitted: Any
    slope: float | None
    facts: Exported
    folder: Path
    seconds: float
    foreign: bool = False
    """Whether the candidate comes from another package, so that MLflow needs the list of its types."""


class ServedFacts(Exported):
    """Entries on the served model, and its number of training rows; `twin` None: the served model is the judged one."""

    trained_rows: int
    refit_problem: str
    twin: Twin | None


@dataclass(frozen=True)
class Served:
    """The fitted served model, and its manifest entries."""

    fitted: Any
    facts: ServedFacts
    rows: model.Matrix
    """Its training rows, (n, d)."""
    strange: list[str] = field(default_factory=list)
    """Types of a foreign candidate for MLflow to write; retraind itself loads none of them."""


class _Refitted(NamedTuple):
    """The winner fitted on all rows, (n, d), and exported to a separate folder."""

    fitted: Any
    exported: Exported
    rows: model.Matrix
    strange: list[str]


def differs(data: Data) -> bool:
    """Whether a fit on all rows has more rows than the judged model, and may be served."""
    return not data.time and bool((data.held & data.recent).any())


def serve_judged(judged: Judged, data: Data, problem: str = "") -> Served:
    """Serve the judged model, because nothing else is requested, or because of a `problem`."""
    rows = data.training[0]
    facts: ServedFacts = {**judged.facts, "trained_rows": data.counts[0], "refit_problem": problem, "twin": None}
    return Served(judged.fitted, facts, rows, _untrusted_types(judged, judged.fitted))


def serve(
    judged: Judged,
    data: Data,
    costs: Costs | None,
    seconds: float,
    check: Check | None,
    ahead: FitAhead | None = None,
) -> Served:
    """The model to serve: fitted on all rows within so many seconds, otherwise the judged one, with the reason.

    `check`: the terms for comparing its answers with the judged model's; None: they were compared when the version was
    made. `ahead`: the fit that has begun already, if it is of this estimator.
    """
    if not differs(data):
        return serve_judged(judged, data)
    allowed, folder = seconds * SHARE, judged.folder / FOLDER
    if _expected(judged, data) > allowed:
        return serve_judged(judged, data, _problem(f"only {max(0.0, seconds):.0f} s of train.timeout_seconds are left"))
    folder.mkdir()
    try:
        with alarm(allowed):
            refitted = _fitted(judged, data, folder, costs, ahead)
            worse = "" if check is None else objection(refitted.fitted, judged.fitted, data, check)
    except BudgetUsed:
        problem = _problem(f"it took longer than half of what was left of train.timeout_seconds ({allowed:.0f} s)")
    except Exception as error:  # noqa: BLE001 - estimators raise what they like; the judged model is there to be served
        problem = _problem(f"{type(error).__name__}: {error}"[:300])
    else:
        if not worse:
            return _placed(judged, data, refitted)
        problem = f"The winner fitted on all rows is not served: {worse}. A held-out row may be wrong. The judged model is served."
    shutil.rmtree(folder, ignore_errors=True)
    log.warning("not_refitted", reason=problem)
    return serve_judged(judged, data, problem)


def _expected(judged: Judged, data: Data) -> float:
    """Estimated seconds of the fit.

    No alarm can interrupt a fit that is a single C call, and the time of some grows with the square of the rows.
    """
    training, whole = data.counts
    return judged.seconds * (whole / training) ** 2


def _untrusted_types(judged: Judged, fitted: Any) -> list[str]:
    return export.untrusted_types(fitted) if judged.foreign else []


def _problem(reason: str) -> str:
    return f"The winner could not be fitted on all rows: {reason.rstrip('.')}. So the judged model is served."


def _fitted(judged: Judged, data: Data, folder: Path, costs: Costs | None, ahead: FitAhead | None) -> _Refitted:
    """Fit and export it, in a separate folder; the records of the judged model stay, including its slope."""
    examples = data.whole
    estimator = model.with_early_stopped_size(judged.estimator, judged.fitted)
    made = ahead.result() if ahead is not None and ahead.is_of(estimator) else None
    fitted = data.fit(estimator, examples, whole=True) if made is None else made.fitted
    if judged.slope is not None:
        fitted = Calibrated(fitted, judged.slope)
    if made is not None and made.slope == judged.slope:
        exported = made.moved(folder)
    else:
        exported = export.write(fitted, data.matrix, data.schema, folder, costs)
    return _Refitted(fitted, exported, examples[0], _untrusted_types(judged, fitted))


def _placed(judged: Judged, data: Data, made: _Refitted) -> Served:
    """The bundle's files: the judged model's, renamed with TWIN before them, and those of the new fit."""
    facts, place = judged.facts, judged.folder
    for name in facts["files"]:
        (place / name).rename(place / f"{TWIN}{name}")
    for name in made.exported["files"]:
        (place / FOLDER / name).rename(place / name)
    (place / FOLDER).rmdir()
    files = made.exported["files"] | {f"{TWIN}{name}": sha256 for name, sha256 in facts["files"].items()}
    twin = Twin(
        backend=facts["backend"],
        input=facts["input"],
        difference=facts["difference"],
        trained_rows=data.counts[0],
    )
    served: ServedFacts = {
        "backend": made.exported["backend"],
        "input": made.exported["input"],
        "difference": made.exported["difference"],
        "files": files,
        "trained_rows": data.counts[1],
        "refit_problem": "",
        "twin": twin,
    }
    return Served(made.fitted, served, made.rows, made.strange)
