"""The budget of wall time for candidates, and the alarm that ends a fit which would overrun it."""

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

RING_SECONDS = 0.5
"""How often a candidate is told that the budget is used, until it listens."""


@dataclass
class Budget:
    """Seconds of wall time for all candidates together; 0 is no limit."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left, infinite without a limit."""
        return self.started + self.seconds - time.monotonic() if self.seconds else math.inf


class BudgetUsed(BaseException):
    """Raised in the middle of a fit when the budget is used; no Exception, so that no estimator swallows it."""


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise BudgetUsed within the block after so many seconds: also in the middle of a fit, between two of its steps."""
    if seconds == math.inf:
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise BudgetUsed

    before = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            # Again and again: an exception that is raised in a callback from C or in a destructor is lost.
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6), RING_SECONDS)
            yield
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
    finally:  # also if it has rung on the way out
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
