"""Limits: what a training may take of the machine, so that predictions don't suffer.

Set in the forked child, before it does anything; its wall time is watched by the daemon.
"""

import os
import resource
from pathlib import Path

SHARE = 2 / 3
"""Of the machine's memory, or of what the container may have."""

CGROUP = Path("/sys/fs/cgroup/memory.max")


def memory(configured: int) -> int:
    """How much memory (bytes) a training may take: `configured`, or SHARE of all there is if that is 0."""
    if configured:
        return configured
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min([machine, *_container()]) * SHARE)


def _container() -> list[int]:
    try:
        return [int(CGROUP.read_text())]
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return []


def limit_memory(bytes_: int) -> None:
    """Let this process take so much memory beyond what it has; then allocating fails, as MemoryError in Python.

    If the machine itself has no memory left, the kernel shall take this process and no other. No core is dumped.
    """
    # Not RLIMIT_AS: libraries reserve addresses by the gigabyte that they never use.
    resource.setrlimit(resource.RLIMIT_DATA, (_data() + bytes_,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Path("/proc/self/oom_score_adj").write_text("1000")


def _data() -> int:
    """What this process has by the measure of RLIMIT_DATA (bytes): private writable memory, much of it shared by fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmData:")[2].split()[0]) * 1024
