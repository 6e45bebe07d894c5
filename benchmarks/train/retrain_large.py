"""A training on many rows: its time and memory beside scikit-learn's own, with the same candidates on a frame in memory.

Each side runs in a forked child, so that its peak is its own; what is shared with the parent counts for neither.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.figures import figure, ratio
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Train
from retraind.daemon.dataset import segment_writer
from retraind.daemon.processes.training_job import Job
from retraind.daemon.registry.registry import Registry
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import rows
from retraind.daemon.training import warming
from retraind.daemon.training.run import train
from retraind.daemon.training.selection import candidates

SLOWER, PEAK = 0.25, 2.5
"""What the project promises: so much more time than scikit-learn, and so many times the float64 frame of memory."""

SCHEMA = Schema(
    target="y",
    classes=["c0", "c1", "c2"],
    columns=[Column(name=f"x{number:02}", kind="number") for number in range(20)],
)
CHUNK = 50_000
"""Rows that are made and written at once."""

SCORING = ("accuracy", "neg_log_loss")


@dataclass
class Side:
    """Seconds, and how far memory rose above what the process had at first (bytes); ours with the moments of stages."""

    seconds: float = 0.0
    peak: int = 0
    fits: dict[str, float] = field(default_factory=dict)
    """By candidate, its folds."""
    stages: list[tuple[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """Both sides, and the bytes of the frame: rows x columns x 8."""

    ours: Side
    theirs: Side
    frame: int


def chunk(source: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rows (count, 20) whose class follows from a few columns, with noise."""
    values = np.round(source.normal(size=(count, len(SCHEMA.columns))), 3)
    scores = values[:, :3] * 2 + values[:, 3:6] * values[:, 6:9] + source.normal(size=(count, 3))
    return values, scores.argmax(axis=1)


def write(home: Home, count: int) -> dict[str, str]:
    """The rows as segments, as ingestion leaves them; name to sha256."""
    home.segments.mkdir(parents=True)
    source, written = np.random.default_rng(1), 0
    with segment_writer.Writer(home.segments) as writer:
        while written < count:
            size = min(CHUNK, count - written)
            values, codes = chunk(source, size)
            columns = dict(zip(SCHEMA.features, values.T, strict=True)) | {"y": np.array(SCHEMA.classes)[codes]}
            numbers = np.arange(written, written + size)
            writer.add(rows.with_provenance(pa.table(columns), ["a" * 64], [size], numbers, datetime.now(UTC), "file"))
            written += size
        made = writer.seal().place()
    return {made.name: made.sha256}


def measure(folder: Path, count: int, folds: int, names: list[str]) -> Measured:
    """Train once each way."""
    home = Home(folder / "home")
    home.root.mkdir()
    home.make()
    home.schema.write_bytes(SCHEMA.dump())
    written = write(home, count)
    Registry(home).open()
    # As the daemon starts its trainer: one thread, and no team of OpenMP, which would hang in a forked child.
    threadpool_limits(1)
    warming.load()
    list(warming.steps())
    settings = {"candidates": names, "folds": folds, "budget_seconds": 0, "report_rows": 0}
    job = Job(1, "benchmark", "a" * 40, "b" * 32, written, count, settings, None, None)
    ours = aside(lambda side: train_ours(side, home, job))
    theirs = aside(lambda side: _theirs(side, count, Train(**settings)))
    return Measured(ours, theirs, count * len(SCHEMA.columns) * 8)


def train_ours(side: Side, home: Home, job: Job) -> None:
    """Run a job, and note its seconds, stages and peak."""
    started = time.perf_counter()

    def say(message: Any) -> None:
        moment = time.perf_counter() - started
        if "note" in message:
            side.fits[message["note"].partition(":")[0]] = message["seconds"]
        elif "done" in message:
            side.stages.append(("done", moment))
            side.seconds, side.peak = moment, _resident("VmHWM")
        elif "stage" in message:
            side.stages.append((message["stage"], moment))

    train(home, job, say)


def _theirs(side: Side, count: int, settings: Train) -> None:
    """cross_validate of each candidate behind what it needs: only linear models want numbers standardised."""
    values, codes = _frame(count, settings.holdout)
    planned = candidates.plan(SCHEMA, settings)
    started = time.perf_counter()
    for candidate in planned:
        plain = (
            make_pipeline(StandardScaler(), candidate.estimator[-1])
            if isinstance(candidate.estimator, Pipeline)
            else candidate.estimator
        )
        folds = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
        before = time.perf_counter()
        cross_validate(plain, values, codes, cv=folds, scoring=SCORING)
        side.fits[candidate.name] = time.perf_counter() - before
    side.seconds, side.peak = time.perf_counter() - started, _resident("VmHWM")


def _frame(count: int, share: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """As many rows as train of `count`: the rest is held out."""
    source, training = np.random.default_rng(1), int(count * (1 - share))
    values, codes = np.empty((training, len(SCHEMA.columns))), np.empty(training, dtype=np.int64)
    for start in range(0, training, CHUNK):
        part = slice(start, min(training, start + CHUNK))
        values[part], codes[part] = chunk(source, part.stop - part.start)
    return values, codes


def aside(work: Callable[[Side], None]) -> Side:
    """The notes of `work` in a forked child, its peak counted from where the child began."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
        side, before = Side(), _resident("VmRSS")
        try:
            work(side)
            side.peak -= before
            os.write(writing, orjson.dumps(side))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        received = pipe.read()
    os.waitpid(child, 0)
    return Side(**orjson.loads(received))


def _resident(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) * 1024


def table(measured: Measured) -> list[list[str]]:
    """Rows: each part in seconds, the sum of what both do, the ratio, and the peaks as multiples of the frame."""
    ours, theirs = measured.ours, measured.theirs
    moments = dict(reversed(ours.stages))  # when each began: a stage is told again with every fold
    names = [name for name, _ in ours.stages]
    first = next(name for name in names if name.startswith("cross-validating"))
    fitting = next(name for name in names if name.startswith("fitting"))
    loading, compared = moments[first] - moments["reading the data"], moments[fitting] - moments["reading the data"]
    lines = [["loading, s", figure(loading, 2), "-", ""]]
    lines += [[f"{name}, s", figure(ours.fits[name], 2), figure(theirs.fits[name], 2), ""] for name in theirs.fits]
    lines.append(["loading and comparing, s", figure(compared, 2), figure(theirs.seconds, 2), ""])
    lines.append(["- against scikit-learn", ratio(compared, theirs.seconds), "1x", f"<= {1 + SLOWER:g}x"])
    lines.append(["final fit, scores, bundle, s", figure(moments["logging to MLflow"] - moments[fitting], 2), "-", ""])
    lines.append(["MLflow, register, s", figure(moments["done"] - moments["logging to MLflow"], 2), "-", ""])
    peaks = [ratio(side.peak, measured.frame) for side in (ours, theirs)]
    lines.append(["peak memory, of the float64 frame", *peaks, f"<= {PEAK:g}x"])
    return lines
