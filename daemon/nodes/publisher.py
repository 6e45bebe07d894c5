"""The publisher: on a leader, updates the desired row when the pointer changes.

First nodes prepare a version, then all of them activate it. The row also names the version that waits for a person.
"""

import time

from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.core import logs
from retraind.daemon.core.node.messages import Desired, NodeReport, NodeState, Wish
from retraind.daemon.nodes.decisions import following
from retraind.daemon.nodes.reports import Reports
from retraind.daemon.records import challenger
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.server import node_rows

log = logs.Logger()

SETTLED_SECONDS = 10.0
"""Time after which a node that does not serve the desired version is a problem."""

ADVICE = "See the /health and log of each; the other nodes answer. One that was taken away is left out after an hour."


class Publisher:
    """Writes the desired row; used by the loop thread. `leader` is the leader's own URL."""

    def __init__(self, journal: Journal, reports: Reports, leader: str) -> None:
        self._journal, self._reports, self._leader = journal, reports, leader
        self._row: Desired | None = None
        self.epoch: int | None = None
        """The epoch of this leader; None before it has read the row."""
        self._since = 0.0
        self._challenger: tuple[int, str] | None = None
        self._asked_at = -1

    def step(self, pointer: Pointer | None, now: float) -> None:
        """Write the row if this pointer needs a change; `now` is monotonic seconds. Raises Unavailable."""
        row = self._current(now)
        following_row = following(pointer, row, self._reports.now(), now - self._since, self._held())
        if following_row is None:
            return
        self._row = None  # after a failed transaction the row is read again
        with self._journal.database.writing() as connection:
            if not node_rows.write(connection, following_row):
                return
        if (row.generation, row.state) != (following_row.generation, following_row.state):
            self._since = now
        self._row = following_row
        log.info(
            "desired",
            generation=following_row.generation,
            version=following_row.version,
            state=following_row.state,
            challenger=following_row.challenger,
        )

    def objection(self) -> str | None:
        """The reason why not all nodes serve the desired version; None if they do, or will soon."""
        row = self._row
        if row is None or row.state is Wish.PREPARE:
            return None
        behind = [report for report in self._reports.now() if not report.live or _lags(report, row)]
        settled = time.monotonic() - self._since > SETTLED_SECONDS
        return f"{'; '.join(report.sentence for report in behind)}. {ADVICE}" if behind and settled else None

    def _held(self) -> tuple[int, str] | None:
        """The version that waits for a person, and its manifest's sha256; the journal is only asked after a change."""
        if self._journal.writes != self._asked_at:
            self._asked_at = self._journal.writes
            version = self._journal.versions.named_by(challenger.WAITING)
            row = None if version is None else self._journal.versions.get(version)
            self._challenger = None if row is None else (row["version"], row["bundle"])
        return self._challenger

    def _current(self, now: float) -> Desired:
        if self._row is None:
            with self._journal.database.writing() as connection:
                row = node_rows.lead(connection, self._leader) if self.epoch is None else node_rows.read(connection)
            self.epoch = row.epoch if self.epoch is None else self.epoch
            self._row, self._since = row.model_copy(update={"epoch": self.epoch}), now
        return self._row


def _lags(report: NodeReport, row: Desired) -> bool:
    return report.generation != row.generation or report.state is not NodeState.SERVING
