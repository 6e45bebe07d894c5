"""Predicts rows with model.onnx: `python example.py`. It needs onnxruntime and numpy only; copy from it what you need."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

HERE = Path(__file__).parent

TYPES = {
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


@cache
def session() -> Any:
    """The model, loaded once."""
    return onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])


def predict(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The answers to rows by column name, None for a missing value: label and probabilities, or a value."""
    facts = session().get_modelmeta().custom_metadata_map
    types = {each.name: TYPES[each.type] for each in session().get_inputs()}
    feeds = {
        column["name"]: _array(column, [row.get(column["name"]) for row in rows], types[column["name"]])
        for column in json.loads(facts["columns"])
    }
    answers = [answer.tolist() for answer in session().run(None, feeds)]
    if len(answers) == 1:
        return [{"value": value} for [value] in answers[0]]
    classes = json.loads(facts["classes"])
    return [
        {"label": label, "probabilities": dict(zip(classes, shares, strict=True))}
        for label, shares in zip(*answers, strict=True)
    ]


def _array(column: Mapping[str, Any], values: Sequence[Any], kind: Any) -> Any:
    """The tensor of one column: (n, 1), for a text (n, 33)."""
    if None in values and not (column["missing"] or column["kind"] == "category"):
        raise ValueError(f"{column['name']!r} must not be missing.")
    if column["kind"] == "text":
        return np.array([_words(column, value) for value in values], dtype=kind)
    if column["kind"] == "date":
        values = [None if value is None else _seconds(value) for value in values]
    gap = "" if column["kind"] == "category" else math.nan
    return np.array([gap if value is None else value for value in values], dtype=kind).reshape(-1, 1)


def _seconds(text: str) -> float:
    """Seconds since 1970-01-01 UTC of ISO 8601 text; a time without a zone is UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _words(column: Mapping[str, Any], text: str | None) -> list[float]:
    """The number of words, and the words as numbers; text_words.py says how."""
    from retraind.daemon.schema.text_words import NOTHING, encoded

    if text is None or not text.strip() or text.strip() in column["markers"]:
        return [math.nan, *NOTHING]
    return encoded(text)


if __name__ == "__main__":
    for answer in predict(json.loads((HERE / "example.json").read_text(encoding="utf-8"))["rows"]):
        sys.stdout.write(f"{json.dumps(answer, ensure_ascii=False)}\n")
