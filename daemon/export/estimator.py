"""The fitted estimator of a version as scikit-learn knows it, with the classes of the exported package instead of retraind's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skops.io

from retraind.daemon import model
from retraind.daemon.artifacts import backends, class_names
from retraind.daemon.artifacts.bundle import PARITY, SKOPS
from retraind.daemon.core.errors import NotExportable
from retraind.daemon.core.settings import candidate_packages
from retraind.daemon.export.exported_version import ExportedVersion
from retraind.daemon.portable import answers, columns, package, pipeline
from retraind.daemon.storage.model_versions import ModelVersions

HINT = "Use --format onnx."

TABLE = (f"{columns.__name__}.Columns", f"{answers.__name__}.NamedClassifier")
"""The ends of the pipeline that MLflow keeps."""

PACKAGES = frozenset({"sklearn", "numpy", "scipy", "collections", "lightgbm", "xgboost"})
"""Types of these packages may be loaded, and of the package that the candidate names."""


def load(version: ExportedVersion) -> Any:
    """The served estimator, which answers the probe's rows as the bundle says. Raises NotExportable if it is not kept here."""
    data = class_names.imported(version.read(SKOPS) if version.has(SKOPS) else _kept(version).read_bytes())
    data = package.with_own_names(data)
    trusted = [*backends.TRUSTED, *TABLE, *_foreign(version, skops.io.get_untrusted_types(data=data))]
    try:
        estimator = pipeline.estimator_of(skops.io.loads(data, trusted=trusted))
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
