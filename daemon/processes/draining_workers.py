"""DrainingWorkers: HTTP workers that were asked to end and still run."""

import signal

from retraind.daemon.core.settings import Server
from retraind.daemon.processes.child import Child

OVERDUE_SECONDS = 60.0
"""Seconds after all its time limits at which a replaced worker is killed if it has not ended by itself."""


class DrainingWorkers:
    """The workers that drain, each with the time (monotonic seconds) at which it is killed."""

    def __init__(self, server: Server) -> None:
        self._seconds = server.drain_seconds + server.body_seconds + server.request_seconds + OVERDUE_SECONDS
        self._draining: list[tuple[Child, float]] = []

    def __len__(self) -> int:
        return len(self._draining)

    def add(self, worker: Child, number: int, now: float) -> None:
        """Ask a worker to end by a signal.

        After SIGUSR1 it may take as long as a request, see `web/server/shutdown.py`.
        """
        worker.terminate(number)
        self._draining.append((worker, now + self._seconds))

    def look(self, now: float) -> None:
        """Forget ended workers and kill overdue ones."""
        self._draining = [(worker, until) for worker, until in self._draining if worker.alive]
        for worker, until in self._draining:
            if now >= until:
                worker.terminate(signal.SIGKILL)

    def workers(self) -> list[Child]:
        """All of them."""
        return [worker for worker, _ in self._draining]
