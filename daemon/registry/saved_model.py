"""A model directory of MLflow, for an MLflow elsewhere: nothing is tracked or registered."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from retraind.daemon.registry import registry
from retraind.daemon.registry.skops_file import reproducible, untrusted
from retraind.daemon.registry.table_model import TableModel, frame, signature

MODEL = "model.skops"

mlflow: Any = vars(registry)["mlflow"]
"""From the module that sets what MLflow reads at its import."""


def save(model: TableModel, folder: Path, example: Sequence[Mapping[str, Any]], created: str, digest: str) -> None:
    """Write it into an empty folder, with a signature and an example; equal arguments give equal bytes.

    `created` (ISO 8601) and `digest` (hexadecimal) stand for the time and the random id that MLflow would write.
    """
    time = datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M:%S.%f")
    facts = mlflow.models.Model(utc_time_created=time, model_uuid=str(uuid.UUID(digest[:32])))
    mlflow.sklearn.save_model(
        model.pipeline,
        str(folder),
        code_paths=[str(model.code)],
        mlflow_model=facts,
        signature=signature(model),
        input_example=frame(model, example),
        pip_requirements=list(model.requirements),
        skops_trusted_types=untrusted(model.pipeline),
    )
    (folder / MODEL).write_bytes(reproducible((folder / MODEL).read_bytes()))
    facts.model_size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.name != "MLmodel")
    facts.save(str(folder / "MLmodel"))
