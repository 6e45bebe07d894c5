"""The sender: a thread for each target, so that a slow one delays neither the loop nor another target."""

import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

from retraind.daemon.notify.notice import Notice
from retraind.daemon.notify.targets.target import Target, Undelivered

CLOSE_SECONDS = 2.0
"""Time (seconds) that sending gets to finish when the service stops."""


class Result(NamedTuple):
    """The end of an attempt."""

    target: str
    delivery: int | None
    problem: str | None
    """Why the target has not accepted the notice; None if it has."""


Job = tuple[Target, int | None, Notice]


class Sender:
    """Sends one notice at a time to each target; used by the loop thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._jobs: dict[str, queue.SimpleQueue[Job | None]] = {}
        self._threads: list[threading.Thread] = []
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self.busy: set[str] = set()
        """Names of targets that a notice is being sent to."""

    def send(self, target: Target, delivery: int | None, notice: Notice) -> None:
        """Begin to send a notice to a target that is not busy."""
        if target.name not in self._jobs:
            self._jobs[target.name] = queue.SimpleQueue()
            jobs = self._jobs[target.name]
            thread = threading.Thread(target=self._run, args=(jobs,), name=f"notify-{target.name}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self.busy.add(target.name)
        self._jobs[target.name].put((target, delivery, notice))

    def results(self) -> list[Result]:
        """The attempts that have ended since the last call."""
        ended: list[Result] = []
        while not self._results.empty():
            ended.append(self._results.get())
        self.busy -= {result.target for result in ended}
        return ended

    def close(self) -> None:
        """End the threads; a notice that is still being sent gets a moment."""
        for jobs in self._jobs.values():
            jobs.put(None)
        for thread in self._threads:
            thread.join(CLOSE_SECONDS / len(self._threads))

    def _run(self, jobs: "queue.SimpleQueue[Job | None]") -> None:
        while (job := jobs.get()) is not None:
            target, delivery, notice = job
            self._results.put(Result(target.name, delivery, attempt(target, notice)))
            self._wake()


def attempt(target: Target, notice: Notice) -> str | None:
    """Send a notice; returns why the target has not accepted it, None if it has."""
    try:
        target.send(notice)
    except Undelivered as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever a library raises, the thread continues, and the notice is tried again
        # Without its text, which may hold a part of an address.
        return f"It failed with {type(error).__name__}."
    return None
