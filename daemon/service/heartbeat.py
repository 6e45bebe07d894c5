"""The heartbeat: publishes the status about once a second, unless the loop's current step has taken too long.

A hanging loop is detected by this: the heartbeat stops, `/health` reports it, and systemd's watchdog ends the process.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from retraind.daemon.core import logs, status
from retraind.daemon.core.states import CheckName
from retraind.daemon.core.status import Check, Status, Step, utcnow
from retraind.daemon.processes.systemd import notify

log = logs.Logger()

BEAT_SECONDS = 1.2
"""Seconds of the loop's silence after which the thread publishes the status."""

LOOK_SECONDS = 0.4

STEP_SECONDS = 180.0
"""Seconds after which a step of the loop counts as hanging; longer than any limits within it, such as two git commands.
"""

START_SECONDS = 900.0
"""The same for a step of the start, which may read a large dataset or let MLflow migrate its database."""

EXTENSION = 60_000_000
"""Microseconds that systemd waits for the next message during a start."""

HOUR = 3600.0


class _CurrentStep(NamedTuple):
    """The loop's step, its start, and the seconds after which it counts as hanging."""

    name: str
    since: float
    limit: float


class Heartbeat:
    """Publishes the status for the loop, and from a thread whenever the loop is silent. Times are monotonic seconds."""

    def __init__(self, path: Path, first: Status) -> None:
        self._path, self._status = path, first
        self._lock = threading.Lock()
        """Held while the status is written, so that an older status never overwrites a newer one."""
        self._spoke = 0.0
        self._doing = _CurrentStep(first.state, time.monotonic(), STEP_SECONDS)
        self._steps: deque[tuple[float, Step]] = deque()
        """Recent steps with their end times, in decreasing length, so the first is the longest."""
        self._problem = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Publish at once, then continue in a thread."""
        self.publish(self._status)
        self._thread.start()

    def stop(self) -> None:
        """Stop publishing; returns when the thread has ended."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def step(self, name: str, limit: float = STEP_SECONDS) -> Iterator[None]:
        """Treat the context's body as one step, which counts as hanging after `limit` seconds."""
        outer, self._doing = self._doing, _CurrentStep(name, time.monotonic(), limit)
        try:
            yield
        finally:
            now, ended = time.monotonic(), self._doing
            self._doing = outer._replace(since=now)
            if self._status.state != "starting":  # then it is not a step of the loop
                self._note(now, Step(name=ended.name, seconds=round(now - ended.since, 3)))

    def rename(self, name: str) -> None:
        """Give the current step a more precise name."""
        self._doing = self._doing._replace(name=name)

    def publish(self, current: Status) -> None:
        """Make this the status; raises OSError when the disk is full."""
        with self._lock:
            self._status = current
            self._say(None)

    def stand_by(self, fresh: Mapping[str, object]) -> None:
        """Publish these fields with the state `standby`; raises OSError when the disk is full."""
        with self._lock:
            self._status = self._status.model_copy(update={"state": "standby", **fresh})
            self._say(None)

    def lead(self) -> None:
        """Publish that the service starts, at the end of a standby's wait."""
        with self._lock:
            self._status = self._status.model_copy(update={"state": "starting", "leadership": None, "checks": {}})
            self._beat(None)

    def complain(self, name: CheckName, detail: str) -> None:
        """Report with every heartbeat during the start that this check fails; an empty `detail` ends that."""
        checks = {name.value: Check(ok=False, detail=detail)} if detail else {}
        with self._lock:
            self._status = self._status.model_copy(update={"checks": checks})

    def drain(self) -> None:
        """Publish that the service is stopping, until it has stopped."""
        self.rename("stopping")
        with self._lock:
            self._status = self._status.model_copy(update={"state": "draining"})
            self._beat(None)

    @property
    def alive(self) -> bool:
        """Whether the loop makes progress, as far as is known."""
        return time.monotonic() - self._doing.since < self._doing.limit

    def longest(self) -> Step | None:
        """The longest step that ended within the last hour."""
        since = time.monotonic() - HOUR
        return next((step for ended, step in tuple(self._steps) if ended >= since), None)

    def _note(self, now: float, ended: Step) -> None:
        while self._steps and self._steps[-1][1].seconds <= ended.seconds:
            self._steps.pop()
        while self._steps and self._steps[0][0] < now - HOUR:
            self._steps.popleft()
        self._steps.append((now, ended))

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            with self._lock:
                doing, now = self._doing, time.monotonic()
                if now - self._spoke >= BEAT_SECONDS and self.alive:
                    self._beat(Step(name=doing.name, seconds=round(now - doing.since, 1)))

    def _beat(self, step: Step | None) -> None:
        try:
            self._say(step)
            self._problem = ""
        except OSError as error:  # the loop gets the same error and shows it in the health
            if str(error) != self._problem:
                log.error("heartbeat_unwritten", reason=str(error))
            self._problem = str(error)

    def _say(self, step: Step | None) -> None:
        """Report to systemd and in the status that the loop makes progress."""
        self._spoke = time.monotonic()
        notify(WATCHDOG=1)
        if self._status.state == "starting":
            notify(EXTEND_TIMEOUT_USEC=EXTENSION)
        fresh = {"heartbeat": self._spoke, "at": utcnow(), "step": step, "longest_step": self.longest()}
        status.publish(self._path, self._status.model_copy(update=fresh))
