"""The engine that uses several cores: a pool of processes, forked from the training's process."""

import math
import time
from collections import deque
from collections.abc import Collection, Iterable
from multiprocessing import connection

from retraind.daemon.core import logs
from retraind.daemon.training.engines.worker import Worker
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.tasks import OneByOne, Result, Task

log = logs.Logger()

GROWTH_SECONDS = 0.1
"""Seconds between forks after the second one. A fork takes some 20 ms, so short trainings get few of them."""

PATIENCE_SECONDS = 0.1
"""Seconds that a dropped task may take to end, because the process would have to be forked once more after a kill."""


class LocalPool:
    """At most `jobs` processes, which start as tasks wait.

    A task whose process ends without a result runs in another one. If that ends, too, or the task lacks memory in its
    share, it runs in the training's process when all others have ended. So a pool changes nothing but time.
    """

    delay = 0.0

    def __init__(self, trial: Trial, jobs: int, alone_seconds: float = 0.0) -> None:
        """Run tasks in this process first, for so many seconds: short trainings need no other."""
        self._trial, self.jobs, self._most = trial, jobs, jobs
        self._queue: deque[Task] = deque()
        self._workers: list[Worker] = []
        self._lost: set[Task] = set()
        self._alone = OneByOne(trial)
        self._alone_seconds = alone_seconds
        self._forked_at = -math.inf

    def add(self, tasks: Iterable[Task]) -> None:
        """Queue tasks."""
        self._queue.extend(tasks)

    def wait(self, seconds: float) -> list[Result]:
        """The results since the last call."""
        deadline = time.monotonic() + seconds
        if self._alone_seconds > 0 and self._queue:
            return self._run_alone(seconds)
        while True:
            self._start()
            busy = [worker for worker in self._workers if worker.task is not None]
            left = max(0.0, deadline - time.monotonic())
            if not busy:
                return self._run_alone(left)
            pause = GROWTH_SECONDS if self._queue and len(self._workers) < self._most else math.inf
            pipes = [worker.pipe for worker in busy]
            ready = connection.wait(pipes, None if min(left, pause) == math.inf else min(left, pause))
            if results := [result for one in busy if one.pipe in ready and (result := self._receive(one))]:
                return results
            if not ready and left <= pause:
                return []

    def drop(self, tasks: Collection[Task]) -> dict[Task, float]:
        """Forget tasks; returns the seconds that each running one has run."""
        unwanted = set(tasks)
        ran = self._alone.drop(tasks)
        if not unwanted:
            return ran
        self._queue = deque(task for task in self._queue if task not in unwanted)
        running = [worker for worker in self._workers if worker.task in unwanted]
        ran |= {worker.task: worker.seconds for worker in running if worker.task}
        self._end([worker for worker in running if not _ends_soon(worker)])
        return ran

    def close(self) -> None:
        """Drop all tasks, and end the processes."""
        self._queue.clear()
        self._alone.close()
        self._end(list(self._workers))

    def _run_alone(self, seconds: float) -> list[Result]:
        """Run the next task in this process: one that no other can run, or a queued one."""
        began = time.monotonic()
        if self._queue:
            self._alone.add([self._queue.popleft()])
        results = self._alone.wait(seconds)
        self._alone_seconds -= time.monotonic() - began
        return results

    def _start(self) -> None:
        """Start tasks while processes are idle, or may be forked."""
        while self._queue and (worker := self._idle()):
            task = self._queue.popleft()
            try:
                worker.begin(task)
            except OSError:  # it was killed while it was idle
                self._end([worker])
                self._queue.appendleft(task)
            except Exception:  # noqa: BLE001 - whatever pickle raises for an estimator that is known here only
                self._alone.add([task])

    def _idle(self) -> Worker | None:
        """A process without a task, forked if there may be more of them."""
        for worker in self._workers:
            if worker.task is None:
                return worker
        now = time.monotonic()
        if len(self._workers) >= self._most or (len(self._workers) > 1 and now - self._forked_at < GROWTH_SECONDS):
            return None
        try:
            self._workers.append(Worker(self._trial, self.jobs))
        except OSError as error:
            self._most = len(self._workers)
            log.warning("training_process_not_started", reason=str(error), processes=self._most)
            return None
        self._forked_at = now
        return self._workers[-1]

    def _receive(self, worker: Worker) -> Result | None:
        """The result of a process that has sent one or ended; None if its task must run again."""
        task, result = worker.task, worker.result()
        assert task is not None
        if result is None:
            self._lose(worker, task)
        elif result.lacked_memory:
            self._alone.add([task])
            return None
        return result

    def _lose(self, worker: Worker, task: Task) -> None:
        """Run the task of a process that has ended in another one, and after the second time here, as with one job."""
        code = self._end([worker])[0]
        log.warning("training_process_ended", code=code, candidate=task.candidate.name, reason="Its task runs again.")
        if task in self._lost:
            self._alone.add([task])
        else:
            self._lost.add(task)
            self._queue.appendleft(task)

    def _end(self, workers: list[Worker]) -> list[int]:
        self._workers = [worker for worker in self._workers if worker not in workers]
        return [worker.end() for worker in workers]


def _ends_soon(worker: Worker) -> bool:
    """Whether the task ends within the time that a fork is worth; its result is thrown away."""
    return worker.seconds < PATIENCE_SECONDS and worker.pipe.poll(PATIENCE_SECONDS) and worker.result() is not None
