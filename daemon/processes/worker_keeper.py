"""The keeper: supervises the HTTP workers in a thread, so that none waits for a long step of the loop or for imports.

A worker that ended restarts at once, and the workers of a killed daemon drain as soon as the new ones answer.
"""

import threading
import time
from collections.abc import Callable, Collection

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.processes.workers import Workers

LOOK_SECONDS = 0.25


class WorkerKeeper:
    """Owns the workers: only its thread manages them; other threads send requests and read the state."""

    def __init__(self, home: Home, settings: Settings, slots: int, wake: Callable[[], None]) -> None:
        self._due = threading.Event()
        self.workers = Workers(home, settings, slots, self._due.set)
        self._wake = wake
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._lock = threading.Lock()
        self._notices: list[str] = []
        self._error: Exception | None = None

    def start(self) -> None:
        """Start the workers, then supervise them in a thread; raises OSError if none can start."""
        self._notices += self.workers.supervise(time.monotonic())
        self._thread.start()

    def take_notices(self) -> list[str]:
        """A sentence for each worker that ended or started since the last call; raises the error of the last check."""
        with self._lock:
            sentences, self._notices = self._notices, []
            error = self._error
        if error is not None:
            raise error
        return sentences

    @property
    def alive(self) -> int:
        """How many workers run."""
        return self.workers.alive

    @property
    def complaints(self) -> Collection[str]:
        """Why workers do not serve the version that they should."""
        return tuple(self.workers.complaints.values())

    def renew(self) -> None:
        """Replace every worker, one after the other; safe in a signal handler."""
        self.workers.renew()

    def close(self) -> None:
        """Let requests in flight finish and end the workers."""
        self._ended = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()
        self.workers.close()

    def _run(self) -> None:
        while not self._ended:
            self._look()
            self._due.wait(LOOK_SECONDS)
            self._due.clear()

    def _look(self) -> None:
        try:
            sentences, error = self.workers.supervise(time.monotonic()), None
        except Exception as failed:  # noqa: BLE001 - whatever it is, the loop tells it, and the next look tries again
            sentences, error = [], failed
        with self._lock:
            self._notices += sentences
            self._error = error
        if sentences:
            self._wake()
