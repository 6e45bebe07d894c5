"""The loop: checks the folders, the journal and the registry, does the most urgent work, and starts over.

Events, ticks, child exits, signals and requests only wake it. So losing one costs at most one scan period, and recovery
after a restart is the normal way of running. `duties.py` has the periodic work, `health.py` the failures.
"""

import queue
import time
from collections.abc import Callable
from datetime import UTC, datetime

from retraind.daemon.core.errors import JournalTaken
from retraind.daemon.core.states import CheckName
from retraind.daemon.processes.systemd import notify
from retraind.daemon.service.checks import Checks
from retraind.daemon.service.duties import Duties, duties
from retraind.daemon.service.health import Health
from retraind.daemon.service.parts import Parts
from retraind.daemon.service.registry_follower import RegistryFollower
from retraind.daemon.service.self_checks import SelfChecks

TICK_SECONDS = 1.0
"""Seconds between two ticks, which publish the status and supervise the children."""

PUBLISH_SECONDS = 0.2
"""Seconds between two publications of the status during work, because a batch takes many short steps."""

RETRY_SECONDS = 5.0
"""Seconds before the loop retries after a failure of the disk or the data repository."""

AGAIN = f"It is tried again every {RETRY_SECONDS:g} s."


class Loop:
    """One thread that is the only writer of data/, the journal and the pointer."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self._wake, self._heartbeat = parts, parts.wake, parts.heartbeat
        self.health = Health(parts.heartbeat, parts.journal)
        self._inspection = SelfChecks(parts.home, parts.journal, parts.promotion.models)
        self._checks = Checks(parts, self.health, self._inspection)
        scan_seconds = parts.settings.inbox.scan_seconds
        self._follower = RegistryFollower(parts.home, parts.journal, parts.promotion, scan_seconds)
        self._duties = Duties(duties(parts, self.health, self._follower), self.health)
        self._retry_at = 0.0
        self._sessions = parts.journal.database.sessions

    def run(self) -> None:
        """Step until the process is asked to end; raises JournalTaken if another process has written the journal."""
        self.parts.ingestion.upkeep.has_opened(time.monotonic())
        while not self._wake.stopping:
            now = time.monotonic()
            self._lead(now)  # before the status: nodes that have prepared a version wait for this
            self.tick(now)
            if taken := self.parts.journal.taken():
                raise JournalTaken(taken)
            if (sessions := self.parts.journal.database.sessions) != self._sessions:
                self._sessions, self._retry_at = sessions, 0.0  # the journal's server is back
            published = now
            while not self._wake.stopping and now >= self._retry_at and self._step_safely(now):
                now = time.monotonic()
                if now - published >= PUBLISH_SECONDS:
                    self._publish(now)
                    published = now
            self._wait(now)

    def step(self, now: float) -> bool:
        """Do the single most urgent piece of work; True: call again at once. `now` is monotonic seconds."""
        parts, training = self.parts, self.parts.retraining
        self._inspection.require_databases()
        self._follower.begin_step()
        training.expect(parts.inbox.backlog[1], now)
        work: dict[str, Callable[[], bool]] = {
            "reading the trainer's messages": lambda: self._collect(now),
            "following the registry": lambda: self._follower.step(now),
            "taking drops": lambda: parts.ingestion.step(now, merging=training.progress is None),
            "starting a training": lambda: self._train(now),
        }
        for name, action in work.items():
            self._heartbeat.rename(name)
            if action():
                return True
        return self._follower.waits

    def tick(self, now: float) -> None:
        """The work of about once a second: duties that are due, and the status with the heartbeat."""
        self._duties.run(now)
        self._publish(now)
        if (notifier := self.parts.notifier) is not None and (status := self._checks.last) is not None:
            self.health.guard(CheckName.NOTIFY, lambda: notifier.step(status.checks, now))

    def _step_safely(self, now: float) -> bool:
        """Do one step.

        A failure is recorded, shown in the health, and retried later, because predictions must continue.
        """
        again = False

        def step() -> None:
            nonlocal again
            again = self.step(now)

        self._lead(now)
        if not self.health.guard(CheckName.WORK, step, step="looking", again=AGAIN):
            self._retry_at = now + RETRY_SECONDS
        return again

    def _lead(self, now: float) -> None:
        """Make the nodes follow the pointer."""
        if (nodes := self.parts.nodes) is not None:
            self.health.guard(CheckName.NODES, lambda: nodes.step(self.parts.promotion.pointer(), now))

    def _collect(self, now: float) -> bool:
        ended = self.parts.retraining.collect(now)
        if ended:
            self._follower.look_soon()  # a new version may wait for its verdict
        return ended

    def _train(self, now: float) -> bool:
        training, moment = self.parts.retraining, datetime.now(UTC)
        if self.parts.store_upkeep is not None and self.parts.store_upkeep.is_fetching:
            return False
        # The labels that make a training due may also roll the champion back: the training would compare with the wrong
        # version.
        if training.may_start(moment) and self._follower.catch_up(now):
            return True
        return training.start_if_due(moment, now, self.parts.promotion.served())

    def _wait(self, now: float) -> None:
        settle = self.parts.inbox.wait_seconds(now)
        seconds = min(TICK_SECONDS, settle) if settle is not None and now >= self._retry_at else TICK_SECONDS
        try:
            self._wake.queue.get(timeout=seconds)
            while True:
                self._wake.queue.get_nowait()
        except queue.Empty:
            return

    def _publish(self, now: float) -> None:
        self.health.guard(CheckName.POINTER, self._notify)
        self.health.guard(CheckName.DISK, lambda: self._heartbeat.publish(self._checks.status(now)))

    def _notify(self) -> None:
        served, training = self.parts.promotion.served(), self.parts.retraining.progress
        text = "training" if training else "waiting for drops"
        notify(STATUS=f"serving version {served[0] if served else '-'}, {text}")
