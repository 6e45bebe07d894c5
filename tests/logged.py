"""The prediction log as the daemon reads it: a row for each prediction, also for those that share a line."""

from typing import Any

import numpy as np
import orjson

from retraind.daemon.core.home import Home
from retraind.daemon.schema import prediction_block
from retraind.web.serving.answered_rows import AnsweredRows
from retraind.web.serving.inputs import Inputs
from retraind.web.serving.predictor import Predictor


class Named(Predictor):
    """A version without a model."""

    def __init__(self, classes: list[str], version: int = 3) -> None:
        self.version, self.classes, self.costs = version, classes, None


def block(first: int, rows: int, **fields: Any) -> bytes:
    """A line of many rows, as a worker writes it, without its newline; the features of row n are 2n and 2n + 1."""
    answers = AnsweredRows(Named(["setosa", "virginica"], 2), np.array([[0.25, 0.75]] * rows), "many", first, 0.5)
    values = np.arange(first * 2, (first + rows) * 2, dtype=np.float64).reshape(-1, 2)
    [text] = answers.lines(Inputs(None, None, values, exact=True), "shop")
    return orjson.dumps({**orjson.loads(text), **fields})


def predictions(home: Home) -> list[dict[str, Any]]:
    """All predictions in the log files of a home, by file."""
    entries = [
        orjson.loads(line) for path in sorted(home.logs.glob("*.jsonl")) for line in path.read_bytes().splitlines()
    ]
    rows: list[dict[str, Any]] = []
    for entry in entries:
        block = prediction_block.of(entry)
        rows += [entry] if block is None else prediction_block.expand(block)
    return rows
