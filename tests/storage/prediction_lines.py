"""Lines of the prediction log, the files and locks of workers, and the copied rows."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.records.records import Records


def line(number: int, **fields: Any) -> bytes:
    entry = {
        "prediction_id": f"id-{number}",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "features": [5.1, 3.5, None, "red"],
        "prediction": 0,
        "prediction_name": "setosa",
        "confidence": 0.9,
        "probabilities": [0.9, 0.1, 0.0],
        "model_version": 1,
        "latency_ms": 0.5,
    }
    return orjson.dumps({**entry, **fields})


def held(home: Home, pid: int | None = None) -> int:
    """Hold the lock of a worker in slot 0, as a living worker does."""
    fd = durable.try_lock(home.workers / f"0-{pid or os.getpid()}.lock")
    assert fd is not None
    return fd


def ids(home: Home) -> list[str]:
    return [row["prediction_id"] for row in reversed(Records(home).predictions.newest(10_000))]


def logs(home: Home) -> list[Path]:
    return sorted(home.logs.glob("*.jsonl"))


def utcnow_of(at: datetime) -> str:
    """A time as the log writes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def callers(home: Home) -> dict[str, list[str]]:
    ids: dict[str, list[str]] = {}
    for row in reversed(Records(home).predictions.newest(10_000)):
        ids.setdefault(row["caller"], []).append(row["prediction_id"])
    return ids
