"""Niceness of processes that work beside those that predict."""

import contextlib
import os
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")


def yield_cores(nice: int) -> None:
    """Be nicer by `nice`, as a process and, if this one leads a session, as a session."""
    os.nice(nice)
    of_session(os.getpriority(os.PRIO_PROCESS, 0))


def of_session(niceness: int) -> None:
    """Set the niceness of the session that this process leads; nothing if it leads none.

    Linux compares niceness only within a session if no cgroup distributes the processor: each session is a group with
    the same share (sched(7), autogroups). So where a session shall yield, the group must be as nice as its processes.
    """
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # the kernel has no such groups, or /proc is read-only
            AUTOGROUP.write_text(str(niceness))
