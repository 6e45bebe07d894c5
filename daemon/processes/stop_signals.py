"""Stop signals and wake-ups: they end the loop's waiting; SIGTERM and Ctrl-C act differently the first and second time.

It imports little, because it must run before all other imports so that no signal is lost. A stop passes through several
modules. Until a command runs, `daemon/__main__.py` ends the process. `daemon/cli/service_commands.py` listens here as
soon as a command will run the service. `daemon/service/service.py` waits for the end of the loop and closes the parts
in reverse. A worker handles its own signals in `web/server/shutdown.py`.
"""

import fcntl
import os
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from retraind.daemon.core import process_table


class Stopped(BaseException):
    """Raised in the main thread by the signal that ends the service, where no work must be finished."""


class Wake:
    """Ends the loop's waiting. It only puts to a SimpleQueue, the only queue that is safe inside a signal handler."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.stopping = False
        self._interruptible = False

    def __call__(self) -> None:
        """Wake the loop."""
        self.queue.put("wake")

    def listen(self) -> None:
        """Install the handlers of SIGTERM and SIGINT; in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)

    def watch(self, folder: Path) -> None:
        """Also wake the loop after each rename within a folder, until the process ends; in the main thread.

        The kernel reports them by SIGIO (dnotify). Without that the loop notices the change at its next tick.
        """
        signal.signal(signal.SIGIO, lambda _number, _frame: self())
        with suppress(OSError):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.fcntl(fd, fcntl.F_NOTIFY, fcntl.DN_RENAME | fcntl.DN_MULTISHOT)  # it ends when `fd` is closed

    def stop(self, number: int, _frame: FrameType | None = None) -> None:
        """Signal handler: the first signal ends the loop, the second this process and its children at once."""
        if self.stopping:
            # All children, including one that an interrupted call of Popen has not returned yet.
            process_table.signal_children(signal.SIGTERM)
            os._exit(128 + number)
        self.stopping = True
        self.queue.put("stop")
        if self._interruptible:
            self._interruptible = False
            raise Stopped

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A context for long work that may end anywhere: in it the first signal raises Stopped, even if it came before."""
        self._interruptible = True
        try:
            if self.stopping:
                raise Stopped
            yield
        finally:
            self._interruptible = False
