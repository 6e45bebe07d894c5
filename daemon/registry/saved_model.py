"""A model directory of MLflow, for an MLflow elsewhere: nothing is tracked or registered."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from retraind.daemon.registry import registry
from retraind.daemon.registry.skops_file import reproducible, untrusted

TYPES = {
    "number": "double",
    "integer": "long",
    "boolean": "boolean",
    "date": "string",
    "category": "string",
    "text": "string",
}
"""MLflow's type of each kind of column. A date is ISO 8601 text, as in CSV files."""

MODEL = "model.skops"

mlflow: Any = vars(registry)["mlflow"]
"""From the module that sets what MLflow reads at its import."""


class Pipeline(NamedTuple):
    """A fitted pipeline for rows by column name, its columns (`Columns` in retraind.daemon.export.portable), and what it needs."""

    fitted: Any
    columns: Sequence[Mapping[str, Any]]
    task: str
    requirements: Sequence[str]
    code: Path
    """The folder of the package that its classes are in."""


def save(pipeline: Pipeline, folder: Path, example: Sequence[Mapping[str, Any]], created: str, digest: str) -> None:
    """Write it into an empty folder, with a signature and an example; equal arguments give equal bytes.

    `created` (ISO 8601) and `digest` (hexadecimal) stand for the time and the random id that MLflow would write.
    """
    time = datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M:%S.%f")
    model = mlflow.models.Model(utc_time_created=time, model_uuid=str(uuid.UUID(digest[:32])))
    mlflow.sklearn.save_model(
        pipeline.fitted,
        str(folder),
        code_paths=[str(pipeline.code)],
        mlflow_model=model,
        signature=_signature(pipeline),
        input_example=_frame(pipeline.columns, example),
        pip_requirements=list(pipeline.requirements),
        skops_trusted_types=untrusted(pipeline.fitted),
    )
    (folder / MODEL).write_bytes(reproducible((folder / MODEL).read_bytes()))
    model.model_size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.name != "MLmodel")
    model.save(str(folder / "MLmodel"))


def _type(column: Mapping[str, Any]) -> str:
    """Integers with missing values are doubles, because pandas has no other place for a gap."""
    return "double" if column["kind"] == "integer" and column["missing"] else TYPES[column["kind"]]


def _signature(pipeline: Pipeline) -> Any:
    """Names and types of the columns; those that may be missing are optional."""
    types = mlflow.types
    inputs = [
        types.ColSpec(_type(column), column["name"], required=not column["missing"]) for column in pipeline.columns
    ]
    answer = types.ColSpec("double" if pipeline.task == "regression" else "string")
    return mlflow.models.ModelSignature(types.Schema(inputs), types.Schema([answer]))


def _frame(columns: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> Any:
    import pandas as pd

    kinds = {"double": "float64", "long": "int64"}
    return pd.DataFrame(
        {
            column["name"]: pd.Series([row[column["name"]] for row in rows], dtype=kinds.get(_type(column), "object"))
            for column in columns
        }
    )
