"""The choice of the engine for a training, from the settings, the size of its data and the machine."""

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from retraind.daemon.core import process_table
from retraind.daemon.core.settings import Train
from retraind.daemon.model import Matrix
from retraind.daemon.processes.training_job import Job
from retraind.daemon.training.data.source import Source
from retraind.daemon.training.engines.local_pool import LocalPool
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.tasks import FEW_CELLS, Engine, OneByOne

ALONE_SECONDS = 0.05
"""Seconds of so little data that this process computes alone: two forks take as long."""

FRAMES = 2.0
"""Memory that a task may need, as a multiple of the rows' own: most candidates need 1.3."""

QUOTA = Path("/sys/fs/cgroup/cpu.max")

POLITE = 10
"""Niceness from which the trainer may use all cores: the kernel then runs the workers that predict first."""


@contextlib.contextmanager
def opened(trial: Trial, source: Source, job: Job, home: Path) -> Iterator[Engine]:
    """The engine, whose processes end with the block; workers on other machines read the `source`, of a home's folder."""
    # Rows that stay in pieces are compared on a sample, which this machine has at hand.
    elsewhere = trial.settings.engine == "dask" and not source.kind.in_pieces
    engine = _elsewhere(trial, source, job, home) if elsewhere else local(trial)
    try:
        yield engine
    finally:
        engine.close()


def local(trial: Trial) -> Engine:
    """The engine of this machine."""
    count = jobs(trial.rows, trial.settings)
    few = trial.rows.size <= FEW_CELLS
    return OneByOne(trial) if count == 1 else LocalPool(trial, count, ALONE_SECONDS if few else 0.0)


def _elsewhere(trial: Trial, source: Source, job: Job, home: Path) -> Engine:
    """The engine of other machines, which is imported only if the settings name it."""
    from retraind.daemon.training.engines.dask import recipe
    from retraind.daemon.training.engines.dask.engine import DaskEngine
    from retraind.daemon.training.engines.dask.place import Place

    sent = recipe.of(trial.settings, source, job, home)
    place = Place.of(trial.settings, home)
    return DaskEngine(trial, place, sent, partial(local, trial), trial.progress.engine)


def jobs(rows: Matrix, settings: Train) -> int:
    """The number of fits on these rows at the same time: as set, or with 0 what cores and memory allow."""
    cores = len(os.sched_getaffinity(0))
    count = settings.jobs or max(1, min(_free(cores, settings.nice), _fitting(rows.nbytes)))
    return max(count, min(2, cores)) if rows.size <= FEW_CELLS else count


def _free(cores: int, nice: int) -> int:
    """The number of cores that a training may keep busy without delaying predictions."""
    try:
        quota, period = QUOTA.read_text().split()
        # A container that has used its quota is stopped as a whole, however nice its processes are.
        return min(cores, int(quota) // int(period)) - 1
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return cores if nice >= POLITE else cores - 1


def _fitting(bytes_: int) -> int:
    """The number of tasks on rows of so many bytes that the training's memory limit leaves room for."""
    return int(min(process_table.memory_left(), sys.maxsize) // (FRAMES * bytes_ + 1))
