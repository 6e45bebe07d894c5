"""The trainer: a process with all imports of a training done, which forks a child for each.

`python -m retraind.daemon.training HOME NICE DAEMON LOG` writes `ready`, then reads jobs from standard input, one JSON line
each. It and its children report progress on standard output in the same form. `retraind.daemon.processes.child.Trainer` is the
other end. Before the first `ready` and after a training that left a run open, it creates or repairs MLflow's database.
This needs no message, because the database shows the need, so a kill of either process loses nothing.
"""

import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import orjson

from retraind.daemon.core import file_modes, logs
from retraind.daemon.core.errors import TooFewRows, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Log
from retraind.daemon.processes import parent
from retraind.daemon.processes.training_job import Job, Message, Say, Unready
from retraind.daemon.storage import mlflow_tables
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.training import resource_limits

log = logs.Logger()

AGAIN_SECONDS = 5.0
"""Seconds before MLflow's database is tried again."""

IDLE_SECONDS = 1.0
"""Seconds without a job after which the trainer warms up for later ones."""

REPORT_SECONDS = 300.0
"""Time limit (seconds) of the work after registering, which is only for people, so that the next training can start."""


def main(arguments: list[str]) -> None:
    """Wait for jobs on standard input, one JSON line each, and fork a child for each."""
    file_modes.private()
    home, nice = Home(Path(arguments[0])), int(arguments[1])
    out = os.dup(1)
    os.dup2(2, 1)  # MLflow and other libraries print, but standard output is only for messages
    logs.configure(Log.model_validate_json(arguments[3]))

    def say(message: Message) -> None:
        os.write(out, orjson.dumps(message) + b"\n")

    os.nice(nice)
    _prepare(home, say)
    warming = _load()
    say({"ready": os.getpid()})
    for job in _jobs(warming):
        resource_limits.yield_cores(several=job.train.jobs != 1)
        code = _end_of(_fork(partial(_train, home, job, say)))
        # The daemon ignores this after a message on how the training ended.
        say({"run": job.run, "failed": f"The training {_exit_text(code)}"})
        if code != 0 or _unfinished(home):
            _prepare(home, say)
        say({"ready": os.getpid()})


def _load() -> Iterator[None]:
    """Import the modules that every training needs; returns the steps of the warm-up, none of them done yet."""
    # The imports make no garbage, and the collector would take a third of their time.
    gc.disable()
    from retraind.daemon.training import warming

    warming.load()
    return warming.steps()


def _jobs(warming: Iterator[None]) -> Iterator[Job]:
    """The jobs as they arrive, one after each `ready`; while none waits, the trainer warms up step by step."""
    while True:
        pause, warm = IDLE_SECONDS, True
        while warm and not select.select([sys.stdin], [], [], pause)[0]:
            pause, warm = 0.0, _step(warming)
        line = sys.stdin.buffer.readline()
        if not line:
            return
        yield Job(**orjson.loads(line))


def _step(warming: Iterator[None]) -> bool:
    """Take a step of the warm-up; False if none is left."""
    try:
        for _ in warming:
            return True
    except Exception:  # a full disk, say; without the warm-up, trainings only take longer
        log.exception("not_warmed_up")
    return False


def _fork(action: Callable[[], int]) -> int:
    """Run `action` in a child, which exits with the returned code; returns the child's process id."""
    gc.freeze()  # objects that a child's garbage collector visits are copied into it
    trainer, child = os.getpid(), os.fork()
    if child == 0:
        code = 1
        try:
            parent.end_with(trainer)
            gc.enable()
            code = action()
        finally:
            os._exit(code)
    return child


def _end_of(child: int) -> int:
    """Wait for a child; returns its exit code, or the negative number of the signal that killed it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _prepare(home: Home, say: Say) -> None:
    """Create or repair MLflow's database, retrying until it succeeds; call while no training runs."""
    while not _prepared(home, say):
        time.sleep(AGAIN_SECONDS)


def _prepared(home: Home, say: Say) -> bool:
    """Create or repair the database; reports the reason if it can't."""
    try:
        known = mlflow_tables.open_or_make(home)
        if known:
            mlflow_tables.kill_runs(home)
    except Exception as error:  # noqa: BLE001 - whatever the disk or SQLite raises is told, and it is tried again
        say(_unready(error))
        return False
    if known:
        return True
    code = _end_of(_fork(partial(_open_by_mlflow, home, say)))
    if code < 0:
        say({"unready": f"Opening MLflow's database {_exit_text(code)}"})
    return code == 0


def _open_by_mlflow(home: Home, say: Say) -> int:
    """Open a database with other tables in a child, because an open database must not be forked.

    Returns 0 if it is fine.
    """
    try:
        from retraind.daemon.registry.registry import Registry

        Registry(home).open()
        mlflow_tables.kill_runs(home)
    except Exception as error:  # noqa: BLE001 - whatever MLflow raises is told, and it is tried again
        say(_unready(error))
        return 1
    return 0


def _unready(error: Exception) -> Unready:
    return {"unready": f"{type(error).__name__}: {error}"[:1000]}


def _unfinished(home: Home) -> bool:
    """Whether the training left a run open, its own or a candidate's; True if unknown, so that it is prepared."""
    try:
        return ModelVersions(home).unfinished()
    except Unavailable:
        return True


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"ended with code {code} before it was done."
    name = signal.Signals(-code).name
    likely = " Most likely the machine had no memory left." if -code == signal.SIGKILL else ""
    return f"was killed by {name}.{likely}"


def _train(home: Home, job: Job, say: Say) -> int:
    """Train in the forked child. The outcome is sent as a message, so the exit code is 0."""
    from retraind.daemon.training.run import train

    allowed = resource_limits.memory(job.train.memory_bytes)
    try:
        resource_limits.limit_memory(allowed)
        train(home, job, say, _set_deadline)
    except TooFewRows as error:
        say({"run": job.run, "postponed": str(error)})
    except MemoryError as error:
        limit = f"It may use {allowed} bytes (train.memory_bytes) beyond the trainer itself."
        say({"run": job.run, "failed": f"MemoryError: {error}. {limit}"[:1000]})
    except BaseException as error:  # noqa: BLE001 - whatever a fit raises, also SystemExit, is told, and ends this child only
        say({"run": job.run, "failed": f"{type(error).__name__}: {error}"[:1000]})
    return 0


def _set_deadline(seconds: float = REPORT_SECONDS) -> None:
    """Raise TimeoutError after so many seconds, so that the MLflow run is closed.

    After twice that, the process is killed.
    """

    def late(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        raise TimeoutError(f"The report took longer than {seconds:g} s.")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
