"""The fitted estimator of a version as scikit-learn knows it, with the classes of the exported package instead of retraind's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from retraind.daemon import model
from retraind.daemon.artifacts import backends, class_names
from retraind.daemon.artifacts.bundle import PARITY, SKOPS
from retraind.daemon.core.errors import NotExportable
from retraind.daemon.core.settings import candidate_packages
from retraind.daemon.export import portable_package
from retraind.daemon.export.exported_version import ExportedVersion
from retraind.daemon.storage.model_versions import ModelVersions

HINT = "Use --format onnx."

PACKAGES = frozenset({"sklearn", "numpy", "scipy", "collections", "lightgbm", "xgboost"})
"""Types of these packages may be loaded, and of the package that the candidate names."""


def load(version: ExportedVersion) -> Any:
    """The served estimator, which answers the probe's rows as the bundle says. Raises NotExportable if it is not kept here."""
    data = class_names.imported(version.read(SKOPS) if version.has(SKOPS) else _kept(version).read_bytes())
    trusted = [*backends.TRUSTED, *_foreign(version, skops.io.get_untrusted_types(data=data))]
    try:
        estimator = skops.io.loads(data, trusted=trusted)
    except Exception as error:
        raise NotExportable(
            f"The estimator of version {version.number} can't be loaded: {type(error).__name__}: {error}"[:400],
            hint=HINT,
        ) from error
    got, known = (
        model.answers(estimator, version.probe_rows, version.schema),
        version.model.answers(version.probe_rows),
    )
    if got.shape != known.shape or not np.abs(got - known).max() / version.scale <= PARITY:
        raise NotExportable(f"MLflow's copy of version {version.number} is not the model that is served.", hint=HINT)
    return estimator


def _kept(version: ExportedVersion) -> Path:
    """MLflow's file of the estimator."""
    versions = ModelVersions(version.home)
    registered = next((each for each in versions.versions(version.number - 1) if each.version == version.number), None)
    folders = [] if registered is None else versions.artifacts(registered)
    files = [path for folder in folders if folder.parent.name == "models" for path in sorted(folder.rglob(SKOPS))]
    if not files:
        raise NotExportable(
            f"This home has no copy of version {version.number} as scikit-learn's estimator: MLflow's files of it are not here.",
            hint=HINT,
        )
    return files[0]


def _foreign(version: ExportedVersion, types: list[str]) -> Iterator[str]:
    """Those types that the candidate's own package may bring."""
    allowed = PACKAGES | {candidate_packages.package(version.manifest.candidate)}
    return (name for name in types if name.partition(".")[0] in allowed)


def modules(value: Any) -> set[str]:
    """Full names of the modules whose classes an estimator is made of, without those within other packages' estimators."""
    return {type(each).__module__ for each in _parts(value)}


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _parts(each)
    elif isinstance(value, BaseEstimator):
        yield value
        if _is_open(value):
            yield from _parts(list(vars(value).values()))


def _is_open(value: Any) -> bool:
    """Whether there may be estimators of ours within it."""
    return isinstance(value, Pipeline) or type(value).__module__ in portable_package.MODULES


def ported(value: Any) -> Any:
    """A copy with the classes of the exported package, which must be importable."""
    if isinstance(value, list | tuple):
        return type(value)(ported(each) for each in value)
    if not (isinstance(value, BaseEstimator) and _is_open(value)):
        return value
    kind: Any = type(value)
    module = kind.__module__
    if module in portable_package.MODULES:
        kind = getattr(portable_package.imported(module), kind.__name__)
    made = kind.__new__(kind)
    vars(made).update({name: ported(each) for name, each in vars(value).items()})
    return made
