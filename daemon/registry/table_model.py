"""A fitted pipeline for rows by column name, as MLflow keeps it, and the description of its columns for MLflow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

TYPES = {
    "number": "double",
    "integer": "long",
    "boolean": "boolean",
    "date": "string",
    "category": "string",
    "text": "string",
}
"""MLflow's type of each kind of column. A date is ISO 8601 text, as in CSV files."""


class TableModel(NamedTuple):
    """A pipeline with its columns (`retraind.daemon.portable.columns.Columns`), and what whoever loads it needs."""

    pipeline: Any
    columns: Sequence[Mapping[str, Any]]
    task: str
    requirements: Sequence[str]
    code: Path
    """The folder of the package that its classes are in."""
    trusted: Sequence[str]
    """Types that skops must load."""


def signature(model: TableModel) -> Any:
    """Names and types of the columns; those that may be missing are optional."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs: Any = [ColSpec(_type(column), column["name"], required=not column["missing"]) for column in model.columns]
    answer = ColSpec("double" if model.task == "regression" else "string")
    return ModelSignature(Schema(inputs), Schema([answer]))


def _type(column: Mapping[str, Any]) -> str:
    """Integers with missing values are doubles, because pandas has no other place for a gap."""
    return "double" if column["kind"] == "integer" and column["missing"] else TYPES[column["kind"]]


def frame(model: TableModel, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as the DataFrame that the signature describes."""
    import pandas as pd

    kinds = {"double": "float64", "long": "int64"}
    return pd.DataFrame(
        {
            column["name"]: pd.Series([row[column["name"]] for row in rows], dtype=kinds.get(_type(column), "object"))
            for column in model.columns
        }
    )
