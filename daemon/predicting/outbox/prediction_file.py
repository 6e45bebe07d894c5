"""Prediction file: a file of the prediction log with all answers of one file, hidden until it is whole.

It gets its name before the answers get theirs, so they are in the log first, all of them or none.
"""

import os
import secrets
from binascii import b2a_base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.daemon.core import durable
from retraind.daemon.core.status import utcnow
from retraind.daemon.predicting.answers import Answered
from retraind.daemon.predicting.served_version import Version
from retraind.daemon.schema import prediction_block
from retraind.daemon.schema.prediction_block import Block

CALLER = "inbox/predict"
"""The caller in the history, which has its own share of `predictions.keep_rows`."""

HIDDEN = f"{durable.MARK}outbox-"
"""The beginning of a name that is not final."""

SLOT = 999
"""Replaces the number of a worker in the file's name."""


class PredictionFile:
    """Collects the predictions of one file; `log` is the hook of `FileAnswers`."""

    def __init__(self, folder: Path, version: Version) -> None:
        """Create the hidden file in `folder`, the one of the log; raises OSError."""
        self._version, self._schema = version, version.model.manifest.data_schema
        self._request, self._first = secrets.token_hex(8), 0
        self.hidden = f"{HIDDEN}{self._request}{durable.TMP}"
        moment = datetime.now(UTC)
        self.name = f"predictions-{SLOT}-{moment:%Y%m%dT%H%M%S%f}-{os.getpid()}.jsonl"
        self._file = (folder / self.hidden).open("xb")

    def log(self, answered: Answered) -> pa.Array:
        """Write the predictions; returns their ids (n,)."""
        count = len(answered.good)
        first, self._first = self._first, self._first + count
        cells = answered.matrix.shape[1] + answered.answers.shape[1]
        step = max(1, prediction_block.CELLS // cells)
        values = self._values(answered)
        for start in range(0, count, step):
            block = self._block(answered, values, first, slice(start, min(start + step, count)))
            self._file.write(orjson.dumps(block, option=orjson.OPT_APPEND_NEWLINE))
        numbers = pc.cast(pa.array(np.arange(first, first + count)), pa.string())
        return pc.binary_join_element_wise(self._request, numbers, ".")

    def discard(self, folder: Path) -> None:
        """Remove the hidden file."""
        self._file.close()
        (folder / self.hidden).unlink(missing_ok=True)

    def close(self) -> None:
        """Make it durable; raises OSError."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _block(self, answered: Answered, values: list[list[Any]] | None, first: int, here: slice) -> Block:
        codes = answered.codes
        return {
            "timestamp": utcnow(),
            "model_version": self._version.number,
            "latency_ms": answered.milliseconds,
            "block": self._request,
            "first": first + here.start,
            "rows": here.stop - here.start,
            "features": _packed(answered.matrix[here]) if values is None else values[here],
            "classes": self._schema.classes or None,
            "predictions": None if codes is None else codes[here].tolist(),
            "answers": _packed(answered.answers[here]),
            "caller": CALLER,
        }

    def _values(self, answered: Answered) -> list[list[Any]] | None:
        """The features as JSON values by row; None if they are doubles, all of them there."""
        if self._schema.numeric and not np.isnan(answered.matrix).any():
            return None
        nothing = [None] * len(answered.good)
        there = set(answered.features.column_names)
        columns = [_json(answered.features[name]) if name in there else nothing for name in self._schema.features]
        return [list(row) for row in zip(*columns, strict=True)]


def sweep(folder: Path) -> None:
    """Remove the hidden files of a killed process."""
    for path in folder.glob(f"{HIDDEN}*{durable.TMP}"):
        path.unlink(missing_ok=True)


def _json(cells: pa.ChunkedArray) -> list[Any]:
    """The values as JSON has them; a time as text in ISO 8601."""
    values: list[Any] = cells.to_pylist()
    if pa.types.is_timestamp(cells.type):
        return [value and value.isoformat() for value in values]
    return values


def _packed(rows: NDArray[np.float64]) -> str:
    return b2a_base64(rows.astype("<f8", copy=False).tobytes(), newline=False).decode()
