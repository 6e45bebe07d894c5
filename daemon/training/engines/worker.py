"""A process of the pool: a fork of the training's process that runs the tasks which come through a pipe.

It shares the rows with the process that it was forked from, because neither writes to them.
"""

import gc
import os
import pickle
import signal
import time
from multiprocessing.connection import Connection, Pipe

from retraind.daemon.core import logs, process_table
from retraind.daemon.processes import parent
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.tasks import Result, Task, run_task

log = logs.Logger()


class Worker:
    """A forked process, and the task that it runs. No other thread may run when it is made."""

    def __init__(self, trial: Trial, memory_share: int) -> None:
        """Fork; the process may allocate the `memory_share`-th part of the memory that this one still may."""
        self.pipe, other = Pipe()
        gc.freeze()  # objects that the fork's garbage collector visits would be copied into it
        forking, self._pid = os.getpid(), os.fork()
        if self._pid == 0:
            try:
                parent.end_with(forking)
                process_table.share_memory_limit(memory_share)
                _work(trial, other)
            finally:
                os._exit(0)  # without the destructors of the process that it is a copy of
        other.close()
        self.task: Task | None = None
        self._began = 0.0

    def begin(self, task: Task) -> None:
        """Start a task; raises OSError if the process has ended, and what pickle raises if the task can't be sent."""
        content = pickle.dumps(task)
        self.pipe.send_bytes(content)
        self.task, self._began = task, time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since its task began."""
        return time.monotonic() - self._began

    def result(self) -> Result | None:
        """Wait for the result of its task; None if the process has ended before."""
        try:
            _, fold, problem, seconds = self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        task, self.task = self.task, None
        assert task is not None
        # With the task that it was given: a candidate that comes back from a pipe is a copy, and unequal.
        return Result(task, fold, problem, seconds)

    def end(self) -> int:
        """Kill the process; returns the exit code that it had before, or the negative number of the signal."""
        os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        self.pipe.close()
        return os.waitstatus_to_exitcode(status)


def _work(trial: Trial, pipe: "Connection[object, object]") -> None:
    """Run tasks until the pipe is closed."""
    try:
        while True:
            task: Task = pipe.recv()  # type: ignore[assignment]
            process_table.trim_memory()
            pipe.send(run_task(trial, task))
    except EOFError:
        pass
    except BaseException:  # no memory for the result, say; the other process runs the task again
        log.exception("training_process_failed")
