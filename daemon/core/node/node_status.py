"""Node status: the report of a serving node's agent to the HTTP workers of its home, `registry/node.json`."""

import socket
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retraind.daemon.core import durable
from retraind.daemon.core.node.messages import NodeReport
from retraind.daemon.core.settings.node import Node
from retraind.daemon.core.status import Check, boot_id

STALE_SECONDS = 10.0
"""Time without reading the desired row after which a node's health reports it."""


class NodeStatus(BaseModel):
    """The report of a node's agent to its workers."""

    model_config = ConfigDict(frozen=True)

    report: NodeReport
    leader: str = ""
    served: int = 0
    """The generation that this home serves."""
    seen: float = 0.0
    """When the desired row was read last, in seconds of CLOCK_MONOTONIC of the boot `boot`."""
    boot: str = Field(default_factory=boot_id)

    @property
    def age(self) -> float:
        """Seconds since the desired row was read; infinite if that is not known."""
        seconds = time.monotonic() - self.seen
        return seconds if self.boot == boot_id() and self.seen and seconds >= 0 else float("inf")


def check(status: NodeStatus | None) -> Check:
    """The check that a node serves its leader's desired version."""
    if status is None:
        return Check(ok=False, detail="The node's agent has not reported yet.")
    report = status.report
    progress = (
        f"{report.name} serves generation {status.served}; the newest it knows is {report.generation}, {report.state}"
    )
    if report.problem or status.age > STALE_SECONDS:
        age = "at an unknown time" if status.age == float("inf") else f"{status.age:.0f} s ago"
        why = f"{report.problem} " if report.problem else ""
        return Check(ok=False, detail=f"{why}{progress}, as of {age}. Predictions continue.")
    return Check(ok=True, detail=f"{progress}.")


def name(settings: Node) -> str:
    """The name of a node."""
    return settings.name or socket.gethostname()


def read(path: Path) -> NodeStatus | None:
    """The last status of a node's agent; None if there is none that can be read."""
    try:
        return NodeStatus.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def publish(path: Path, status: NodeStatus) -> None:
    """Replace the status atomically; raises OSError."""
    durable.publish(path, status.model_dump_json().encode())
