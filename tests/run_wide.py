"""Servers that all processes of a run of tests share: started by the first test that needs one, ended with the run."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def folder(config: pytest.Config) -> Path:
    """The temporary folder that all processes of a run share."""
    factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def noted(base: Path, name: str, start: Callable[[], str]) -> str:
    """The note on a server of the run whose folder is `base`: what `start` gave the first time."""
    note = base / f"{name}.note"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            note.write_text(start())
    return note.read_text()


def forgotten(base: Path, name: str) -> str | None:
    """The note on a server that must now be ended, by the process that has started the others; None if there is none."""
    note = base / f"{name}.note"
    if "PYTEST_XDIST_WORKER" in os.environ or not note.exists():
        return None
    text = note.read_text()
    note.unlink()
    return text
