"""The dispatcher's process, a fork of the training: Dask has threads, and a training must have one only."""

import gc
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe

from retraind.daemon.core import logs
from retraind.daemon.training.engines.dask.messages import FromDispatcher, Lost, ToDispatcher
from retraind.daemon.training.engines.dask.place import Place

log = logs.Logger()

LOOK_SECONDS = 0.02
"""Seconds between two looks whether the process has ended."""


class Helper:
    """A running dispatcher, and the pipe to it. No other thread may run when it is made."""

    def __init__(self, serve: "Callable[[Connection[FromDispatcher, ToDispatcher]], None]") -> None:
        self.pipe: Connection[ToDispatcher, FromDispatcher]
        self.pipe, other = Pipe()
        gc.freeze()  # objects that the fork's garbage collector visits would be copied into it
        self._pid: int | None = os.fork()
        if self._pid == 0:
            try:
                # Not killed with the training: it sees that the pipe has closed, and ends what runs on the workers.
                os.setsid()
                _close_all_but(other.fileno())
                serve(other)
            except BaseException:  # whatever it is, the training sees the end of the pipe, and goes on without
                log.exception("dispatcher_failed")
            finally:
                os._exit(0)  # without the destructors of the process that it is a copy of
        other.close()

    def end(self, seconds: float) -> None:
        """Wait so many seconds for the process to end, then kill it."""
        self.pipe.close()
        if self._pid is None:
            return
        deadline = time.monotonic() + seconds
        while os.waitpid(self._pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                break
            time.sleep(LOOK_SECONDS)
        self._pid = None


def _close_all_but(kept: int) -> None:
    """Close the files of the training; the daemon must see the end of its messages, for example."""
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


def dispatch(
    pipe: "Connection[FromDispatcher, ToDispatcher]", place: Place, name: str, recipe: bytes, limit: float
) -> None:
    """Serve a training in the forked process, until Dask can't be used any more."""
    from retraind.daemon.training.engines.dask.client import Cluster, Unreachable
    from retraind.daemon.training.engines.dask.dispatcher import Dispatcher

    try:
        Dispatcher(pipe, lambda seconds: Cluster(place, name, seconds), recipe, limit).serve()
    except Unreachable as error:
        pipe.send(Lost(str(error)))
