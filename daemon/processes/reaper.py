"""The reaper: the first process of a container inherits orphans, such as a training whose trainer was killed, and reaps dead ones.

Outside containers the system's own first process does that.
"""

import os

from daemon.core import process_table

GRACE_SECONDS = 30.0
"""A process is waited for by its parent much sooner; one that is dead for so long has none."""


class Orphans:
    """Dead children without a waiting parent; used by the loop thread."""

    def __init__(self) -> None:
        self._dead: dict[int, float] = {}
        """Since when (monotonic seconds) each is seen dead."""

    def reap(self, now: float) -> None:
        """Look, as PID 1, and take the last word of those that are dead for GRACE_SECONDS; `now` is monotonic seconds."""
        if os.getpid() != 1:
            return
        dead = [child.pid for child in process_table.children(1) if child.state in "ZX"]
        self._dead = {pid: self._dead.get(pid, now) for pid in dead}
        for pid, since in self._dead.items():
            if now - since >= GRACE_SECONDS:
                process_table.reap(pid)
