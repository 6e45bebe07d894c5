"""Messages of serving nodes: the desired state from their leader, and their reports.

Leader, nodes and HTTP workers share these types.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

SILENT_SECONDS = 5.0
"""The leader does not wait for a node that has not reported for this long; nodes report every second."""


class Wish(StrEnum):
    """The action of nodes for the desired version."""

    PREPARE = "prepare"
    """Fetch, verify and load it; continue to serve the current one."""
    ACTIVE = "active"
    """Serve it."""
    NONE = "none"
    """The leader has served no version yet."""


class NodeState(StrEnum):
    """The progress of a node with the newest generation that it knows."""

    WAITING = "waiting"
    """The leader has named none yet."""
    PREPARING = "preparing"
    PREPARED = "prepared"
    SERVING = "serving"
    FAILED = "failed"
    """It can't serve it, and continues to serve the earlier one."""


class Desired(BaseModel):
    """The one row that nodes follow."""

    model_config = ConfigDict(frozen=True)

    generation: int
    """Grows by one with each change of the desired version."""
    epoch: int
    """Grows by one with each start of a leader."""
    version: int | None
    manifest: str | None
    """sha256 of the manifest of the version's bundle."""
    state: Wish
    leader: str
    """The leader's URL, for people."""
    challenger: int | None = None
    """The held version, which nodes may try on live requests; it changes within a generation."""
    challenger_manifest: str | None = None

    @property
    def target(self) -> tuple[int, str] | None:
        """The version and manifest's sha256 to serve; None before the first."""
        return None if self.version is None or self.manifest is None else (self.version, self.manifest)

    @property
    def tried(self) -> tuple[int, str] | None:
        """The held version and its manifest's sha256; None if none is held."""
        if self.challenger is None or self.challenger_manifest is None:
            return None
        return self.challenger, self.challenger_manifest


class NodeReport(BaseModel):
    """The report of a node about itself."""

    model_config = ConfigDict(frozen=True)

    name: str
    generation: int
    """The newest generation that the node knows; 0: none."""
    state: NodeState
    version: int | None
    """The version that it serves."""
    problem: str = ""
    unshipped: float = 0.0
    """Age (seconds) of the oldest logged prediction that the node has not shipped; 0 if it has shipped all."""
    age: float = 0.0
    """Seconds since the report, by the database's clock."""

    @property
    def live(self) -> bool:
        """Whether the leader waits for it."""
        return self.age < SILENT_SECONDS

    @property
    def progress(self) -> str:
        """Generation, state and version, for people."""
        return f"generation {self.generation}, {self.state}, version {self.version or '-'}"

    @property
    def sentence(self) -> str:
        """The report as a sentence."""
        report = f"{self.name}: {self.progress}, {self.age:.0f} s ago"
        if not self.live:
            report = f"{self.name} has not reported for {self.age:.0f} s; last: {self.progress}"
        return f"{report} ({self.problem})" if self.problem else report
