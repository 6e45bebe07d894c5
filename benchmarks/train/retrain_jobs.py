"""A training on many rows with one process and with several: seconds, speed-up, memory, and whether the models are the same."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.figures import figure, ratio
from benchmarks.train import retrain_large
from benchmarks.train.retrain_large import Side
from retraind.daemon.artifacts.manifest import MANIFEST, Manifest
from retraind.daemon.core import process_table
from retraind.daemon.core.home import Home
from retraind.daemon.processes.training_job import Job
from retraind.daemon.registry.registry import Registry
from retraind.daemon.training import warming

FASTER = 1.6
"""How many times as fast the project promises two processes to be on two quiet cores."""

LOOK_SECONDS = 0.2
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class Run:
    """A training in one place."""

    where: str
    """Number of jobs, or the place, for people."""
    side: Side
    memory: int
    """The most that its processes had together (bytes), shared memory counted once."""
    version: tuple[object, ...]
    """What must be the same: scores, and the sha256 of the models."""


def measure(folder: Path, count: int, folds: int, names: list[str], jobs: list[int]) -> list[Run]:
    """Train on the same rows with each number of jobs."""
    home, written = prepare(folder, count)
    shared = {"candidates": names, "folds": folds}
    return [run(home, written, count, str(number), {**shared, "jobs": number}) for number in jobs]


def prepare(folder: Path, count: int) -> tuple[Home, dict[str, str]]:
    """A home with so many rows, its segments (name to sha256), and all imports of a training done."""
    home = Home(folder / "home")
    home.root.mkdir()
    home.make()
    home.schema.write_bytes(retrain_large.SCHEMA.dump())
    written = retrain_large.write(home, count)
    Registry(home).open()
    threadpool_limits(1)
    warming.load()
    list(warming.steps())
    return home, written


def run(home: Home, written: dict[str, str], count: int, where: str, chosen: dict[str, object]) -> Run:
    """Train once with these settings."""
    settings = {"budget_seconds": 0, "report_rows": 0, **chosen}
    number = len(list(home.bundles.glob(".staging-*"))) + 1
    job = Job(number, "benchmark", "a" * 40, "b" * 32, written, count, settings, None, None)
    peak, ended = [0], threading.Event()
    watch = threading.Thread(target=_watch, args=(os.getpid(), peak, ended))
    watch.start()
    try:
        side = retrain_large.aside(lambda side: retrain_large.train_ours(side, home, job))
    finally:
        ended.set()
        watch.join()
    newest = max(home.bundles.glob(".staging-*"), key=lambda path: path.stat().st_mtime)
    manifest = Manifest.model_validate_json((newest / MANIFEST).read_bytes())
    scores = {name: manifest.scores.get(name) for name in ("challenger", "cv_accuracy", "calibration")}
    models = {name: sha256 for name, sha256 in manifest.files.items() if name.startswith(("model", "twin"))}
    return Run(where, side, peak[0], (manifest.candidate, scores, models))


def _watch(pid: int, peak: list[int], ended: threading.Event) -> None:
    """Note the most memory of all descendants; PSS counts a page that several share once."""
    while not ended.wait(LOOK_SECONDS):
        peak[0] = max(peak[0], sum(_pss(process.pid) for process in process_table.descendants(pid)))


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(text.partition("\nPss:")[2].split()[0]) * 1024


def table(runs: list[Run]) -> list[list[str]]:
    """Rows for each number of jobs: seconds of the parts, the ratio to the first, memory, and whether the models are equal."""
    first, lines = runs[0], []
    for one in runs:
        compared, whole = _compared(one.side), one.side.seconds
        lines.append(
            [
                one.where,
                figure(compared, 1),
                ratio(_compared(first.side), compared),
                figure(whole, 1),
                ratio(first.side.seconds, whole),
                figure(one.memory / 1e6, 0),
                "yes" if one.version == first.version else "NO",
            ]
        )
    return lines


HEADER = ["jobs", "comparing, s", "as fast", "training, s", "as fast", "memory, MB", "equal to the bit"]


def _compared(side: Side) -> float:
    moments = dict(reversed(side.stages))
    first = next(name for name, _ in side.stages if name.startswith("cross-validating"))
    return moments[next(name for name, _ in side.stages if name.startswith("fitting"))] - moments[first]
