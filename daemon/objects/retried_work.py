"""RetriedWork: a thread that calls a function until nothing is left to do, with pauses after failures."""

import sqlite3
import threading
import time
from collections.abc import Callable

from retraind.daemon.core import logs
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.objects.backoff import Backoff

log = logs.Logger()

PASSING = (RetraindError, OSError, sqlite3.Error)
"""Failures of the store, a remote, a disk, or the journal that names the objects: their sentence is enough."""


AGAIN_SECONDS = 1.0
"""Interval of looks whether the pause after a failure has passed."""


class RetriedWork:
    """The thread. `work` returns after how many seconds it is called again, or None if nothing is left to do."""

    def __init__(self, name: str, work: Callable[[], float | None], consequence: str) -> None:
        """`consequence` is a sentence for people on what waits for a failed call."""
        self._name, self._work, self._consequence = name, work, consequence
        self._backoff, self._stopping = Backoff(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End after the present piece, or without it if it hangs; a killed piece is repeated after the next start."""
        self._stopping.set()
        self._thread.join(1.0)

    @property
    def stopping(self) -> bool:
        """Whether the work should end early."""
        return self._stopping.is_set()

    @property
    def problem(self) -> str | None:
        """Why it can't continue; None if it can."""
        return self._backoff.problem

    def _run(self) -> None:
        pause: float | None = 0.0
        while pause is not None and not self._stopping.wait(pause):
            pause = self._call() if self._backoff.ready(time.monotonic()) else AGAIN_SECONDS

    def _call(self) -> float | None:
        """Call the function; whatever it raises, it is called again. Returns the pause until then."""
        try:
            pause = self._work()
        except PASSING as error:
            self._backoff.failed(error, self._consequence, time.monotonic())
            return AGAIN_SECONDS
        except Exception as error:
            if self._backoff.problem is None:
                log.exception("work_failed", work=self._name)
            unexpected = RetraindError(f"{type(error).__name__}: {error}.", hint="See the log.")
            self._backoff.failed(unexpected, self._consequence, time.monotonic())
            return AGAIN_SECONDS
        self._backoff.succeeded()
        return pause
