"""The trainer: a process that has imported and warmed up everything, and forks a child for each training.

`python -m daemon.training HOME NICE DAEMON` says `ready`, then reads jobs from standard input, one JSON line each; it and
its children say how far they are on standard output in the same way. `daemon.processes.child.Trainer` is the other end.

What else needs MLflow (making and migrating its database, closing the runs that a killed training left open, removing those of
old versions' candidates) is asked for by no message: it follows from the database, and is done before the first `ready` and
after each training. So a kill of either process loses nothing of it.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
import orjson

from daemon import model
from daemon.core import file_modes, logs
from daemon.core.errors import TooFewRows, Unavailable
from daemon.core.home import Home
from daemon.core.settings import Log
from daemon.processes import parent
from daemon.processes.training_job import Job, Message, Say
from daemon.registry import registry
from daemon.registry.registry import Registry
from daemon.schema.column import Column
from daemon.schema.schema import Schema
from daemon.storage.model_versions import ModelVersions
from daemon.training import plots, resource_limits
from daemon.training.export import export
from daemon.training.metrics import score
from daemon.training.run import train
from daemon.training.selection import calibration, candidates

AGAIN_SECONDS = 5.0
"""After so long MLflow's database is tried again."""

REPORT_SECONDS = 300.0
"""What comes after registering is for people; it is given up when it takes longer, so that the next training can start."""


def main(arguments: list[str]) -> None:
    """Wait for jobs on standard input, one JSON line each, and fork a child for each."""
    file_modes.private()
    home, nice = Home(Path(arguments[0])), int(arguments[1])
    out = os.dup(1)
    os.dup2(2, 1)  # MLflow and its like print; standard output is for messages only
    logs.configure(Log())

    def say(message: Message) -> None:
        os.write(out, orjson.dumps(message) + b"\n")

    os.nice(nice)
    prepare = partial(_prepare, home, say)
    preparing = _fork(prepare)  # beside the warming up: a new database takes seconds
    warm_up(home)
    _wait_for(preparing, prepare)
    say({"ready": os.getpid()})
    for line in sys.stdin.buffer:
        job = Job(**orjson.loads(line))
        code = _end_of(_fork(partial(_train, home, job, say)))
        # Of a training that has said how it ended, this is not heard any more.
        say({"run": job.run, "failed": f"The training {_exit_text(code)}"})
        if code != 0 or _unfinished(home):
            _wait_for(_fork(prepare), prepare)
        say({"ready": os.getpid()})


def _fork(action: Callable[[], int]) -> int:
    """Do something in a child, which ends with the code that `action` gives; returns the child's process id."""
    trainer, child = os.getpid(), os.fork()
    if child == 0:
        code = 1
        try:
            parent.end_with(trainer)
            code = action()
        finally:
            os._exit(code)
    return child


def _end_of(child: int) -> int:
    """Wait for a child; returns its exit code, or the negative number of the signal that killed it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _prepare(home: Home, say: Say) -> int:
    """Make and repair MLflow's database, in a child: an open one must not be forked. 0: it is as trainings need it."""
    try:
        Registry(home).prepare()
    except Exception as error:  # noqa: BLE001 - whatever MLflow raises is told, and it is tried again
        say({"unready": f"{type(error).__name__}: {error}"[:1000]})
        return 1
    return 0


def _wait_for(child: int, prepare: Callable[[], int]) -> None:
    """Wait until a child has prepared the database, trying again as often as it fails."""
    while _end_of(child) != 0:
        time.sleep(AGAIN_SECONDS)
        child = _fork(prepare)


def _unfinished(home: Home) -> bool:
    """Whether the training left a run open, its own or a candidate's; what can't be asked is found out by preparing."""
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
    """Train in the forked child; how it ended is said, so the exit code is 0."""
    allowed = resource_limits.memory(job.train.memory_bytes)
    try:
        resource_limits.limit_memory(allowed)
        train(home, job, say, _set_deadline)
    except TooFewRows as error:
        say({"run": job.run, "postponed": str(error)})
    except MemoryError as error:
        limit = f"It may take {allowed} bytes (train.memory_bytes) beyond the trainer itself."
        say({"run": job.run, "failed": f"MemoryError: {error}. {limit}"[:1000]})
    except BaseException as error:  # noqa: BLE001 - whatever a fit raises, also SystemExit, is told, and ends this child only
        say({"run": job.run, "failed": f"{type(error).__name__}: {error}"[:1000]})
    return 0


def _set_deadline(seconds: float = REPORT_SECONDS) -> None:
    """Raise TimeoutError after so long, so that the MLflow run is closed; what does not listen is killed after as long again."""

    def late(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        raise TimeoutError(f"The report took longer than {seconds:g} s.")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def warm_up(home: Home) -> None:
    """Do once, on toy rows, what each training does, so that the forked children find every import done.

    Nothing here may leave a thread or a database connection behind: a fork would inherit its half.
    """
    columns = [Column(name=name, kind="number") for name in ("x", "z")]
    toys = [
        Schema(target="y", classes=["a", "b"], columns=columns),
        Schema(task="regression", target="y", columns=columns),
    ]
    matrix, targets = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    with tempfile.TemporaryDirectory() as folder:
        for schema in toys:
            for name in candidates.NAMES[schema.task]:
                if name in candidates.LATE:  # they need nothing that the others don't, and take longer than these
                    continue
                estimator = candidates.build(name, schema, 0).fit(matrix, targets)
                export.write(estimator, matrix, schema, Path(folder))
            answers = model.answers(estimator, matrix, schema)
            score(answers, targets, schema)
            plots.draw(answers, targets, schema, Path(folder) / "pictures", "")
            plots.draw_more(answers, targets, schema, Path(folder) / "pictures", {"x": 1.0})
            if schema.task == "classification":
                export.write(model.Calibrated(estimator, 1.5), matrix, schema, Path(folder))
                calibration.find(np.tile(answers, (2, 1)), np.tile(targets, 2), np.arange(2 * len(targets)), 0)
        registry.warm_up(Path(folder), estimator)
