"""Facts: the data behind the answers of the dashboard, read at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from retraind.daemon.artifacts.manifest import Manifest, Pointer
from retraind.daemon.core.drift_report import DriftCheck
from retraind.daemon.core.journal_rows import BatchRow, RunRow, SwapRow
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import VersionState
from retraind.daemon.core.status import Check, Status
from retraind.daemon.records.drops.decided import ExaminedDrop
from retraind.daemon.records.drops.held import HeldDrop
from retraind.daemon.records.search.acknowledged import Acknowledged
from retraind.daemon.records.search.open_faults import OpenFaults
from retraind.daemon.records.versions import JudgedVersion
from retraind.daemon.schema.scores import Agreement, Score
from retraind.web.dashboard.inbox_files import Backlog
from retraind.web.metrics.totals import Summary


@dataclass(frozen=True)
class Facts:
    """The data behind the answers; lists are newest first."""

    now: datetime
    status: Status | None
    metrics: Summary
    settings: Settings | None
    pointer: Pointer | None
    manifest: Manifest | None
    problem: str
    """Why the pointer or its bundle can't be trusted; empty if they can."""
    versions: Sequence[JudgedVersion]
    drops: Sequence[ExaminedDrop]
    batches: Sequence[BatchRow]
    runs: Sequence[RunRow]
    swaps: Sequence[SwapRow]
    confidences: Sequence[float]
    """Confidences of the champion's last predictions; none for regression."""
    live: Score | None
    """The champion's score on late labels (see `retraind.daemon.records.live_score`); None before the first."""
    drift: DriftCheck
    """The newest check for drift (see `retraind.web.dashboard.drift`)."""
    counts: Mapping[str, Mapping[str, int]]
    checks: Mapping[str, Check]
    """Every check of GET /health, by name."""
    held_drops: Sequence[HeldDrop]
    """The drops that have waited longest for a decision."""
    held_total: int
    """The number of all waiting drops."""
    acknowledged: Acknowledged
    """The past faults among these that a person has seen to: they no longer ask for attention."""
    faults: OpenFaults
    """Past faults that no person has seen to."""
    backlog: Backlog
    """The files of the inbox, also while no daemon counts them."""
    agreements: Mapping[int, Agreement]
    """Agreement of held versions with the champion (see `retraind.daemon.records.lineage`), by number."""

    @property
    def alive(self) -> bool:
        """Whether a daemon runs."""
        return self.status is not None and self.status.alive

    @property
    def number(self) -> int | None:
        """The version that the pointer names."""
        return self.pointer.version if self.pointer else None

    @property
    def champion(self) -> JudgedVersion | None:
        """The journal's row of the version that the pointer names."""
        return next((row for row in self.versions if row["version"] == self.number), None)

    @property
    def held(self) -> JudgedVersion | None:
        """The newest version that waits to be promoted."""
        return next((row for row in self.newer if row["state"] == VersionState.HELD), None)

    @property
    def newer(self) -> list[JudgedVersion]:
        """Versions judged since the champion, newest first."""
        return [row for row in self.versions if self.number is not None and row["version"] > self.number]
