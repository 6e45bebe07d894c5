"""A fork of the process that runs the tests, for what is to be killed: it spares the second in which Python starts and imports."""

import gc
import os
import posix
import sys
import threading
import traceback
from collections.abc import Callable


def start(work: Callable[[], object]) -> int:
    """Do `work` in a forked process, in which nothing of the test goes on; returns its pid, which `end` must wait for.

    Not while this process has a database of SQLite open that the other uses: its locks don't survive a fork.
    """
    if pid := os.fork():
        return pid
    code = 1
    try:
        lighten()
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - the test that has forked must not go on here
        traceback.print_exc()
    finally:
        posix._exit(code)  # os._exit would first save the coverage of the whole process that has forked


def lighten() -> None:
    """Spare a fork what is of no use in it: traces, since its coverage is not saved, and looking for garbage of the tests."""
    sys.settrace(None)
    threading.settrace(None)
    gc.freeze()


def end(pid: int) -> int:
    """Wait for a forked process; its exit code, which is 1 if its work has raised, or the negative number of a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
