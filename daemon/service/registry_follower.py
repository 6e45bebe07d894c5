"""The registry's turn in a step: requests, adoption and verdicts.

At once after a possible change, otherwise once per scan.
"""

from retraind.daemon.core.home import Home
from retraind.daemon.promotion.promotion import Promotion
from retraind.daemon.storage.journal import Journal


class RegistryFollower:
    """Decides when `Promotion` runs; used by the loop thread. Times are monotonic seconds."""

    def __init__(self, home: Home, journal: Journal, promotion: Promotion, scan_seconds: float) -> None:
        self._home, self._journal, self._promotion, self._scan_seconds = home, journal, promotion, scan_seconds
        self._mlflow = promotion.models.database
        self._look_at = 0.0
        self._followed: tuple[object, ...] | None = None
        self._answered, self._may_answer = False, True
        """Whether the last step answered a request; then drops and trainings come before the next request."""

    def begin_step(self) -> None:
        """Begin a step of the loop."""
        self._may_answer, self._answered = not self._answered, False

    @property
    def waits(self) -> bool:
        """Whether a request may wait that this step skipped because the last step answered one."""
        return not self._may_answer

    def look_soon(self) -> None:
        """Check soon, because there may be a new version, or another one to adopt."""
        self._look_at = 0.0

    def step(self, now: float) -> bool:
        """Answer a request, adopt, judge or watch; True if something was done."""
        # The version that has waited for its bundle gets its verdict; or another program has moved an alias.
        if self._promotion.stored.ended or self._mlflow.signalled():
            self.look_soon()
        answered = self._answered = self._may_answer and self._promotion.answer()
        if not answered and now < self._look_at:
            return False
        return self._look(now, answered)

    def catch_up(self, now: float) -> bool:
        """Adopt, judge or watch by the present journal; True if something was done."""
        return self._look(now, answered=False)

    def _look(self, now: float, answered: bool) -> bool:
        state = self._state()
        if not answered and state == self._followed:
            self._look_at = now + self._scan_seconds
            return False
        if self._promotion.adopt() or self._promotion.judge() or self._promotion.watch():
            self._look_at = now
            return True
        # After a failure it checks again.
        again = self._promotion.live.problem or self._promotion.stored.waits
        self._followed = None if again else state
        self._look_at = now + self._scan_seconds
        return answered

    def _state(self) -> tuple[object, ...]:
        """A value that changes whenever there may be work; a query of MLflow's database costs a hundred times as much."""
        pointer = self._home.pointer.stat() if self._home.pointer.exists() else None
        served = pointer and (pointer.st_ino, pointer.st_mtime_ns, pointer.st_size)
        return self._journal.writes, self._mlflow.stamp(), served
