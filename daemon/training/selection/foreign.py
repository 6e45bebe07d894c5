"""Estimators of other packages: lists the installed ones, and imports one by its path."""

import importlib
import importlib.util
from typing import Any

from sklearn.utils import get_tags

from retraind.daemon.core import logs
from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.settings import EXTRA, Train, candidate_packages
from retraind.daemon.schema.schema import Task

log = logs.Logger()

PACKAGED: dict[str, dict[Task, str]] = {
    "lightgbm": {"classification": "lightgbm:LGBMClassifier", "regression": "lightgbm:LGBMRegressor"},
    "xgboost": {"classification": "xgboost:XGBClassifier", "regression": "xgboost:XGBRegressor"},
}
"""The estimators of EXTRA by import path, all served by treelite, which needs none of these packages."""

LIGHTGBM = {"verbose": -1, "deterministic": True, "force_row_wise": True, "n_jobs": 1}
"""Arguments that keep standard output empty and make the fit deterministic."""


def installed() -> list[str]:
    """Those of EXTRA with an installed package: they compete unless the settings name the candidates."""
    return [name for name in EXTRA if importlib.util.find_spec(name)]


def is_foreign(name: str) -> bool:
    """Whether a candidate comes from a package that retraind does not depend on."""
    return ":" in name or name.partition("(")[0] in EXTRA


def objection(name: str) -> str:
    """The reason why a candidate's package can't be imported, for people; empty if it can."""
    module = PACKAGED[name]["regression"] if name in PACKAGED else name
    try:
        importlib.import_module(module.partition(":")[0])
    except (ImportError, OSError) as error:  # OSError: a library that it loads is missing, such as libgomp
        absent = candidate_packages.absent([name]).get(name)
        return absent or f"{name}: its package can't be imported: {type(error).__name__}: {error}."[:300]
    return ""


def usable(settings: Train) -> tuple[Train, dict[str, str]]:
    """The settings without the candidates whose package can't be imported here, and why; raises TrainingFailed if none is left.

    A package may be gone after an update of the environment. The other candidates train a version nevertheless.
    """
    objections = {name: objection(name) for name in settings.candidates if is_foreign(name)}
    left_out = {name: reason for name, reason in objections.items() if reason}
    for name, reason in left_out.items():
        log.warning("candidate_left_out", candidate=name, reason=reason)
    kept = [name for name in settings.candidates if name not in left_out]
    if not kept:
        raise TrainingFailed(f"No candidate of train.candidates can be used. {' '.join(left_out.values())}")
    return settings.model_copy(update={"candidates": kept}), left_out


def imported(path: str, task: Task, seed: int) -> Any:
    """An estimator of another package, seeded. Raises TrainingFailed if it can't be used like scikit-learn's."""
    named, path = path, PACKAGED[path][task] if path in PACKAGED else path
    module, _, name = path.partition(":")
    try:
        estimator = getattr(importlib.import_module(module), name)()
        get_tags(estimator)  # raises if it is not an estimator
        if "random_state" in estimator.get_params():
            estimator.set_params(random_state=seed)
        if named == "lightgbm":
            estimator.set_params(**LIGHTGBM)
    except ModuleNotFoundError as error:
        if named not in EXTRA:
            raise _unusable(path, error) from error
        hint = "Install the extra: pip install 'retraind[boost]'. Or take it out of train.candidates."
        raise TrainingFailed(f"train.candidates: {named} is not installed.", hint=hint) from error
    except Exception as error:
        raise _unusable(path, error) from error
    return estimator


def _unusable(path: str, error: Exception) -> TrainingFailed:
    return TrainingFailed(
        f"train.candidates: {path} can't be used: {type(error).__name__}: {error}.",
        hint="It must be an estimator as scikit-learn defines it, with defaults for all arguments, in a package that retraind's Python can import.",
    )
