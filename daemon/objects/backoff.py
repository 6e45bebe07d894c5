"""Backoff: the pause after a failure of the object store, and the sentence that the health shows meanwhile."""

from retraind.daemon.core import logs

log = logs.Logger()

FIRST_SECONDS, MOST_SECONDS = 1.0, 30.0
"""The first pause in seconds, and the longest; each further pause is twice as long."""


class Backoff:
    """Pauses after failures; used by one thread. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._pause, self._until = 0.0, 0.0
        self.problem: str | None = None
        """The last failure, and when it is tried again; None after a success."""

    def ready(self, now: float) -> bool:
        """Whether a try is allowed."""
        return now >= self._until

    def failed(self, error: Exception, consequence: str, now: float) -> None:
        """Note a failed try; `consequence` is a sentence for people on the work that waits."""
        self._pause = min(max(FIRST_SECONDS, 2 * self._pause), MOST_SECONDS)
        self._until = now + self._pause
        if self.problem is None:
            log.error("unavailable", reason=str(error))
        self.problem = f"{error} {consequence} It is tried again in {self._pause:g} s."

    def succeeded(self) -> None:
        """Note a successful try."""
        if self.problem is not None:
            log.info("available_again")
        self._pause, self._until, self.problem = 0.0, 0.0, None
