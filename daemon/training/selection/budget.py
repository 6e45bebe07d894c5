"""The wall-time budget for candidates, and the alarm that ends a fit beyond it."""

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

RING_SECONDS = 0.5
"""Seconds between repeated alarms after the budget is used up."""


@dataclass
class Budget:
    """Seconds of wall time for all candidates together; 0 means no limit."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Remaining seconds, infinite without a limit."""
        return self.started + self.seconds - time.monotonic() if self.seconds else math.inf


class BudgetUsed(BaseException):
    """Raised in the middle of a fit when the budget is used up.

    It is not an Exception, so that no estimator catches it.
    """


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise BudgetUsed within the block after so many seconds, even in the middle of a fit, between two of its steps."""
    if seconds == math.inf:
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise BudgetUsed

    before = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            # Repeatedly, because an exception raised in a callback from C or in a destructor is lost.
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6), RING_SECONDS)
            yield
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
    finally:  # even if the alarm fires while leaving
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
