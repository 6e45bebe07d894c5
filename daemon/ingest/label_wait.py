"""Late labels that come before the log of the serving node that made the prediction: their drop waits in the inbox."""

import time
from collections.abc import Callable

from retraind.daemon.schema.score_names import counted

MOST_SECONDS = 7200.0
"""Maximum wait for a node; its log files are closed after `predictions.rotate_seconds`, by default an hour."""

AGAIN_SECONDS = 5.0
"""Interval of reading such a drop again."""


class LabelWait:
    """Decides which drops wait; used by the loop thread. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.complete_until: Callable[[], float] = time.monotonic
        """The time up to which the history has the predictions of all nodes; without nodes always now."""
        self._since: dict[str, float] = {}

    def waits(self, drop: str, unknown: int) -> bool:
        """Whether a drop (its sha256) with so many unknown predictions must wait."""
        now = time.monotonic()
        since = self._since.setdefault(drop, now)
        if unknown and now - since < MOST_SECONDS and self.complete_until() < since:
            return True
        del self._since[drop]
        return False

    def sentence(self) -> str:
        """The drops that wait, for people; empty if there are none."""
        # One that was removed from the inbox is not read again.
        self._since = {drop: at for drop, at in self._since.items() if time.monotonic() - at < MOST_SECONDS}
        count = len(self._since)
        return (
            f"{counted(count, 'file')} of late labels {'waits' if count == 1 else 'wait'} for predictions of nodes."
            if count
            else ""
        )
