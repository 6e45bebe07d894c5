"""The training's side of the engine: sends tasks to its dispatcher, and goes on without it when Dask is lost."""

import math
import pickle
import time
from collections.abc import Callable, Collection, Iterable
from importlib.util import find_spec
from multiprocessing.connection import Connection

from retraind.daemon.core import logs
from retraind.daemon.training.engines.dask import installed
from retraind.daemon.training.engines.dask.helper import Helper, dispatch
from retraind.daemon.training.engines.dask.messages import (
    Add,
    Close,
    Drop,
    Dropped,
    FromDispatcher,
    Lost,
    Refused,
    Returned,
    ToDispatcher,
    Workers,
)
from retraind.daemon.training.engines.dask.place import Place
from retraind.daemon.training.engines.dask.recipe import Recipe
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.tasks import Engine, OneByOne, Result, Task

log = logs.Logger()

READY_SECONDS = 45.0
"""Seconds until the dispatcher must have said whether there are workers: it gives up sooner."""

SILENT_SECONDS = 30.0
"""Seconds without a word of the dispatcher after which the scheduler counts as lost: it hangs, or its machine is cut off."""

CLOSE_SECONDS = 5.0
"""Seconds that the dispatcher gets to end what runs."""

NOT_INSTALLED = "the package distributed is not installed. Install the extra: pip install 'retraind[dask]'."

Report = Callable[[str, str], None]
"""Takes a sentence on where candidates are compared, and what is wrong with that (empty: nothing)."""


class DaskEngine:
    """Runs tasks on a scheduler's workers; when that is no longer possible, by the engine that `local` opens.

    So the loss of a worker or of the scheduler costs time, and no score or candidate.
    """

    def __init__(self, trial: Trial, place: Place, recipe: Recipe, local: Callable[[], Engine], report: Report) -> None:
        self._trial, self._place, self._local, self._report = trial, place, local, report
        self._began = time.monotonic()
        self.delay = 0.0
        """Seconds in which no task could be run, which the budget does not count."""
        self._open: dict[int, Task] = {}
        self._count = 0
        self._results: list[Result] = []
        self._here = OneByOne(trial)
        self._own: dict[Task, None] = {}
        """The tasks for this process, when all others have ended: no worker can take them, or they have ended several."""
        self._instead: Engine | None = None
        self._workers = Workers(0, 0, {}, frozenset())
        self._returned = False
        self._answer: Dropped | None = None
        self._helper: Helper | None = None
        if find_spec("distributed") is None:
            self._fall_back(NOT_INSTALLED)
            return
        parts = place, recipe.home, recipe.dumps(), trial.settings.timeout_seconds
        self._helper = Helper(lambda pipe: dispatch(pipe, *parts))
        self._await_workers()

    @property
    def jobs(self) -> int:
        """Maximum number of tasks that run at the same time."""
        return self._instead.jobs if self._instead else max(1, self._workers.threads)

    def add(self, tasks: Iterable[Task]) -> None:
        """Queue tasks."""
        if self._instead:
            self._instead.add(tasks)
            return
        numbered = {}
        for task in tasks:
            self._count += 1
            self._open[self._count] = task
            try:
                numbered[self._count] = pickle.dumps(task)
            except (
                pickle.PicklingError,
                AttributeError,
                TypeError,
                ValueError,
            ):  # an estimator that is known here only
                self._keep(self._open.pop(self._count))
        self._send(Add(numbered))

    def wait(self, seconds: float) -> list[Result]:
        """The results since the last call."""
        deadline = time.monotonic() + seconds - self.delay  # which may grow meanwhile
        while not self._instead and not self._results:
            left = max(0.0, deadline + self.delay - time.monotonic())
            if not self._open:
                return self._run_own(left)
            if not self._receive_within(left):
                return []
        if self._results or not self._instead:
            results, self._results = self._results, []
            return results
        return self._instead.wait(max(0.0, deadline + self.delay - time.monotonic()))

    def drop(self, tasks: Collection[Task]) -> dict[Task, float]:
        """Forget tasks; the fits of running ones end if their workers are needed, and all when the engine is closed."""
        unwanted, ran = set(tasks), self._here.drop(tasks)
        self._own = {task: None for task in self._own if task not in unwanted}
        if unwanted and not self._instead:
            numbers = {number: task for number, task in self._open.items() if task in unwanted}
            self._open = {number: task for number, task in self._open.items() if number not in numbers}
            ran |= {numbers[number]: seconds for number, seconds in self._dropped(frozenset(numbers)).items()}
            self._results = [result for result in self._results if result.task not in unwanted]
        return ran | (self._instead.drop(tasks) if self._instead else {})

    def close(self) -> None:
        """Drop all tasks, and end the dispatcher."""
        self._here.close()
        if self._instead:
            self._instead.close()
        else:
            self._send(Close())
            self._end(CLOSE_SECONDS)

    @property
    def _pipe(self) -> "Connection[ToDispatcher, FromDispatcher]":
        assert self._helper is not None
        return self._helper.pipe

    def _keep(self, task: Task) -> None:
        """Have a task run in this process."""
        self._own[task] = None
        self._here.add([task])

    def _run_own(self, seconds: float) -> list[Result]:
        """Run the next task of this process; one that is interrupted when the time is over goes on at the next call."""
        results = self._here.wait(seconds)
        for result in results:
            del self._own[result.task]
        return results

    def _dropped(self, numbers: frozenset[int]) -> dict[int, float]:
        """Have tasks dropped; returns the seconds that the running ones have run."""
        self._send(Drop(numbers))
        self._answer = None
        while not self._instead and self._answer is None:
            self._receive_within(math.inf)
        return {} if self._answer is None else dict(self._answer.seconds)

    def _receive_within(self, seconds: float) -> bool:
        """Take the next message, or go on without Dask after a long silence; False if so many seconds have passed first."""
        silence = min(seconds, SILENT_SECONDS)
        if self._pipe.poll(silence):
            self._receive()
        elif silence < seconds:
            self._fall_back(f"{self._place.address} has not answered for {SILENT_SECONDS:g} s.")
        else:
            return False
        return True

    def _await_workers(self) -> None:
        """Wait until there is a worker, or it is certain that there is none."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._instead and not self._workers.threads:
            if self._pipe.poll(max(0.0, deadline - time.monotonic())):
                self._receive()
            else:
                self._fall_back(f"{self._place.address} has not answered for {READY_SECONDS:g} s.")

    def _receive(self) -> None:
        """Take the next message of the dispatcher, or its end."""
        try:
            message = self._pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self._fall_back(f"the process that talks to {self._place.address} has ended; the log says why.")
            return
        match message:
            case Returned():
                self._take(message)
            case Refused(number) if number in self._open:
                task = self._open.pop(number)
                log.warning("task_runs_here", candidate=task.candidate.name, reason="It has ended several workers.")
                self._keep(task)
            case Workers():
                self._see(message)
            case Dropped():
                self._answer = message
            case Lost(reason):
                self._fall_back(reason)

    def _take(self, message: Returned) -> None:
        task = self._open.pop(message.number, None)
        if task is None:
            return
        result = Result(task, *message.outcome)
        if not self._returned:  # until now workers have read the rows, which the budget does not count here either
            self._returned, self.delay = True, max(0.0, time.monotonic() - self._began - result.seconds)
        if result.lacked_memory:
            self._keep(task)
        else:
            self._results.append(result)

    def _see(self, workers: Workers) -> None:
        """Report the workers if others are used, or refused, than before."""
        before, self._workers = self._workers, workers
        if workers.threads and (workers.workers, workers.unfit) != (before.workers, before.unfit):
            self._report(_sentence(workers, self._place.address), _problem(workers))

    def _fall_back(self, reason: str) -> None:
        """Go on with the local engine; it gets as much time as if it had been chosen at first."""
        self._instead, self.delay = self._local(), time.monotonic() - self._began
        self._here.close()
        self._instead.add([*self._open.values(), *self._own])
        self._open.clear()
        self._own.clear()
        self._end(0.0)
        log.warning("dask_lost", scheduler=self._place.address, reason=reason)
        self._report("Candidates are compared on this machine.", f"Dask is not used: {reason}")

    def _send(self, message: ToDispatcher) -> None:
        try:
            self._pipe.send(message)
        except OSError:
            self._fall_back(f"the process that talks to {self._place.address} has ended; the log says why.")

    def _end(self, seconds: float) -> None:
        """Have the dispatcher end within so many seconds."""
        if self._helper is not None:
            self._helper.end(seconds)


def _sentence(workers: Workers, address: str) -> str:
    """Where candidates are compared, for people."""
    others = ", ".join(sorted(workers.processors - {installed.processor()}))
    note = f" Some compute as {others}: their scores may differ from this machine's in the last digits."
    return f"Candidates are compared on {_count(workers.workers)} of {address}.{note if others else ''}"


def _problem(workers: Workers) -> str:
    """Why some workers are not used; empty if all are."""
    if not workers.unfit:
        return ""
    reasons = "; ".join(f"{address}: {reason}" for address, reason in sorted(workers.unfit.items()))
    count = len(workers.unfit)
    return f"{_count(count)} {'is' if count == 1 else 'are'} not used. {reasons}"[:1000]


def _count(workers: int) -> str:
    return f"{workers} worker{'' if workers == 1 else 's'}"
