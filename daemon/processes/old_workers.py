"""OldWorkers: the HTTP workers of a killed daemon, which continue to answer until the new ones do."""

import signal
from pathlib import Path

from retraind.daemon.core.home import Home
from retraind.daemon.processes import worker_files


class OldWorkers:
    """The workers that already run when a daemon starts, identified by their locks."""

    def __init__(self, home: Home) -> None:
        self._locks: list[Path] = worker_files.held(home.workers.glob("*.lock"))
        self.answering = bool(self._locks)
        """Whether any of them has not been asked to drain yet."""

    @property
    def pids(self) -> list[int]:
        """Their processes."""
        return [worker_files.pid(lock) for lock in self._locks]

    def any_serves(self) -> bool:
        """Whether a running one has a model."""
        self._locks = worker_files.held(self._locks)
        return any(map(worker_files.had_model, self._locks))

    def drain(self) -> None:
        """Ask them to accept no new requests and to end after their current ones."""
        worker_files.send_signal(self._locks, signal.SIGUSR1)
        self.answering = False

    def end(self) -> None:
        """End them with the service, even while they drain."""
        worker_files.send_signal(self._locks, signal.SIGTERM)
