"""A fit ahead: the winner fitted on all rows and exported in another process, while this one does so with the judged model."""

import os
import pickle
import shutil
import signal
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any, NamedTuple

from retraind.daemon import model
from retraind.daemon.core import logs, process_table
from retraind.daemon.model import Calibrated
from retraind.daemon.processes import parent
from retraind.daemon.schema.costs import Costs
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.export import export
from retraind.daemon.training.export.export import Exported

log = logs.Logger()

MOST_BYTES = 1 << 29
"""Memory of a fitted model up to which it is sent: both processes would need as much again for a moment."""


class Plan(NamedTuple):
    """What is fitted ahead: an estimator, the slope of its calibration (None: none), and the folder of its files."""

    estimator: Any
    slope: float | None
    folder: Path
    costs: Costs | None


class Made(NamedTuple):
    """A fitted estimator, without its calibration, and its files in a folder: those of a model with this `slope`."""

    fitted: Any
    slope: float | None
    folder: Path
    exported: Exported

    def moved(self, folder: Path) -> Exported:
        """The files' entries for a manifest, once they are in another folder."""
        for name in self.exported["files"]:
            (self.folder / name).rename(folder / name)
        return self.exported


class FitAhead:
    """A process that fits and exports one estimator. No other thread may run when it is made."""

    def __init__(self, plan: Plan, data: Data) -> None:
        """Fork; raises OSError."""
        self._plan = plan
        plan.folder.mkdir()
        self._pipe, other = Pipe(duplex=False)
        forking, self._pid = os.getpid(), os.fork()
        if self._pid == 0:
            try:
                parent.end_with(forking)
                process_table.share_memory_limit(2)
                if content := _made(plan, data):
                    other.send_bytes(content)
            except BaseException:  # whatever a fit raises: the other process fits again, and reports it
                log.exception("fit_ahead_failed")
            finally:
                os._exit(0)  # without the destructors of the process that it is a copy of
        other.close()

    def is_of(self, estimator: Any) -> bool:
        """Whether it fits the same: early stopping of the judged model may have changed parameters since."""
        return _parameters(estimator) == _parameters(self._plan.estimator)

    def result(self) -> Made | None:
        """Wait for the fitted estimator and its files; None if there is none."""
        try:
            fitted, exported = pickle.loads(self._pipe.recv_bytes())  # noqa: S301 - from a fork of this process
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        return Made(fitted, self._plan.slope, self._plan.folder, exported)

    def close(self) -> None:
        """End the process, and remove what files are left of it."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._pipe.close()
        shutil.rmtree(self._plan.folder, ignore_errors=True)


def _made(plan: Plan, data: Data) -> bytes:
    """The pickled estimator, fitted on all rows, and the entries of its files; empty if it is too large."""
    before = process_table.allocated()
    fitted = model.fit(plan.estimator, *data.whole)
    if process_table.allocated() - before > MOST_BYTES:
        return b""
    served = fitted if plan.slope is None else Calibrated(fitted, plan.slope)
    return pickle.dumps((fitted, export.write(served, data.matrix, data.schema, plan.folder, plan.costs)))


def _parameters(estimator: Any) -> list[str]:
    return [repr(step) + repr(step.get_params(deep=False)) for step in model.steps(estimator)]
