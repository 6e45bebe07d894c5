"""What runs on Dask's workers. The scheduler imports this module, too, so it imports nothing heavy itself."""

import os
import pickle
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from retraind.daemon.training.engines.dask import installed

if TYPE_CHECKING:
    from retraind.daemon.training.engines.dask.rows import Prepared

GIVEN_UP = 70
"""Exit code of a worker that ends itself; its nanny starts another one."""

KEY = "retraind"
"""The first part of the keys of our tasks in Dask."""


class Greeting(NamedTuple):
    """What a worker says of itself: versions, kind of processor, and keys of our tasks that it runs."""

    versions: dict[str, str]
    processor: str
    running: list[str]


def greet(dask_worker: Any) -> Greeting:
    """Answer a new trainer. Dask calls this in the worker's event loop, so it answers while a task runs."""
    keys = [str(task.key) for task in dask_worker.state.executing]
    return Greeting(installed.versions(), installed.processor(), [key for key in keys if key.startswith(KEY)])


async def die() -> None:
    """End this process, because nothing else ends a fit; the nanny starts another one."""
    os._exit(GIVEN_UP)


async def forget() -> None:
    """Free the rows of a training that is over."""
    if _prepared is not None:
        _prepared.forget()


_prepared: "Prepared | None" = None


def run(recipe: bytes, task: bytes, limit: float) -> bytes:
    """Run a task: a pickled pair of what makes a result, or the reason why this worker is unfit and None.

    After `limit` seconds the worker ends itself: the trainer, which would have done it, is gone.
    """
    guard = threading.Timer(limit, os._exit, (GIVEN_UP,))
    guard.daemon = True
    guard.start()
    try:
        return pickle.dumps(_run(recipe, task))
    finally:
        guard.cancel()


def _run(recipe: bytes, task: bytes) -> tuple[Any, Any]:
    global _prepared  # noqa: PLW0603 - one copy of the rows for all tasks of this process
    from threadpoolctl import threadpool_limits

    from retraind.daemon.training.engines.dask.recipe import Unfit
    from retraind.daemon.training.engines.dask.rows import Prepared
    from retraind.daemon.training.selection.tasks import run_task

    try:
        work = pickle.loads(task)  # noqa: S301 - from the trainer, which may run anything here
    except Exception as error:  # noqa: BLE001 - an import raises what it likes
        return f"it can't import a candidate: {type(error).__name__}: {error}"[:500], None
    # One thread, as in the trainer: more would sum in another order. It stays so, because tasks may run side by side.
    threadpool_limits(1)
    _prepared = _prepared or Prepared()
    try:
        trial = _prepared.trial(recipe)
    except Unfit as unfit:
        return str(unfit), None
    _task, fold, problem, seconds = run_task(trial, work)
    return "", (fold, problem, seconds)
