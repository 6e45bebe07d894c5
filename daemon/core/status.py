"""What the daemon says of itself: `registry/status.json`, rewritten about once a second.

The loop publishes it, the HTTP workers and `retraind status` read it. It is never history; the journal is.
"""

import functools
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.core import durable, process_table

STALE_SECONDS = 10.0
"""A heartbeat older than this is that of a daemon that hangs; one comes about once a second, see `daemon/service/heartbeat.py`.

On two cores with a load of 12 the longest silence was 4 s: loading a library holds all threads up.
"""


@functools.cache
def boot_id() -> str:
    """What tells this boot of the machine from all others; empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def is_fresh(boot: str, heartbeat: float, seconds: float) -> bool:
    """Whether `heartbeat` (CLOCK_MONOTONIC of the boot `boot`) is less than `seconds` old."""
    # The clock starts again with each boot, so an old file's heartbeat may look recent, or lie in the future.
    return boot == boot_id() and 0 <= time.monotonic() - heartbeat < seconds


class Check(BaseModel):
    """One thing that has to be true for the service to be healthy."""

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
    """The how many-th of `candidates` is cross-validated, and the how many-th of its `folds`; None in other stages."""
    candidates: int | None = None
    fold: int | None = None
    folds: int | None = None
    left: float | None = None
    """Seconds that comparing the candidates will still take, judged by those before; None: unknown."""


class Step(BaseModel):
    """One step of the loop."""

    model_config = ConfigDict(frozen=True)

    name: str
    """What it does, for a person: `committing batch 12`."""
    seconds: float
    """How long it has taken, so far or altogether."""


class Status(BaseModel):
    """The daemon at one moment; times are UTC in ISO 8601."""

    model_config = ConfigDict(frozen=True)

    pid: int
    folder: int = 0
    """Inode of the folder that it was published in: in a copy of the home it says nothing (0: of an earlier retraind)."""
    state: Literal["starting", "ready", "draining"]
    heartbeat: float
    """CLOCK_MONOTONIC in seconds, the same clock for every process of the machine."""
    boot: str = Field(default_factory=boot_id)
    at: str
    started_at: str
    checks: dict[str, Check] = Field(default_factory=dict)
    backlog_files: int = 0
    backlog_bytes: int = 0
    not_taken: dict[str, str] = Field(default_factory=dict)
    """What lies in the inbox and is no file, and what it is: some of it, where there is much."""
    rows: int = 0
    """Rows in the dataset."""
    rows_pending: int = 0
    """Rows accepted since the last training."""
    threshold_rows: int = 0
    next_schedule: str | None = None
    training: Training | None = None
    free_bytes: int = 0
    projection_batches: int | None = None
    """Committed batches that the remotes of git and DVC lack; None: there are no remotes."""
    projection_seconds: float | None = None
    """Age of the oldest of them."""
    step: Step | None = None
    """The step that the loop is in, if it takes longer than a heartbeat."""
    longest_step: Step | None = None
    """The longest step that ended within the last hour."""

    @property
    def alive(self) -> bool:
        """Whether that daemon still runs, is not stopped, and its loop turns."""
        return is_fresh(self.boot, self.heartbeat, STALE_SECONDS) and process_table.working(self.pid)


def utcnow() -> str:
    """Now, for people: UTC in ISO 8601 with milliseconds and a Z."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@functools.lru_cache(maxsize=1)  # a prediction needs the time, and most of it stays the same for thousands of them
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def read(path: Path) -> Status | None:
    """The last status; None if no daemon has published one, or what stands there is none or can't be read."""
    try:
        status = Status.model_validate_json(path.read_bytes())
        return status if status.folder in (0, path.parent.stat().st_ino) else None
    except (OSError, ValidationError):
        return None


def publish(path: Path, status: Status) -> None:
    """Replace the status atomically; raises OSError when the disk is full."""
    here = status.model_copy(update={"folder": path.parent.stat().st_ino})
    durable.publish(path, here.model_dump_json().encode())
