"""Ties a process to its parent: the kernel kills it however the parent ends."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent process `parent` ends.

    Raises SystemExit if it has already ended, because the kernel would send no signal for that.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(f"Process {parent}, which started this one, has ended.")
