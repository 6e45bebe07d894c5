"""Realistic predictions: eight columns as people measure and count, three classes with the probabilities of a logistic regression.

Numbers have one to three decimals or are counts, so they repeat; probabilities are doubles that never do.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.serve import serve_models
from retraind.daemon.history import entries
from retraind.daemon.history.layout import Layout

FILE_ROWS = 250_000
"""Rows of a log file of 64 MiB."""

WORKERS = 4
"""Processes whose rows take turns."""

BEGIN, GAP_MS = datetime(2026, 1, 1, tzinfo=UTC), 10.0
"""When the first prediction came, and the mean time to the next."""

NAMES = tuple(column.name for column in serve_models.SCHEMA.columns)


def identity(part: int, row: int) -> str:
    """The id of a row of a part."""
    return f"{part // 40:08x}{row % WORKERS:04x}-{(part % 40) * FILE_ROWS + row // WORKERS + 1:x}"


def columns(part: int, rows: int) -> dict[str, NDArray[Any]]:
    """Features by name, `shares` (rows, 3), and `times`, milliseconds since 1970."""
    chance = np.random.default_rng(part)
    features: tuple[NDArray[Any], ...] = (
        chance.normal(5.8, 0.8, rows).round(1),
        chance.normal(120, 25, rows).round(1),
        chance.lognormal(3, 1, rows).round(2),
        chance.normal(0, 1, rows).round(3),
        chance.integers(18, 90, rows).astype(float),
        chance.integers(0, 5000, rows).astype(float),
        chance.integers(0, 5, rows).astype(float),
        (chance.random(rows) < 0.3).astype(float),
    )
    scores = np.exp(chance.normal(0, 2, (rows, 3)))
    start = BEGIN + timedelta(milliseconds=part * FILE_ROWS * GAP_MS)
    times = start.timestamp() * 1000 + np.cumsum(chance.exponential(GAP_MS, rows))
    facts = {"shares": scores / scores.sum(axis=1, keepdims=True), "times": times.astype(np.int64)}
    latency = {"latency": chance.lognormal(-2, 0.4, rows).round(3)}
    return dict(zip(NAMES, features, strict=True)) | facts | latency


def log_name(part: int) -> str:
    """The name of a part's log, of a worker that has ended."""
    began = BEGIN + timedelta(milliseconds=part * FILE_ROWS * GAP_MS)
    return f"predictions-0-{began:%Y%m%dT%H%M%S%f}-99999999.jsonl"


def write_log(folder: Path, part: int, rows: int = FILE_ROWS) -> Path:
    """Write a part as the log of a worker that has ended."""
    values = columns(part, rows)
    features = np.column_stack([values[name] for name in NAMES]).tolist()
    shares, latency = values["shares"].tolist(), values["latency"].tolist()
    times = np.datetime_as_string(values["times"].astype("datetime64[ms]"), unit="ms").tolist()
    lines = []
    for row in range(rows):
        code = shares[row].index(max(shares[row]))
        facts = {"timestamp": f"{times[row]}Z", "model_version": 1, "latency_ms": latency[row]}
        facts |= {"prediction_id": identity(part, row), "features": features[row], "prediction": code}
        facts |= {"prediction_name": serve_models.CLASSES[code], "confidence": shares[row][code]}
        lines.append(orjson.dumps(facts | {"probabilities": shares[row]}, option=orjson.OPT_APPEND_NEWLINE))
    path = folder / log_name(part)
    path.write_bytes(b"".join(lines))
    return path


def table(part: int) -> pa.Table:
    """A part as the process that builds files has it before it sorts and writes."""
    values, layout = (
        columns(part, FILE_ROWS),
        Layout(tuple((name, "number") for name in NAMES), tuple(serve_models.CLASSES)),
    )
    codes = values["shares"].argmax(axis=1)
    days = np.datetime_as_string(values["times"].astype("datetime64[ms]"), unit="D").tolist()
    facts = [
        pa.array(np.arange(FILE_ROWS) + part * FILE_ROWS + 1),
        pa.array([identity(part, row) for row in range(FILE_ROWS)]),
        pa.array(values["times"], pa.timestamp("ms", "UTC")),
        pa.array(np.ones(FILE_ROWS, np.int64)),
        pa.array(values["latency"]),
        pa.array([""] * FILE_ROWS),
        pa.array(codes.astype(float)),
        pa.array(np.array(serve_models.CLASSES)[codes]),
        pa.array(values["shares"].max(axis=1)),
    ]
    cells = [pa.array(values[name]) for name in NAMES]
    shares = [pa.array(values["shares"][:, place]) for place in range(len(serve_models.CLASSES))]
    rows = [*facts, *cells, *shares, pa.nulls(FILE_ROWS, pa.string())]
    return entries.keyed(pa.table(rows, layout.schema.names).cast(layout.schema), days)
