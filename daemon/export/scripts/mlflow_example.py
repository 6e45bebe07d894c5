"""Predicts rows with the MLflow model in this folder: `python example.py`. It needs the packages of requirements.txt."""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd

HERE = Path(__file__).parent

TYPES = {"double": "float64", "long": "int64", "boolean": "object", "string": "object"}


@cache
def model() -> Any:
    """The model, loaded once; it is a scikit-learn pipeline, too."""
    return mlflow.pyfunc.load_model(str(HERE))


def predict(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The answers to rows by column name, None for a missing value: label and probabilities, or a value."""
    inputs = model().metadata.get_input_schema().inputs
    frame = pd.DataFrame(
        {each.name: pd.Series([row.get(each.name) for row in rows], dtype=TYPES[each.type.name]) for each in inputs}
    )
    answers, pipeline = model().predict(frame).tolist(), model().get_raw_model()
    if not hasattr(pipeline[-1], "predict_proba"):
        return [{"value": value} for value in answers]
    shares, classes = pipeline.predict_proba(frame).tolist(), pipeline.classes_.tolist()
    return [
        {"label": label, "probabilities": dict(zip(classes, row, strict=True))}
        for label, row in zip(answers, shares, strict=True)
    ]


if __name__ == "__main__":
    for answer in predict(json.loads((HERE / "example.json").read_text(encoding="utf-8"))["rows"]):
        sys.stdout.write(f"{json.dumps(answer, ensure_ascii=False)}\n")
