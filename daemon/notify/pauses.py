"""Pauses after failed attempts, by target: each is twice as long as the one before."""

from retraind.daemon.core import logs

log = logs.Logger()

FIRST_SECONDS, MOST_SECONDS = 2.0, 300.0


class Pauses:
    """When each target may be tried, and why the last attempt failed. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._pauses: dict[str, float] = {}
        self._until: dict[str, float] = {}
        self._problems: dict[str, str] = {}

    def ready(self, target: str, now: float) -> bool:
        """Whether an attempt is allowed."""
        return now >= self._until.get(target, 0.0)

    def ended(self, target: str, problem: str | None, now: float) -> None:
        """Note the end of an attempt; only the first failure of several in a row is logged."""
        if problem is None:
            if self._problems.pop(target, None) is not None:
                log.info("notify_works_again", target=target)
            self._pauses.pop(target, None)
            self._until.pop(target, None)
            return
        if target not in self._problems:
            log.error("notify_failed", target=target, reason=problem)
        self._pauses[target] = min(max(FIRST_SECONDS, 2 * self._pauses.get(target, 0.0)), MOST_SECONDS)
        self._until[target] = now + self._pauses[target]
        self._problems[target] = problem

    def problem(self) -> str | None:
        """A sentence on the targets that fail; None if all work."""
        if not self._problems:
            return None
        target, reason = next(iter(self._problems.items()))
        others = len(self._problems) - 1
        more = f" {others} more fail." if others else ""
        return f"{target}: {reason} It is tried again every {self._pauses[target]:g} s at the most.{more}"
