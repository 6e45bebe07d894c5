"""The end of a process with its parent: the kernel kills it, however the parent ends."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have the kernel kill this process when the process `parent`, which has started it, ends.

    Raises SystemExit where that has happened already: the kernel would say nothing of it any more.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(f"Process {parent}, which started this one, has ended.")
