"""Limits: bounds a training's use of the machine, so that predictions don't suffer.

They are set in the forked child before it does any work; the daemon limits its wall time.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from retraind.daemon.core import niceness, process_table

SHARE = 2 / 3
"""Share of the machine's memory, or of the container's limit."""

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def memory(configured: int) -> int:
    """The memory (bytes) that a training may take: `configured`, or if that is 0, SHARE of all memory.

    All memory is the machine's, or the least limit of the control groups that this process is in: a container, a unit.
    """
    if configured:
        return configured
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min([machine, *_container()]) * SHARE)


def _container() -> Iterator[int]:
    """The limits of this process's control group and of those around it, where there are any."""
    with contextlib.suppress(OSError):  # no cgroup v2
        own = Path(OWN_CGROUP.read_text().rpartition("0::")[2].strip().lstrip("/"))
        for group in (own, *own.parents):
            with contextlib.suppress(OSError, ValueError):  # no limit here: no such file, or "max"
                yield int((CGROUPS / group / "memory.max").read_text())


def limit_memory(bytes_: int) -> None:
    """Let this process allocate this much more memory; beyond it, allocation fails with MemoryError in Python.

    If the machine itself runs out of memory, the kernel kills this process and no other. It dumps no core.
    """
    process_table.limit_memory(bytes_)
    Path("/proc/self/oom_score_adj").write_text("1000")


def yield_cores(*, several: bool) -> None:
    """Let the workers that predict run first, if the next training may keep `several` cores busy.

    The trainer has a session of its own, so for several processes that must be as nice as they are. One process leaves
    a core free, and the first model must not wait for other programs.
    """
    niceness.of_session(os.getpriority(os.PRIO_PROCESS, 0) if several else 0)
