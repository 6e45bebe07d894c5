"""The publisher: on a leader, makes the desired row follow the pointer. First nodes prepare a version, then all of them activate it."""

import time

from daemon.artifacts.manifest import Pointer
from daemon.core import logs
from daemon.core.node.messages import Desired, NodeReport, NodeState, Wish
from daemon.nodes.decisions import following
from daemon.nodes.reports import Reports
from daemon.storage.journal import Journal
from daemon.storage.server import node_rows

log = logs.Logger()

SETTLED_SECONDS = 10.0
"""After this time a node that does not serve what it should is a problem."""


class Publisher:
    """Writes the desired row; used by the loop thread. `leader` is where this leader answers."""

    def __init__(self, journal: Journal, reports: Reports, leader: str) -> None:
        self._journal, self._reports, self._leader = journal, reports, leader
        self._row: Desired | None = None
        self.epoch: int | None = None
        """That of this leader; None before its first look at the row."""
        self._since = 0.0

    def step(self, pointer: Pointer | None, now: float) -> None:
        """Write the row if it is due, now that the pointer is this; `now` is monotonic seconds. Raises Unavailable."""
        row = self._current(now)
        following_row = following(pointer, row, self._reports.now(), now - self._since)
        if following_row is None:
            return
        self._row = None  # what became of a transaction that fails is read again
        with self._journal.database.writing() as connection:
            if not node_rows.write(connection, following_row):
                return
        self._row, self._since = following_row, now
        log.info(
            "desired", generation=following_row.generation, version=following_row.version, state=following_row.state
        )

    def objection(self) -> str | None:
        """Why not all nodes serve what they should; None: they do, or are about to."""
        row = self._row
        if row is None or row.state is Wish.PREPARE:
            return None
        behind = [report for report in self._reports.now() if not report.live or _lags(report, row)]
        settled = time.monotonic() - self._since > SETTLED_SECONDS
        return "; ".join(report.sentence for report in behind) if behind and settled else None

    def _current(self, now: float) -> Desired:
        if self._row is None:
            with self._journal.database.writing() as connection:
                row = node_rows.lead(connection, self._leader) if self.epoch is None else node_rows.read(connection)
            self.epoch = row.epoch if self.epoch is None else self.epoch
            self._row, self._since = row.model_copy(update={"epoch": self.epoch}), now
        return self._row


def _lags(report: NodeReport, row: Desired) -> bool:
    return report.generation != row.generation or report.state is not NodeState.SERVING
