"""The files of HTTP workers: a lock with its pid, held while the worker runs, and the counters that it publishes."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import orjson

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.processes.child import Child


def held(locks: Iterable[Path]) -> list[Path]:
    """The locks of running workers; the others are removed."""
    running = []
    for path in locks:
        fd = durable.try_lock(path)
        if fd is None:
            running.append(path)
            continue
        path.unlink()
        os.close(fd)
    return running


def pid(lock: Path) -> int:
    """The process that holds a lock, or held it."""
    return int(lock.stem.split("-")[1])


def send_signal(locks: Iterable[Path], number: int) -> None:
    """Send a signal to the workers that hold these locks."""
    for lock in held(locks):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid(lock), number)


def serves(home: Home, slot: int, child: Child) -> bool | None:
    """Whether a worker answers with a model; None while it does not answer at all."""
    published = counters(home, slot, child)
    return None if published is None else bool(published.get("ready"))


class Published(TypedDict, total=False):
    """The part of a worker's published counters that the daemon reads."""

    pid: int
    ready: bool
    """Whether it answers with a model."""
    model_problem: str | None
    """Why it could not load the model that it should serve."""


def had_model(lock: Path) -> bool:
    """Whether the worker with this lock answered with a model when it last published its counters."""
    return bool((_read(lock.with_suffix(".json")) or {}).get("ready"))


def counters(home: Home, slot: int, child: Child) -> Published | None:
    """The counters that a worker publishes about once a second (`web/metrics/counters.py`).

    None while it does not answer.
    """
    if child.process is None or not child.alive:
        return None
    published = _read(home.worker_counters(slot, child.process.pid))
    # Before it answers, the file has the counters of an ended worker, which it continues.
    return published if published and published.get("pid") == child.process.pid else None


def _read(path: Path) -> Published | None:
    with contextlib.suppress(FileNotFoundError, orjson.JSONDecodeError):
        published: Published = orjson.loads(path.read_bytes())
        return published
    return None
