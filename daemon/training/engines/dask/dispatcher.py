"""The process between a training and the scheduler: gives each task to a worker that is fit for it and free.

Not the scheduler's own queue, so that it is known which worker runs which task, and unfit workers get none.
"""

import os
import pickle
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection

from retraind.daemon.core import logs
from retraind.daemon.training.engines.dask.client import Cluster, Ended, News, Unreachable
from retraind.daemon.training.engines.dask.crew import Crew
from retraind.daemon.training.engines.dask.messages import (
    Add,
    Beat,
    Close,
    Drop,
    Dropped,
    FromDispatcher,
    Refused,
    Returned,
    ToDispatcher,
)

log = logs.Logger()

TICK_SECONDS = 0.25
"""Seconds between two looks at the list of workers."""

CONNECT_SECONDS = 10.0
"""Seconds for a scheduler to answer."""

RETURN_SECONDS = 10.0
"""Seconds for a scheduler to come back after it was lost: a supervisor restarts it meanwhile."""

WORKER_SECONDS = 20.0
"""Seconds that a scheduler may be without a fit worker: a nanny or a supervisor starts another one meanwhile."""

LEAVE_SECONDS = 3.0
"""Seconds in which the fits of a training that is over must have ended."""

BEAT_SECONDS = 1.0
"""Seconds between two beats, which tell the training that the scheduler answers."""

MOST_LOSSES = 3
"""Number of workers that a task may lose before it runs in the training's own process, where its end is explained."""

PATIENCE_SECONDS = 3.0
"""Seconds that a dropped task may go on if its worker is needed: another worker takes two to start, and reads the rows again."""


@dataclass
class Running:
    """A task on a worker since a moment (monotonic); `dropped`: the moment from which its result is not needed."""

    address: str
    since: float
    dropped: float | None = None


class Dispatcher:
    """Serves one training through a pipe until that is closed."""

    def __init__(
        self,
        pipe: "Connection[FromDispatcher, ToDispatcher]",
        connect: Callable[[float], Cluster],
        recipe: bytes,
        limit: float,
    ) -> None:
        self._pipe, self._connect, self._recipe, self._limit = pipe, connect, recipe, limit
        self._cluster = connect(CONNECT_SECONDS)
        self._crew = Crew(self._cluster)
        self._tasks: dict[int, bytes] = {}
        """All tasks without a result."""
        self._queue: deque[int] = deque()
        self._running: dict[int, Running] = {}
        self._losses = Counter[int]()
        self._told: FromDispatcher | None = None
        self._beat_at = 0.0

    def serve(self) -> None:
        """Work until the training closes the pipe, or ends; raises Unreachable if it must go on without Dask."""
        try:
            while self._step():
                pass
        except (EOFError, BrokenPipeError, ConnectionResetError):
            log.warning("training_gone", reason="Its tasks end.")
        finally:
            self._leave()

    def _step(self) -> bool:
        """Wait for something to happen, and act on it; False when the training needs no more results."""
        cluster = self._cluster
        if cluster.signal in connection.wait([self._pipe, cluster.signal], TICK_SECONDS):
            os.read(cluster.signal, 4096)
        while not cluster.news.empty():
            self._hear(cluster.news.get())
        while self._pipe.poll():
            message: ToDispatcher = self._pipe.recv()
            if isinstance(message, Close):
                return False
            self._obey(message)
        if not cluster.connected:
            self._reconnect()
        self._look()
        self._assign()
        return True

    def _obey(self, message: Add | Drop) -> None:
        if isinstance(message, Add):
            self._tasks |= message.tasks
            self._queue.extend(message.tasks)
            return
        now, seconds = time.monotonic(), {}
        for number in message.numbers:
            self._tasks.pop(number, None)
            running = self._running.get(number)
            if running is not None and running.dropped is None:
                running.dropped, seconds[number] = now, now - running.since
        self._queue = deque(number for number in self._queue if number in self._tasks)
        self._pipe.send(Dropped(seconds))

    def _hear(self, news: News) -> None:
        """Take how a task has ended, or what a worker says of itself."""
        if not isinstance(news, Ended):
            self._crew.hear(*news)
            return
        running = self._running.pop(news.number, None)
        if running is None or news.number not in self._tasks:
            return
        if news.answer is None:
            self._lose(news.number, running.address, news.problem)
            return
        reason, outcome = pickle.loads(news.answer)  # noqa: S301 - from our own code on a worker
        if reason:
            self._crew.refuse(running.address, reason)
            self._queue.appendleft(news.number)
        else:
            del self._tasks[news.number]
            self._pipe.send(Returned(news.number, outcome))

    def _lose(self, number: int, address: str, problem: str) -> None:
        """Queue a task whose worker has gone once more, unless it seems to be what ends them."""
        self._losses[number] += 1
        log.warning("task_lost", worker=address, reason=problem, times=self._losses[number])
        if self._losses[number] < MOST_LOSSES:
            self._queue.appendleft(number)
        else:
            del self._tasks[number]
            self._pipe.send(Refused(number))

    def _look(self) -> None:
        """See which workers have come and gone; raises Unreachable if there is none for too long."""
        crew = self._crew
        crew.look()
        self._beat()
        for number, running in [*self._running.items()]:
            if not crew.has(running.address):
                self._cluster.forget(number)
                del self._running[number]
                if number in self._tasks:
                    self._lose(number, running.address, "The worker has gone.")
        if crew.message != self._told:
            self._told = crew.message
            self._pipe.send(self._told)
        if crew.hopeless or (crew.without_since and time.monotonic() - crew.without_since > WORKER_SECONDS):
            raise Unreachable(_without_workers(self._cluster.address, crew.unfit))

    def _beat(self) -> None:
        """Tell the training now and then that the scheduler has answered: one that hangs would answer nothing, and close nothing."""
        if time.monotonic() - self._beat_at >= BEAT_SECONDS:
            self._beat_at = time.monotonic()
            self._pipe.send(Beat())

    def _assign(self) -> None:
        """Give queued tasks to free workers, and free those whose tasks were dropped."""
        busy = Counter(running.address for running in self._running.values())
        while self._queue and (address := self._crew.free(busy)):
            number = self._queue.popleft()
            self._running[number] = Running(address, time.monotonic())
            busy[address] += 1
            self._cluster.submit(number, address, self._recipe, self._tasks[number], self._limit)
        if self._queue:
            self._cluster.kill(self._outdated(time.monotonic() - PATIENCE_SECONDS))

    def _outdated(self, before: float) -> set[str]:
        """Workers that run only tasks that were dropped before a moment (monotonic)."""
        needed = {
            running.address for running in self._running.values() if running.dropped is None or running.dropped > before
        }
        return {running.address for running in self._running.values()} - needed

    def _reconnect(self) -> None:
        """Connect again; what ran is queued once more. Raises Unreachable if the scheduler does not come back."""
        log.warning("scheduler_lost", reason=f"It gets {RETURN_SECONDS:g} s to come back.")
        self._cluster.close()
        self._cluster = self._connect(RETURN_SECONDS)
        self._crew, self._told = Crew(self._cluster), None
        self._queue.extendleft(sorted((number for number in self._running if number in self._tasks), reverse=True))
        self._running.clear()

    def _leave(self) -> None:
        """End what runs, and have the workers free their memory."""
        running = {each.address for each in self._running.values()}
        self._cluster.free(self._crew.addresses - running)
        deadline = time.monotonic() + LEAVE_SECONDS
        while running and self._cluster.connected and time.monotonic() < deadline:
            self._cluster.kill(running)
            time.sleep(LEAVE_SECONDS / 20)
            running &= self._cluster.workers().keys()
        self._cluster.close()


def _without_workers(scheduler: str, unfit: dict[str, str]) -> str:
    if not unfit:
        return f"{scheduler} has no worker."
    address, reason = next(iter(unfit.items()))
    rest = f" ({len(unfit)} workers are refused.)" if len(unfit) > 1 else ""
    return f"no worker of {scheduler} can be used. {address}: {reason}{rest}"
