"""Rows of a prediction log that the daemon's thread copies into the history, in a second and in a second of CPU.

The rate is the limit for all machines of a home together: a leader copies the logs of its serving nodes, too.
Run it with `python -m benchmarks.serve.history [--rows 300000]`.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks.figures import show
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.storage.prediction_history import HistoryCopier

FILE = "predictions-0-20261129T120000000000-99999999.jsonl"
"""The name of a worker's log; no process has this number, so the file is complete."""


class Copied(NamedTuple):
    """One copy: rows, bytes of a line, seconds, seconds of CPU."""

    rows: int
    line: float
    seconds: float
    cpu: float


def line(number: int) -> bytes:
    """A prediction as a worker logs it: 8 columns, 3 classes."""
    entry = {
        "prediction_id": f"0f3a5c7e9b1d-{number}",
        "timestamp": "2026-11-29T12:00:00.000Z",
        "features": [5.1, 3.5, 1.4, 0.2, 1.0, 2.0, 3.0, 4.0],
        "prediction": 0,
        "prediction_name": "setosa",
        "confidence": 0.9,
        "probabilities": [0.9, 0.1, 0.0],
        "model_version": 1,
        "latency_ms": 0.5,
    }
    return orjson.dumps(entry) + b"\n"


def measure(rows: int, folder: Path) -> Copied:
    """Copy a log of this many rows into a new history."""
    home = Home(folder / "home")
    home.root.mkdir()
    home.make()
    lines = b"".join(line(number) for number in range(rows))
    (home.logs / FILE).write_bytes(lines)
    copier = HistoryCopier(home, Settings())
    started, cpu = time.monotonic(), time.process_time()
    copied = copier.copy()
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    copier.close()
    assert copied == rows, f"{copied} of {rows} rows were copied"
    return Copied(rows, len(lines) / rows, seconds, cpu)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retraind-history-") as folder:
        copied = measure(asked.rows, Path(folder))
    facts = [
        ["rows copied", f"{copied.rows}"],
        ["bytes of a line", f"{copied.line:.0f}"],
        ["rows a second", f"{copied.rows / copied.seconds:.0f}"],
        ["rows a second of CPU", f"{copied.rows / copied.cpu:.0f}"],
    ]
    show("Copying a prediction log into the history", ["fact", "value"], facts)


if __name__ == "__main__":
    main()
