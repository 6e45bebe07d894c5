"""LightGBM from pieces: peak memory and time of a whole training, beside the same training with all rows in memory.

python -m benchmarks.train.pieces [--rows 30000000] [--compare 1000000] [--trees 100] [--gigabytes 4]

Each training runs in a forked child of a process with the trainer's imports, with its memory limit; the peak is all that
the child has in memory (VmHWM), so it includes these imports.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from threadpoolctl import threadpool_limits

from benchmarks.figures import figure, ratio, show
from benchmarks.train.retrain_large import SCHEMA, write
from retraind.daemon.artifacts import bundle
from retraind.daemon.core.home import Home
from retraind.daemon.processes.training_job import Job
from retraind.daemon.registry.registry import Registry
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.training import resource_limits, warming
from retraind.daemon.training.pieces import memory
from retraind.daemon.training.run import train

GB = 1_000_000_000
ALLOWED = 4.0
"""What the project promises for 30 million rows of 20 columns, in GB."""


@dataclass
class Measured:
    """One training: its way in words, seconds, peak memory (bytes), and facts of its version."""

    way: str = ""
    seconds: float = 0.0
    peak: int = 0
    failed: str = ""
    difference: float = 0.0
    """Of treelite from LightGBM."""
    model: str = ""
    """The sha256 of the served model."""
    score: float = 0.0
    stages: list[tuple[str, float]] = field(default_factory=list)


def measure(folder: Path, rows: int, trees: int, allowed: int) -> Measured:
    """Train once on so many rows within `allowed` bytes."""
    home = Home(folder / "home")
    home.root.mkdir()
    home.make()
    home.schema.write_bytes(SCHEMA.dump())
    written = write(home, rows)
    Registry(home).open()
    settings: Mapping[str, Any] = {
        "candidates": ["lightgbm"],
        "grids": {"lightgbm": {"n_estimators": [trees]}},
        "calibrate": False,
        "report_rows": 0,
        "memory_bytes": allowed,
        "timeout_seconds": 1e6,
        "budget_seconds": 0,
    }
    job = Job(1, "benchmark", "a" * 40, "b" * 32, written, rows, settings, None, None, rows=rows)
    measured = _in_child(home, job)
    if not measured.failed:
        newest = ModelVersions(home).versions()[-1]
        assert newest.bundle is not None
        manifest = bundle.read_manifest(home.staging(newest.run), newest.bundle)
        measured.difference, measured.model = manifest.difference, manifest.files[bundle.TREELITE]
        measured.score = manifest.scores["challenger"]["rolling"]["accuracy"]
        if manifest.scores.get("from_pieces"):
            measured.way = "pieces"
    shutil.rmtree(home.root)
    return measured


def _in_child(home: Home, job: Job) -> Measured:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        measured = Measured("memory")
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
            resource_limits.limit_memory(resource_limits.memory(job.train.memory_bytes))
            _train(measured, home, job)
        except BaseException as error:  # noqa: BLE001 - the parent prints it
            measured.failed = f"{type(error).__name__}: {error}"[:200]
        finally:
            os.write(writing, orjson.dumps(measured))
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        received = pipe.read()
    _, status = os.waitpid(child, 0)
    return Measured(**orjson.loads(received)) if received else Measured(failed=f"ended by {status}")


def _train(measured: Measured, home: Home, job: Job) -> None:
    started = time.perf_counter()

    def say(message: Any) -> None:
        moment = time.perf_counter() - started
        if "note" in message:
            print(f"  {moment:7.1f} s  {message['note']}", flush=True)
        elif "done" in message:
            measured.seconds, measured.peak = moment, _peak()
        elif "stage" in message:
            print(f"  {moment:7.1f} s  {message['stage']} (peak {_peak() / GB:.2f} GB)", flush=True)
            measured.stages.append((message["stage"], moment))

    train(home, job, say)


def _peak() -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def table(trainings: list[tuple[int, Measured]]) -> list[list[str]]:
    """Rows: each training, and its time and memory against the one in memory on as many rows."""
    lines, whole = [], {rows: one for rows, one in trainings if one.way == "memory"}
    for rows, one in trainings:
        other = whole.get(rows)
        beside = ratio(one.seconds, other.seconds) if other and not one.failed else ""
        same = "" if other is None or one is other else str(one.model == other.model)
        cells = [f"{rows / 1e6:g}M", one.way, figure(one.seconds), beside, figure(one.peak / GB, 2)]
        lines.append([*cells, figure(one.peak / rows), f"{one.difference:.1g}", f"{one.score:.4f}", one.failed or same])
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train.pieces", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=30_000_000, help="rows of 20 columns, read piece by piece; 0: none")
    parser.add_argument("--compare", type=int, default=1_000_000, help="rows that are trained on both ways; 0: none")
    parser.add_argument("--trees", type=int, default=100, help="trees of LightGBM")
    parser.add_argument("--gigabytes", type=float, default=ALLOWED, help="memory allowed for --rows")
    parser.add_argument("--folder", default=None, help="where the segments are written; 5 GB for 30M rows")
    options = parser.parse_args()
    # As the daemon starts its trainer: one thread, and no team of OpenMP, which would hang in a forked child.
    threadpool_limits(1)
    warming.load()
    list(warming.steps())
    # A byte less than all rows need in memory.
    few = memory.in_memory(options.compare, options.compare, SCHEMA) - 1
    jobs = [(options.compare, 0), (options.compare, few)] if options.compare else []
    jobs += [(options.rows, int(options.gigabytes * GB))] if options.rows else []
    trainings = []
    for rows, allowed in jobs:
        print(f"{rows:,} rows, {allowed / GB:g} GB allowed", flush=True)
        with tempfile.TemporaryDirectory(prefix="retraind-pieces-", dir=options.folder) as folder:
            trainings.append((rows, measure(Path(folder), rows, options.trees, allowed)))
    title = f"LightGBM, {options.trees} trees, 20 columns, whole training with refit: memory beside pieces"
    heads = [
        "rows",
        "way",
        "seconds",
        "of memory's",
        "peak, GB",
        "bytes a row",
        "treelite apart",
        "accuracy",
        "same bits",
    ]
    show(title, heads, table(trainings))


if __name__ == "__main__":
    main()
