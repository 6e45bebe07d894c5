"""Servers that the tests of a process share: started by the first one that needs it, ended with the run.

The workers of xdist share theirs. A fork of `--workers` has its own, in a folder below that of the run.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def folder(config: pytest.Config) -> Path:
    """The temporary folder with the notes on the servers of this process."""
    factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER", "").startswith("gw") else base


def noted(base: Path, name: str, start: Callable[[], str]) -> str:
    """The note on a server of the run whose folder is `base`: what `start` gave the first time."""
    note = base / f"{name}.note"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            note.write_text(start())
    return note.read_text()


def forgotten(base: Path, name: str) -> list[str]:
    """The notes on the servers that must now be ended, by the process that has started the others."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return []
    notes = [*base.glob(f"{name}.note"), *base.glob(f"fork*/{name}.note")]
    texts = [note.read_text() for note in notes]
    for note in notes:
        note.unlink()
    return texts
