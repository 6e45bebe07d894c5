"""The kernel's table of processes (proc(5)): which exist, in which state, and their parents; and limits of this one.

Without /proc, every process that kill(2) can reach counts as running.
"""

import contextlib
import ctypes
import math
import os
import resource
from pathlib import Path
from typing import NamedTuple

STILL = frozenset("TtZXx")
"""States of a process that can't run: stopped (SIGSTOP, a debugger) or dead."""


class Process(NamedTuple):
    """One line of the process table."""

    pid: int
    state: str
    """A letter: R runs, S and D wait, T is stopped, Z is dead and not yet reaped."""
    parent: int
    group: int


def look(pid: int) -> Process | None:
    """That process; None if there is none, or the kernel hides it."""
    try:
        # The name in brackets may contain brackets itself.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return Process(pid, fields[0].decode(), int(fields[1]), int(fields[2]))


def working(pid: int) -> bool:
    """Whether the process exists and is neither stopped nor dead."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    process = look(pid)
    return process is None or process.state not in STILL


def children(parent: int) -> list[Process]:
    """The children of a process, including dead ones that are not yet reaped."""
    processes = (look(int(path.name)) for path in Path("/proc").glob("[0-9]*"))
    return [one for one in processes if one is not None and one.parent == parent]


def descendants(ancestor: int) -> list[Process]:
    """The children of a process, their children and so on, from one look at the table."""
    looked = (look(int(path.name)) for path in Path("/proc").glob("[0-9]*"))
    processes = [process for process in looked if process is not None]
    family, parents = {ancestor}, [ancestor]
    while parents:
        parents = [process.pid for process in processes if process.parent in parents and process.pid not in family]
        family.update(parents)
    return [process for process in processes if process.pid in family - {ancestor}]


def signal_children(number: int) -> None:
    """Send a signal to all children of this process, and to the process groups that they lead."""
    for child in children(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if child.group == child.pid:
                os.killpg(child.pid, number)
            else:
                os.kill(child.pid, number)


def reap(pid: int) -> None:
    """Collect the exit status of a dead child that no code waits for."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def trim_memory() -> None:
    """Return free memory to the system if the C library can (musl has no malloc_trim).

    glibc keeps the memory of a discarded model and of the bytes that it was loaded from: 20 MB for a 1.4 MB forest.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def limit_memory(bytes_: int) -> None:
    """Let this process allocate this much more memory; beyond it, allocation fails with MemoryError in Python. It dumps no core."""
    # Not RLIMIT_AS, because libraries reserve gigabytes of addresses that they never use.
    resource.setrlimit(resource.RLIMIT_DATA, (allocated() + bytes_,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def memory_left() -> float:
    """The memory (bytes) that this process may still allocate by its limit; infinite without one."""
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return math.inf if limit == resource.RLIM_INFINITY else max(0, limit - allocated())


def share_memory_limit(parts: int) -> None:
    """Let this process allocate one of so many equal parts of what its limit leaves; nothing changes without a limit."""
    left = memory_left()
    if left != math.inf:
        resource.setrlimit(resource.RLIMIT_DATA, (allocated() + int(left / parts),) * 2)


def allocated() -> int:
    """The memory of this process as RLIMIT_DATA counts it (bytes): private writable memory, much of it shared by fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmData:")[2].split()[0]) * 1024
