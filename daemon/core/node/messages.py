"""Serving nodes: what their leader wants of them, and what they say of themselves.

Leader, nodes and HTTP workers share these types.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

SILENT_SECONDS = 5.0
"""A node that has not reported for this long is not waited for; one reports every second."""


class Wish(StrEnum):
    """What nodes shall do with the desired version."""

    PREPARE = "prepare"
    """Fetch, verify and load it; go on serving what is served."""
    ACTIVE = "active"
    """Serve it."""
    NONE = "none"
    """There is none: what is loaded goes on."""


class NodeState(StrEnum):
    """How far a node is with the newest generation that it knows."""

    WAITING = "waiting"
    """The leader has named none yet."""
    PREPARING = "preparing"
    PREPARED = "prepared"
    SERVING = "serving"
    FAILED = "failed"
    """It can't serve it; what it served before goes on."""


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
    """Where the leader answers, for people."""

    @property
    def target(self) -> tuple[int, str] | None:
        """Version and manifest's sha256 that are to be served; None: nothing new."""
        return None if self.version is None or self.manifest is None else (self.version, self.manifest)


class NodeReport(BaseModel):
    """What a node has said of itself."""

    model_config = ConfigDict(frozen=True)

    name: str
    generation: int
    """The newest that the node knows; 0: none."""
    state: NodeState
    version: int | None
    """What it serves."""
    problem: str = ""
    age: float = 0.0
    """Seconds since it said so, by the database's clock."""

    @property
    def live(self) -> bool:
        """Whether it is to be waited for."""
        return self.age < SILENT_SECONDS

    @property
    def sentence(self) -> str:
        """It, for people."""
        what = f"{self.name}: generation {self.generation}, {self.state}, version {self.version or '-'}, {self.age:.0f} s ago"
        return f"{what} ({self.problem})" if self.problem else what
