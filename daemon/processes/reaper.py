"""The reaper: PID 1 of a container inherits orphans, such as a training of a killed trainer, and must reap dead ones.

Outside containers the system's init process does that.
"""

import os

from retraind.daemon.core import process_table

GRACE_SECONDS = 30.0
"""Seconds after which a dead process has no waiting parent, since parents wait for their children much sooner."""


class Orphans:
    """Dead children without a waiting parent; used by the loop thread."""

    def __init__(self) -> None:
        self._dead: dict[int, float] = {}
        """When (monotonic seconds) each was first seen dead."""

    def reap(self, now: float) -> None:
        """As PID 1, reap children that have been dead for GRACE_SECONDS; `now` is monotonic seconds."""
        if os.getpid() != 1:
            return
        dead = [child.pid for child in process_table.children(1) if child.state in "ZX"]
        self._dead = {pid: self._dead.get(pid, now) for pid in dead}
        for pid, since in self._dead.items():
            if now - since >= GRACE_SECONDS:
                process_table.reap(pid)
