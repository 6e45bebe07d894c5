"""retraind.daemon.training.pieces.boosting: bytes of memory for each row of a fit."""

import os
from collections.abc import Iterator
from pathlib import Path

import forks
import numpy as np
import pytest

from retraind.daemon.model import Matrix
from retraind.daemon.training.pieces import boosting

lightgbm = pytest.importorskip("lightgbm", reason="the extra `boost` is not installed")

WIDTH, CLASSES, BLOCK = 20, 3, 50_000
MOST = 110
"""Bytes for each row: its cells, 48 for answers and gradients of three classes, 28 for labels and places; 130 with the bins twice."""


def peak() -> int:
    """The most memory that this process had, in bytes."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


def rise(count: int) -> int:
    """The bytes by which a fit on so many rows raises the memory of a process of its own."""
    reading, writing = os.pipe()

    def work() -> None:
        block = np.random.default_rng(0).normal(size=(BLOCK, WIDTH))
        classes = np.digitize(block[:, 0] + block[:, 1], [-1, 1])
        targets = np.tile(classes.astype(np.int8), count // BLOCK)

        def blocks() -> Iterator[Matrix]:
            return (block.copy() for _ in range(count // BLOCK))

        estimator = lightgbm.LGBMClassifier(
            n_estimators=2, verbose=-1, deterministic=True, force_row_wise=True, n_jobs=1, random_state=0
        )
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
        before = peak()
        boosting.fit(estimator, blocks, targets, (block[:100], classes[:100]))
        os.write(writing, str(peak() - before).encode())

    pid = forks.start(work)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        risen = pipe.read()
    assert forks.end(pid) == 0
    return int(risen)


@pytest.mark.slow
def test_row_needs_its_cells_and_little_more() -> None:
    """A million more rows raise the peak by a byte for each of their cells, and by LightGBM's answers and gradients."""
    assert (rise(3 * 10**6) - rise(2 * 10**6)) / 10**6 < MOST
