"""Predicts rows with the pickled pipeline: `python example.py`. It needs the packages of requirements.txt."""

import json
import pickle
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent


@cache
def model() -> Any:
    """The pipeline, loaded once. The folder retraind_model_… must be importable: beside this script, or in PYTHONPATH."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    return pickle.loads((HERE / "model.pkl").read_bytes())  # noqa: S301 - load only files from people whom you trust


def predict(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The answers to rows by column name, None for a missing value: label and probabilities, or a value."""
    frame = pd.DataFrame(list(rows))
    if not hasattr(model()[-1], "predict_proba"):
        return [{"value": value} for value in model().predict(frame).tolist()]
    shares, classes = model().predict_proba(frame).tolist(), model().classes_.tolist()
    labels = model().predict(frame).tolist()
    return [
        {"label": label, "probabilities": dict(zip(classes, row, strict=True))}
        for label, row in zip(labels, shares, strict=True)
    ]


if __name__ == "__main__":
    for answer in predict(json.loads((HERE / "example.json").read_text(encoding="utf-8"))["rows"]):
        sys.stdout.write(f"{json.dumps(answer, ensure_ascii=False)}\n")
