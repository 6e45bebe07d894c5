"""Refit: the winner is fitted once more, on the rows that have judged it as well, and that is what is served.

What is on record of a version, its scores above all, is of its twin: the same estimator fitted without the held-out rows. The twin
stays in the bundle, because the served model can't be compared with anything on rows that it has seen.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from daemon import model
from daemon.artifacts.manifest import TWIN, Twin
from daemon.core import logs
from daemon.model import Calibrated
from daemon.schema.costs import Costs
from daemon.training.data.revision import Data
from daemon.training.evaluation.refit_check import Check, objection
from daemon.training.export import export
from daemon.training.export.export import Exported
from daemon.training.selection.budget import BudgetUsed, alarm

log = logs.Logger()

FOLDER = "refit"
"""Where the files are made, below the bundle's folder, until all of them are there."""

SHARE = 0.5
"""Of the time that is left of `train.timeout_seconds`: registering the version has to fit, too."""


@dataclass(frozen=True)
class Judged:
    """The winner as it was evaluated: not fitted, fitted on the training rows, with which slope it is calibrated (None: not).

    `facts` are the manifest's entries that `export.write` gave, for the files in `folder`; `seconds` is how long the fit took.
    """

    estimator: Any
    fitted: Any
    slope: float | None
    facts: Exported
    folder: Path
    seconds: float
    foreign: bool = False
    """Whether the candidate comes from another package: MLflow then needs the list of its types to write."""


class ServedFacts(Exported):
    """The same of the model that is served, and how many rows trained it; `twin` None: it is the judged one itself."""

    trained_rows: int
    refit_problem: str
    twin: Twin | None


@dataclass(frozen=True)
class Served:
    """What is served, fitted, and the manifest's entries on it: `files` and what says what they are."""

    fitted: Any
    facts: ServedFacts
    rows: model.Matrix
    """What it was trained on, (n, d)."""
    strange: list[str] = field(default_factory=list)
    """Types of a foreign candidate that MLflow shall write; retraind itself loads none of them."""


class _Refitted(NamedTuple):
    """The winner fitted on all rows, (n, d), and exported to a folder of its own."""

    fitted: Any
    exported: Exported
    rows: model.Matrix
    strange: list[str]


def serve_judged(judged: Judged, data: Data, problem: str = "") -> Served:
    """The judged model is served, because nothing else is asked for, or because of a `problem`."""
    rows = data.training[0]
    facts: ServedFacts = {**judged.facts, "trained_rows": len(rows), "refit_problem": problem, "twin": None}
    return Served(judged.fitted, facts, rows, _untrusted_types(judged, judged.fitted))


def serve(judged: Judged, data: Data, costs: Costs | None, seconds: float, check: Check | None) -> Served:
    """The model to serve, fitted on all rows within so many seconds; the judged one, with the reason, if that can't be had.

    `check`: how its answers are compared with those of the judged one; None: they have been, when the version was made.
    """
    if data.time or not (data.held & data.recent).any():
        return serve_judged(judged, data)
    allowed, folder = seconds * SHARE, judged.folder / FOLDER
    if _expected(judged, data) > allowed:
        return serve_judged(judged, data, _problem(f"of train.timeout_seconds only {max(0.0, seconds):.0f} s are left"))
    folder.mkdir()
    try:
        with alarm(allowed):
            refitted = _fitted(judged, data, folder, costs)
            worse = "" if check is None else objection(refitted.fitted, judged.fitted, data, check)
    except BudgetUsed:
        problem = _problem(f"it took longer than half of what was left of train.timeout_seconds ({allowed:.0f} s)")
    except Exception as error:  # noqa: BLE001 - estimators raise what they like; the judged model is there to be served
        problem = _problem(f"{type(error).__name__}: {error}"[:300])
    else:
        if not worse:
            return _placed(judged, data, refitted)
        problem = f"The winner fitted on all rows is not served: {worse}. A held-out row may be wrong. The twin, which was judged, is served."
    shutil.rmtree(folder, ignore_errors=True)
    log.warning("not_refitted", reason=problem)
    return serve_judged(judged, data, problem)


def _expected(judged: Judged, data: Data) -> float:
    """How long the fit may take, in seconds: no alarm interrupts one that is a single call of C, and some grow with the square."""
    return judged.seconds * float(data.recent.sum() / len(data.training[1])) ** 2


def _untrusted_types(judged: Judged, fitted: Any) -> list[str]:
    return export.untrusted_types(fitted) if judged.foreign else []


def _problem(reason: str) -> str:
    return (
        f"The winner could not be fitted on all rows: {reason.rstrip('.')}. So the twin, which was judged, is served."
    )


def _fitted(judged: Judged, data: Data, folder: Path, costs: Costs | None) -> _Refitted:
    """Fit and export it, in a folder of its own; what is on record of the judged model stays as it is, its slope as well."""
    rows, targets = data.whole
    fitted = model.fit(model.with_early_stopped_size(judged.estimator, judged.fitted), rows, targets)
    if judged.slope is not None:
        fitted = Calibrated(fitted, judged.slope)
    exported = export.write(fitted, data.matrix, data.schema, folder, costs)
    return _Refitted(fitted, exported, rows, _untrusted_types(judged, fitted))


def _placed(judged: Judged, data: Data, made: _Refitted) -> Served:
    """The bundle's files: those of the judged model under the names of the twin, and the new ones in their place."""
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
        trained_rows=len(data.training[0]),
    )
    served: ServedFacts = {
        "backend": made.exported["backend"],
        "input": made.exported["input"],
        "difference": made.exported["difference"],
        "files": files,
        "trained_rows": len(made.rows),
        "refit_problem": "",
        "twin": twin,
    }
    return Served(made.fitted, served, made.rows, made.strange)
