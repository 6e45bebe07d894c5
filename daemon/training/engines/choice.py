"""The choice of the engine for a training, from the settings, the size of its data and the machine."""

import contextlib
import os
import sys
from collections.abc import Iterator

from retraind.daemon.core import process_table
from retraind.daemon.training.engines.local_pool import LocalPool
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.tasks import Engine, OneByOne

FEW_CELLS = 1_000_000
"""Cells of the rows (8 MB) up to which two processes work, whatever `train.jobs` is: they take little memory, and a core for seconds only."""

ALONE_SECONDS = 0.05
"""Seconds of so little data that this process computes alone: two forks take as long."""

FRAMES = 2.0
"""Memory that a task may need, as a multiple of the rows' own: most candidates need 1.3."""

POLITE = 10
"""Niceness from which the trainer may use all cores: the kernel then runs the workers that predict first."""


@contextlib.contextmanager
def opened(trial: Trial) -> Iterator[Engine]:
    """The engine, whose processes end with the block."""
    count = jobs(trial)
    few = trial.rows.size <= FEW_CELLS
    engine = OneByOne(trial) if count == 1 else LocalPool(trial, count, ALONE_SECONDS if few else 0.0)
    try:
        yield engine
    finally:
        engine.close()


def jobs(trial: Trial) -> int:
    """The number of tasks at the same time: as set, or with 0 what cores and memory allow."""
    settings, cores = trial.settings, len(os.sched_getaffinity(0))
    free = cores if settings.nice >= POLITE else cores - 1
    count = settings.jobs or max(1, min(free, _fitting(trial.rows.nbytes)))
    few = trial.rows.size <= FEW_CELLS
    return max(count, min(2, cores)) if few else count


def _fitting(bytes_: int) -> int:
    """The number of tasks on rows of so many bytes that the training's memory limit leaves room for."""
    return int(min(process_table.memory_left(), sys.maxsize) // (FRAMES * bytes_ + 1))
