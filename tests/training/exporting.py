"""Estimators as they are exported and loaded."""

from pathlib import Path
from typing import Any

from test_bundle import sealed

from retraind.daemon import model
from retraind.daemon.artifacts import bundle
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.export import export
from retraind.daemon.training.export.export import Exported
from retraind.daemon.training.selection import candidates

EARLY = {task: [one for one in names if one not in candidates.LATE] for task, names in candidates.NAMES.items()}


CLASSIFIERS, REGRESSORS = EARLY["classification"], EARLY["regression"]


PLAIN = Schema(target="t", classes=["a", "b"], columns=[Column(name=name, kind="number") for name in ("x", "y")])


def exported(folder: Path, estimator: Any, matrix: model.Matrix, schema: Schema) -> Exported:
    folder.mkdir()
    return export.write(estimator, matrix, schema, folder)


def loaded(folder: Path, facts: Exported, schema: Schema) -> bundle.Model:
    return bundle.load(folder, sealed(folder, data_schema=schema, **facts))
