"""The tasks of a training, one for each fold of a candidate, and the engine that runs them one by one in this process.

Comparison and tuning use an engine only through `Engine`, and collect results by task. So where tasks run, and in which
order they end, changes no score. `retraind.daemon.training.engines` has the engines that use other processes.
"""

import contextlib
import time
from collections import deque
from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol

from retraind.daemon.core import process_table
from retraind.daemon.training.selection.budget import BudgetUsed, alarm
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.cross_validation import Fold, Trial

FEW_CELLS = 1_000_000
"""Cells of the rows (8 MB) up to which two processes work, whatever `train.jobs` is: they take little memory, and a core for seconds only."""


class Task(NamedTuple):
    """A fold (from 0) of a candidate, to be fitted and scored."""

    candidate: Candidate
    fold: int


class Result(NamedTuple):
    """The outcome of a task: the fold, or why it failed; `seconds` of wall time."""

    task: Task
    fold: Fold | None
    problem: str
    seconds: float

    @property
    def lacked_memory(self) -> bool:
        """Whether the task may succeed in a process that may use more memory."""
        return self.problem.startswith(MemoryError.__name__)


def run_task(trial: Trial, task: Task) -> Result:
    """Run a task in this process; the result of a fit that raises an Exception has its reason."""
    started = time.perf_counter()
    fold, problem = None, ""
    try:
        fold = trial.fold(task.candidate, task.fold)
    except Exception as error:  # noqa: BLE001 - estimators raise what they like, for example at a column without a value
        problem = f"{type(error).__name__}: {error}"[:300]
    return Result(task, fold, problem, time.perf_counter() - started)


class Engine(Protocol):
    """Runs tasks. A result comes once for each task that is not dropped, also if a process that ran it was killed."""

    delay: float
    """Seconds in which it could not work, because workers had to be found; no budget counts them."""

    @property
    def jobs(self) -> int:
        """Maximum number of tasks that run at the same time."""

    def add(self, tasks: Iterable[Task]) -> None:
        """Queue tasks, which start in this order."""

    def wait(self, seconds: float) -> list[Result]:
        """The results since the last call, at least one if it comes within so many seconds (infinite: however long it takes).

        Empty: the time is over, or there is no task.
        """

    def drop(self, tasks: Collection[Task]) -> dict[Task, float]:
        """Forget tasks: queued ones do not start, and running ones end. Returns the seconds that the latter have run."""

    def close(self) -> None:
        """Drop all tasks, and end the processes."""


class OneByOne:
    """The engine that runs one task after the other in this process."""

    jobs, delay = 1, 0.0

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._queue: deque[Task] = deque()
        self._interrupted: dict[Task, float] = {}

    def add(self, tasks: Iterable[Task]) -> None:
        """Queue tasks."""
        self._queue.extend(tasks)

    def wait(self, seconds: float) -> list[Result]:
        """Run the next task; a task that is interrupted when the time is over waits to be dropped, or to start once more."""
        if not self._queue or seconds <= 0:
            return []
        task, result, started = self._queue[0], None, time.perf_counter()
        if task.fold == 0:
            process_table.trim_memory()
        with contextlib.suppress(BudgetUsed), alarm(seconds):
            result = run_task(self._trial, task)
        if result is None:
            self._interrupted[task] = time.perf_counter() - started
            return []
        self._queue.popleft()
        self._interrupted.pop(task, None)
        return [result]

    def drop(self, tasks: Collection[Task]) -> dict[Task, float]:
        """Forget tasks; an interrupted one has run for some seconds."""
        unwanted = set(tasks)
        self._queue = deque(task for task in self._queue if task not in unwanted)
        return {task: self._interrupted.pop(task) for task in unwanted & set(self._interrupted)}

    def close(self) -> None:
        """Drop all tasks."""
        self._queue.clear()
        self._interrupted.clear()
