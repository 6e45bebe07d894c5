"""A fit ahead: the winner fitted on all rows in another process, while this one fits and examines the judged model."""

import os
import pickle
import signal
from multiprocessing.connection import Pipe
from typing import Any

from retraind.daemon import model
from retraind.daemon.core import logs, process_table
from retraind.daemon.processes import parent
from retraind.daemon.training.data.revision import Data

log = logs.Logger()

MOST_BYTES = 1 << 29
"""Memory of a fitted model up to which it is sent: both processes would need as much again for a moment."""


class FitAhead:
    """A process that fits one estimator and sends it. No other thread may run when it is made."""

    def __init__(self, estimator: Any, data: Data) -> None:
        """Fork; raises OSError."""
        self._estimator = estimator
        self._pipe, other = Pipe(duplex=False)
        forking, self._pid = os.getpid(), os.fork()
        if self._pid == 0:
            try:
                parent.end_with(forking)
                process_table.share_memory_limit(2)
                if content := _fitted(estimator, data):
                    other.send_bytes(content)
            except BaseException:  # whatever a fit raises: the other process fits again, and reports it
                log.exception("fit_ahead_failed")
            finally:
                os._exit(0)  # without the destructors of the process that it is a copy of
        other.close()

    def is_of(self, estimator: Any) -> bool:
        """Whether it fits the same: early stopping of the judged model may have changed parameters since."""
        return _parameters(estimator) == _parameters(self._estimator)

    def result(self) -> Any | None:
        """Wait for the fitted estimator; None if there is none."""
        try:
            return pickle.loads(self._pipe.recv_bytes())  # noqa: S301 - from a fork of this process
        except (EOFError, OSError, pickle.UnpicklingError):
            return None

    def close(self) -> None:
        """End the process."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._pipe.close()


def _fitted(estimator: Any, data: Data) -> bytes:
    """The pickled estimator, fitted on all rows; empty if it is too large."""
    before = process_table.allocated()
    fitted = model.fit(estimator, *data.whole)
    return pickle.dumps(fitted) if process_table.allocated() - before <= MOST_BYTES else b""


def _parameters(estimator: Any) -> list[str]:
    return [repr(step) + repr(step.get_params(deep=False)) for step in model.steps(estimator)]
