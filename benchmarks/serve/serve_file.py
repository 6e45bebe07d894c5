"""A file of rows: `retraind predict` beside pandas and the same scikit-learn model, whole processes from start to end.

Run it with `python -m benchmarks.serve.serve_file [--rows N]`. The peer reads the whole file, predicts all rows at once and writes them.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from benchmarks.figures import ratio, show
from benchmarks.harness import ROOT
from benchmarks.serve import serve_models
from retraind.daemon.core.home import Home

TIMES = 3
TARGET = 100_000
"""Rows per second that the project promises."""

COLUMNS = (
    "file",
    "model",
    "rows/s, median",
    "least",
    "peak MB",
    "peer: rows/s",
    "peer: peak MB",
    "ours/peer",
    "target",
)

PEER = """
import pickle, sys
import pandas as pd
model, source, target = sys.argv[1:]
fitted = pickle.load(open(model, "rb"))
rows = pd.read_csv(source) if source.endswith(".csv") else pd.read_parquet(source)
shares = fitted.predict_proba(rows.drop(columns="id").to_numpy())
rows["prediction"] = [("a", "b", "c")[code] for code in shares.argmax(axis=1)]
rows["confidence"] = shares.max(axis=1)
rows.to_csv(target, index=False)
"""


class Run(NamedTuple):
    """One process: seconds from start to end, and the most memory it had (MB)."""

    seconds: float
    peak: float


def write_files(folder: Path, rows: int) -> list[Path]:
    """Write the same rows with ids as CSV and as Parquet."""
    matrix = serve_models.rows(10_000, seed=1)[0].round(6)
    names = [column.name for column in serve_models.SCHEMA.columns]
    at = np.arange(rows) % len(matrix)
    table = pa.table({"id": np.arange(rows), **{name: matrix[at, place] for place, name in enumerate(names)}})
    pyarrow.csv.write_csv(table, folder / "rows.csv", pyarrow.csv.WriteOptions(quoting_style="none"))
    pyarrow.parquet.write_table(table, folder / "rows.parquet")
    return [folder / "rows.csv", folder / "rows.parquet"]


def run(command: list[str]) -> Run:
    """Run a process to its end; raises RuntimeError if it fails."""
    started, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        # Not ru_maxrss: that of a child begins with the memory of this process.
        peak = max(peak, _peak(process.pid))
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{command[:4]} ended with {process.returncode}")
    return Run(time.perf_counter() - started, peak)


def _peak(pid: int) -> float:
    """The most memory that a process has had (MB); 0 if it is gone."""
    with suppress(OSError):
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(peak[1]) / 1024 if peak else 0.0
    return 0.0


def measure(folder: Path, rows: int) -> list[list[str]]:
    """A row of the table for each model and format; ours and the peer take turns."""
    files, table = write_files(folder, rows), []
    serve_models.store(folder)
    for name in serve_models.NAMES:
        home = serve_models.make_home(folder / f"home-{name}", serve_models.estimator(name))
        for file in files:
            ours, peer = [], []
            for _ in range(TIMES):
                ours.append(run(_ours(home, file, folder)))
                peer.append(run([sys.executable, "-c", PEER, f"{folder}/{name}.joblib", str(file), f"{folder}/p.csv"]))
            table.append(_row(file.suffix[1:], name, rows, ours, peer))
    return table


def _ours(home: Home, file: Path, folder: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "retraind.daemon",
        "predict",
        str(file),
        "-o",
        str(folder / "o.csv"),
        "--home",
        str(home.root),
    ]


def _row(form: str, model: str, rows: int, ours: list[Run], peer: list[Run]) -> list[str]:
    rates = [rows / one.seconds for one in ours]
    rate, peers = statistics.median(rates), statistics.median(rows / one.seconds for one in peer)
    peaks = [f"{max(one.peak for one in runs):.0f}" for runs in (ours, peer)]
    target = f">= {TARGET}/s" if model == "logistic" else "-"
    return [
        form,
        model,
        f"{rate:,.0f}",
        f"{min(rates):,.0f}",
        peaks[0],
        f"{peers:,.0f}",
        peaks[1],
        ratio(rate, peers),
        target,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-") as name:
        show(f"Predicting a file of {rows:,} rows with 8 numbers and an id", COLUMNS, measure(Path(name), rows))


if __name__ == "__main__":
    main()
