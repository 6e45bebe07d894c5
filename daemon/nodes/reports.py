"""The reports of a leader's nodes, which a thread keeps up to date for the loop."""

import os
import threading
import time
from collections.abc import Callable

from retraind.daemon.core import logs
from retraind.daemon.core.node.messages import NodeReport
from retraind.daemon.storage.server import log_rows
from retraind.daemon.storage.server.node_session import NodeSession

log = logs.Logger()

LOOK_SECONDS = 1.0
STEP_SECONDS = 0.25
"""Maximum delay until a stop is noticed."""

MARGIN_SECONDS = 0.25
"""Time that may pass between a node's look at its files and the time of its report."""

CHANNEL = "retraind_nodes"


class Reports:
    """The newest reports; calls `wake` after a node's progress. Times are monotonic seconds."""

    def __init__(self, url: str, wake: Callable[[], object]) -> None:
        self._url, self._wake = url, wake
        self._read: tuple[float, tuple[NodeReport, ...]] = (time.monotonic(), ())
        self.complete_until = float("-inf")
        """The time up to which every prediction of these nodes has been shipped, and its file is in `logs/`."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nodes", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended.set()
        self._thread.join(10)

    def now(self) -> tuple[NodeReport, ...]:
        """The reports, with their current ages."""
        read_at, reports = self._read
        passed = time.monotonic() - read_at
        return tuple(report.model_copy(update={"age": report.age + passed}) for report in reports)

    def _run(self) -> None:
        away = ""
        while not self._ended.is_set():
            try:
                self._connected()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look tries again
                if str(error) != away:
                    log.warning("nodes_unknown", reason=str(error))
                away = str(error)
                self._ended.wait(LOOK_SECONDS)

    def _connected(self) -> None:
        session = NodeSession(self._url, f"retraind nodes {os.getpid()}")
        try:
            session.listen(CHANNEL)
            while not self._ended.is_set():
                self._look(session)
                until = time.monotonic() + LOOK_SECONDS
                while not self._ended.is_set() and (left := until - time.monotonic()) > 0:
                    if session.wait(min(left, STEP_SECONDS)):
                        self._look(session)
                        self._wake()
                        break
        finally:
            session.close()

    def _look(self, session: NodeSession) -> None:
        now, reports = time.monotonic(), session.reports()
        self._read = now, reports
        if not log_rows.waiting(session):  # asked after the reports: a node ships a file before it reports that
            oldest = max((report.unshipped for report in reports), default=0.0)
            self.complete_until = max(self.complete_until, now - oldest - MARGIN_SECONDS)
