"""The trainer: a process that has imported and warmed up everything, and forks a child for each training.

`python -m daemon.training HOME NICE` says `ready`, then reads jobs from standard input, one JSON line each; it and
its children say how far they are on standard output in the same way. `daemon.processes.child.Trainer` is the other end.
"""

import ctypes
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import numpy as np
import orjson

from daemon import model
from daemon.core import file_modes
from daemon.core.errors import TooFewRows
from daemon.core.home import Home
from daemon.processes.training_job import Job, Message, Say
from daemon.registry import registry
from daemon.schema.column import Column
from daemon.schema.schema import Schema
from daemon.training import plots, resource_limits
from daemon.training.export import export
from daemon.training.metrics import score
from daemon.training.run import train
from daemon.training.selection import calibration, candidates

PR_SET_PDEATHSIG = 1

REPORT_SECONDS = 300.0
"""What comes after registering is for people; it is given up when it takes longer, so that the next training can start."""


def main(arguments: list[str]) -> None:
    """Wait for jobs on standard input, one JSON line each, and fork a child for each; ends with its parent."""
    file_modes.private()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    home, nice = Home(Path(arguments[0])), int(arguments[1])
    out = os.dup(1)
    os.dup2(2, 1)  # MLflow and its like print; standard output is for messages only

    def say(message: Message) -> None:
        os.write(out, orjson.dumps(message) + b"\n")

    os.nice(nice)
    warm_up(home)
    say({"ready": os.getpid()})
    for line in sys.stdin.buffer:
        job = Job(**orjson.loads(line))
        child = os.fork()
        if child == 0:
            _child(home, job, say)
        _, status = os.waitpid(child, 0)
        # Of a training that has said how it ended, this is not heard any more.
        say({"run": job.run, "failed": _how(os.waitstatus_to_exitcode(status))})
        say({"ready": os.getpid()})


def _how(code: int) -> str:
    if code >= 0:
        return f"The training ended with code {code} before it was done."
    name = signal.Signals(-code).name
    likely = " Most likely the machine had no memory left." if -code == signal.SIGKILL else ""
    return f"The training was killed by {name}.{likely}"


def _child(home: Home, job: Job, say: Say) -> None:
    """Train in the forked child; never returns."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    allowed = resource_limits.memory(job.train.memory_bytes)
    try:
        resource_limits.confine(allowed)
        train(home, job, say, _hurry)
    except TooFewRows as error:
        say({"run": job.run, "postponed": str(error)})
    except MemoryError as error:
        limit = f"It may take {allowed} bytes (train.memory_bytes) beyond the trainer itself."
        say({"run": job.run, "failed": f"MemoryError: {error}. {limit}"[:1000]})
    except BaseException as error:  # noqa: BLE001 - whatever a fit raises, also SystemExit, is told, and ends this child only
        say({"run": job.run, "failed": f"{type(error).__name__}: {error}"[:1000]})
    finally:
        os._exit(0)


def _hurry(seconds: float = REPORT_SECONDS) -> None:
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


if __name__ == "__main__":
    main(sys.argv[1:])
