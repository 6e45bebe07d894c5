"""Stop signals and wake-ups: what ends the loop's waiting, and what SIGTERM and Ctrl-C do, the first time and the second.

Imports little: it is there before anything else is imported, so that no signal is lost.

A stop passes through several places. Until a command runs, `daemon/__main__.py` ends the process. `daemon/cli/service_commands.py`
listens here as soon as a command will run the service. `daemon/service/service.py` waits for the end of the loop and closes
the parts in reverse. A worker handles its own signals in `web/server/shutdown.py`.
"""

import os
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from daemon.core import process_table


class Stopped(BaseException):
    """Raised in the main thread by the signal that ends the service, where nothing has to be finished."""


class Wake:
    """What ends the loop's waiting. Puts to a SimpleQueue only, which alone is safe inside a signal handler."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.stopping = False
        self._interruptible = False

    def __call__(self) -> None:
        """Wake the loop."""
        self.queue.put("wake")

    def listen(self) -> None:
        """Take SIGTERM and SIGINT over; in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)

    def stop(self, number: int, _frame: FrameType | None = None) -> None:
        """Signal handler: the first signal ends the loop, the second this process and its children at once."""
        if self.stopping:
            # Whatever was started: also what a call of Popen that this handler interrupts has not returned yet.
            process_table.signal_children(signal.SIGTERM)
            os._exit(128 + number)
        self.stopping = True
        self.queue.put("stop")
        if self._interruptible:
            self._interruptible = False
            raise Stopped

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """What takes long and may end anywhere: there the first signal raises Stopped, also one that has come before."""
        self._interruptible = True
        try:
            if self.stopping:
                raise Stopped
            yield
        finally:
            self._interruptible = False
