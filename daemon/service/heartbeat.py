"""The heartbeat: the status is published about once a second, whatever the loop does, unless its step has taken too long.

A loop that hangs for good is still seen as hanging: then the heartbeat stops, `/health` says so, and systemd's
watchdog ends the process.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from daemon.core import logs, status
from daemon.core.states import CheckName
from daemon.core.status import Check, Status, Step, utcnow
from daemon.processes.systemd import notify

log = logs.Logger()

BEAT_SECONDS = 1.2
"""The thread speaks when the loop has been silent for so long."""

LOOK_SECONDS = 0.4

STEP_SECONDS = 180.0
"""A step of the loop that takes longer hangs. It outlasts whatever has a limit of its own in it, such as two commands of git."""

START_SECONDS = 900.0
"""The same for a step of the start: a large dataset is read, or MLflow migrates its database."""

EXTENSION = 60_000_000
"""Microseconds that systemd waits for the next word of a start that goes on."""

HOUR = 3600.0


class _CurrentStep(NamedTuple):
    """What the loop does since when, and after how many seconds it hangs."""

    name: str
    since: float
    limit: float


class Heartbeat:
    """Publishes the status: when the loop does, and in a thread whenever the loop is silent. Times are monotonic seconds."""

    def __init__(self, path: Path, first: Status) -> None:
        self._path, self._status = path, first
        self._lock = threading.Lock()
        """Held while the status is written, so that an older one is never the last."""
        self._spoke = 0.0
        self._doing = _CurrentStep(first.state, time.monotonic(), STEP_SECONDS)
        self._steps: deque[tuple[float, Step]] = deque()
        """Steps with the time of their end: each one shorter than those before it, so the first is the longest."""
        self._problem = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Speak at once, then go on in a thread."""
        self.publish(self._status)
        self._thread.start()

    def stop(self) -> None:
        """Fall silent; returns when the thread has ended."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def step(self, name: str, limit: float = STEP_SECONDS) -> Iterator[None]:
        """What happens inside is one step, which hangs if it takes longer than `limit` seconds."""
        outer, self._doing = self._doing, _CurrentStep(name, time.monotonic(), limit)
        try:
            yield
        finally:
            now, ended = time.monotonic(), self._doing
            self._doing = outer._replace(since=now)
            if self._status.state != "starting":  # then it is no step of the loop
                self._note(now, Step(name=ended.name, seconds=round(now - ended.since, 3)))

    def rename(self, name: str) -> None:
        """Say closer what the step under way does."""
        self._doing = self._doing._replace(name=name)

    def publish(self, current: Status) -> None:
        """Make this the status; raises OSError when the disk is full."""
        with self._lock:
            self._status = current
            self._say(None)

    def complain(self, name: CheckName, detail: str) -> None:
        """Say with every beat of the start that this check fails; an empty `detail` takes it back."""
        checks = {name.value: Check(ok=False, detail=detail)} if detail else {}
        with self._lock:
            self._status = self._status.model_copy(update={"checks": checks})

    def drain(self) -> None:
        """Say that the service is about to end, as long as that takes."""
        self.rename("stopping")
        with self._lock:
            self._status = self._status.model_copy(update={"state": "draining"})
            self._beat(None)

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
                if now - self._spoke >= BEAT_SECONDS and now - doing.since < doing.limit:
                    self._beat(Step(name=doing.name, seconds=round(now - doing.since, 1)))

    def _beat(self, step: Step | None) -> None:
        try:
            self._say(step)
            self._problem = ""
        except OSError as error:  # the loop meets the same and puts it into the health
            if str(error) != self._problem:
                log.error("heartbeat_unwritten", reason=str(error))
            self._problem = str(error)

    def _say(self, step: Step | None) -> None:
        """Tell systemd and all who read the status that the loop turns."""
        self._spoke = time.monotonic()
        notify(WATCHDOG=1)
        if self._status.state == "starting":
            notify(EXTEND_TIMEOUT_USEC=EXTENSION)
        fresh = {"heartbeat": self._spoke, "at": utcnow(), "step": step, "longest_step": self.longest()}
        status.publish(self._path, self._status.model_copy(update=fresh))
