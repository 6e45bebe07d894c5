"""The registry's turn in a step: requests, adoption and verdicts, at once when something may have changed, else once per scan."""

from daemon.core.home import Home
from daemon.promotion.promotion import Promotion
from daemon.storage.journal import Journal


class RegistryFollower:
    """Decides when `Promotion` looks; used by the loop thread. Times are monotonic seconds."""

    def __init__(self, home: Home, journal: Journal, promotion: Promotion, scan_seconds: float) -> None:
        self._home, self._journal, self._promotion, self._scan_seconds = home, journal, promotion, scan_seconds
        self._look_at = 0.0
        self._followed: tuple[object, ...] | None = None
        self._answered, self._may_answer = False, True
        """Whether the last step has answered a request; then drops and trainings have their turn before the next one."""

    def begin_step(self) -> None:
        """A step of the loop begins."""
        self._may_answer, self._answered = not self._answered, False

    @property
    def waits(self) -> bool:
        """Whether a request may wait that this step did not answer, because the last one has answered one."""
        return not self._may_answer

    def look_soon(self) -> None:
        """There may be a new version, or another one to adopt."""
        self._look_at = 0.0

    def step(self, now: float) -> bool:
        """Answer a request, adopt, judge or watch; True: something was done."""
        if self._promotion.stored.ended:  # the version that has waited for it gets its verdict
            self.look_soon()
        answered = self._answered = self._may_answer and self._promotion.answer()
        if not answered and now < self._look_at:
            return False
        return self._look(now, answered)

    def catch_up(self, now: float) -> bool:
        """Adopt, judge or watch whatever the journal has by now; True: something was done."""
        return self._look(now, answered=False)

    def _look(self, now: float, answered: bool) -> bool:
        state = self._state()
        if not answered and state == self._followed:
            self._look_at = now + self._scan_seconds
            return False
        if self._promotion.adopt() or self._promotion.judge() or self._promotion.watch():
            self._look_at = now
            return True
        # What could not be looked at is looked at again.
        again = self._promotion.live.problem or self._promotion.stored.waits
        self._followed = None if again else state
        self._look_at = now + self._scan_seconds
        return answered

    def _state(self) -> tuple[object, ...]:
        """What changes whenever there may be something to follow: asking MLflow itself costs a hundred times as much."""
        wal = self._home.mlflow.with_name(f"{self._home.mlflow.name}-wal")
        stats = [path.stat() for path in (self._home.mlflow, wal, self._home.pointer) if path.exists()]
        return self._journal.writes, *((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)
