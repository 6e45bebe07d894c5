"""The daemon's status: `registry/status.json`, rewritten about once a second.

The loop publishes it; the HTTP workers and `retraind status` read it. Only the journal keeps history.
"""

import functools
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retraind.daemon.core import durable, process_table
from retraind.daemon.core.leader.leadership import Leadership
from retraind.daemon.core.node.messages import NodeReport

STALE_SECONDS = 10.0
"""Seconds after which a daemon without a heartbeat counts as hanging; a heartbeat comes about once a second, see
`daemon/service/heartbeat.py`.

On two cores with a load of 12 the longest gap was 4 s, because loading a library blocks all threads.
"""


@functools.cache
def boot_id() -> str:
    """The id of this boot of the machine; empty if the kernel gives none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def is_fresh(boot: str, heartbeat: float, seconds: float) -> bool:
    """Whether `heartbeat` (CLOCK_MONOTONIC of the boot `boot`) is less than `seconds` old."""
    # The clock starts again with each boot, so an old file's heartbeat may look recent, or lie in the future.
    return boot == boot_id() and 0 <= time.monotonic() - heartbeat < seconds


class Check(BaseModel):
    """A condition for the service to be healthy."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    detail: str
    """For a person: what was found and, if it is not ok, what to do."""


class Training(BaseModel):
    """The training that runs now."""

    model_config = ConfigDict(frozen=True)

    run: int
    reason: str
    stage: str
    """For example `cross-validating forest`."""
    step: int
    steps: int
    since: str
    """UTC, ISO 8601."""
    candidate: int | None = None
    """Position among `candidates` of the one being cross-validated, and among its `folds`; None in other stages."""
    candidates: int | None = None
    fold: int | None = None
    folds: int | None = None
    left: float | None = None
    """Estimated seconds until all candidates are compared, from the previous ones; None: unknown."""


class Step(BaseModel):
    """One step of the loop."""

    model_config = ConfigDict(frozen=True)

    name: str
    """A description for people: `committing batch 12`."""
    seconds: float
    """Seconds it has taken, so far or in total."""


class Status(BaseModel):
    """The daemon at one moment; times are UTC in ISO 8601."""

    model_config = ConfigDict(frozen=True)

    pid: int
    folder: int = 0
    """Inode of the folder it was published in, so that a copied home does not trust it (0: written by an earlier
    retraind)."""
    state: Literal["starting", "standby", "ready", "draining"]
    heartbeat: float
    """CLOCK_MONOTONIC in seconds, the same clock for every process of the machine."""
    boot: str = Field(default_factory=boot_id)
    at: str
    started_at: str
    checks: dict[str, Check] = Field(default_factory=dict)
    backlog_files: int = 0
    backlog_bytes: int = 0
    not_taken: dict[str, str] = Field(default_factory=dict)
    """Entries of the inbox that are not files, and what they are; some of them if there are many."""
    waits: dict[str, str] = Field(default_factory=dict)
    """Files of the inbox that are not finished, or can't be removed, and why; the oldest ones if there are many."""
    rows: int = 0
    """Rows in the dataset."""
    rows_pending: int = 0
    """Rows accepted since the last training."""
    threshold_rows: int = 0
    next_schedule: str | None = None
    cooled_at: str | None = None
    """When the pause after the newest training ends (UTC): no training starts before, except on request."""
    training: Training | None = None
    free_bytes: int = 0
    projection_batches: int | None = None
    """Committed batches that are not yet in the remotes of git and DVC; None without remotes."""
    projection_seconds: float | None = None
    """Age of the oldest of them."""
    leadership: Leadership | None = None
    """Who leads this home: with the state `standby` another machine; None without `leader.standby`."""
    nodes: tuple[NodeReport, ...] = ()
    """The last reports of this leader's serving nodes."""
    step: Step | None = None
    """The step that the loop is in, if it takes longer than a heartbeat."""
    longest_step: Step | None = None
    """The longest step that ended within the last hour."""

    @property
    def alive(self) -> bool:
        """Whether that daemon still runs, is not stopped, and its loop makes progress."""
        return is_fresh(self.boot, self.heartbeat, STALE_SECONDS) and process_table.working(self.pid)


def utcnow() -> str:
    """Now, for people: UTC in ISO 8601 with milliseconds and a Z."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@functools.lru_cache(maxsize=1)  # every prediction needs the time, most of which stays the same for thousands of them
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def read(path: Path) -> Status | None:
    """The last status; None if no daemon has published one, or it can't be read."""
    try:
        status = Status.model_validate_json(path.read_bytes())
        return status if status.folder in (0, path.parent.stat().st_ino) else None
    except (OSError, ValidationError):
        return None


def publish(path: Path, status: Status) -> None:
    """Replace the status atomically; raises OSError when the disk is full."""
    here = status.model_copy(update={"folder": path.parent.stat().st_ino})
    durable.publish(path, here.model_dump_json().encode())
