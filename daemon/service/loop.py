"""The loop: looks at the folders, the journal and the registry, does the most urgent thing, and looks again.

The only module that knows all parts. Events, ticks, child exits, signals and requests only wake it, so losing
one costs at most one scan period, and restart recovery is the normal way of running.
"""

import os
import queue
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import structlog

from daemon.core import clock, durable, requests, shared_folder
from daemon.core.errors import RetraindError
from daemon.core.home import Home
from daemon.core.settings import Settings
from daemon.core.states import EventKind, Level
from daemon.core.status import Check, Status, utcnow
from daemon.dataset.repacking import Packing
from daemon.drift.watch import Driftwatch
from daemon.inbox.inbox import Inbox
from daemon.inbox.rejected_folder import Rejected
from daemon.inbox.rejected_retention import Retention
from daemon.inbox.watcher import Watcher
from daemon.ingest.ingestion import Ingestion
from daemon.processes.child import Trainer
from daemon.processes.reaper import Orphans
from daemon.processes.systemd import notify
from daemon.processes.worker_keeper import Keeper
from daemon.promotion.promotion import Promotion
from daemon.retraining import policy
from daemon.retraining.retraining import Retraining
from daemon.retraining.schedule import Schedule
from daemon.schema.schema import load
from daemon.service.heartbeat import Pulse
from daemon.service.self_checks import Inspection
from daemon.storage.journal import Journal
from daemon.storage.prediction_history import Historian

log = structlog.get_logger()

TICK_SECONDS = 1.0
"""The heartbeat: how often the status is published and children are looked after."""

PUBLISH_SECONDS = 0.2
"""How often the status is published while there is work: a batch takes many short steps."""

RETRY_SECONDS = 5.0
"""After a failure of the disk or the data repository the loop tries again this much later."""

TIDY_SECONDS = 3600.0
"""How often what is old is looked for, to be removed; after a failure it is tried again in TIDY_AGAIN_SECONDS."""

TIDY_AGAIN_SECONDS = 30.0

TRIM_SECONDS = 60.0
"""How often some of the journal's old events are removed: as many as may have come since, in a few milliseconds."""

PACK_SECONDS = 20.0
"""How often it is looked whether git's objects should be packed or are, and some of DVC's old lists are removed."""

LOW_DISK_BYTES = 100 * 1024 * 1024
LOW_DISK = "Less than 100 MiB are free: make room."
NO_SCHEMA = "There is none yet: run `retraind init FILE --target COL`."
NO_WORKER = "No HTTP worker runs; one is started again."


class Wakeable(Protocol):
    """What ends the loop's waiting; `stopping` becomes true once somebody has asked the process to end."""

    queue: queue.SimpleQueue[str]
    stopping: bool


class Loop:
    """One thread that is the only writer of data/, the journal and the pointer."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        wake: "Wakeable",
        *,
        pulse: Pulse,
        journal: Journal,
        inbox: Inbox,
        watcher: Watcher,
        workers: Keeper,
        historian: Historian,
        schedule: Schedule,
        ingestion: Ingestion,
        retraining: Retraining,
        promotion: Promotion,
        driftwatch: Driftwatch,
        packing: Packing,
    ) -> None:
        self._home, self._settings, self._wake = home, settings, wake
        self._journal, self._inbox, self._workers, self._historian = journal, inbox, workers, historian
        self._schedule, self._ingestion, self._retraining = schedule, ingestion, retraining
        self._promotion, self._watcher, self._driftwatch, self._pulse = promotion, watcher, driftwatch, pulse
        self._inspection = Inspection(home, journal)
        self._packing = packing
        self._retention = Retention(home, settings.inbox.rejected_days)
        self._orphans = Orphans()
        self._problems: dict[str, str] = {}
        self._tidy_at: dict[str, float] = {}
        self._retry_at = self._registry_at = 0.0
        self._followed: tuple[object, ...] | None = None
        self._answered, self._may_answer = False, True
        """Whether the last step has answered a request; then drops and trainings have their turn before the next one."""
        self._started_at = utcnow()

    def run(self) -> None:
        """Step until somebody stops the loop."""
        while not self._wake.stopping:
            now = time.monotonic()
            self.tick(now)
            published = now
            while not self._wake.stopping and now >= self._retry_at and self._step_safely(now):
                now = time.monotonic()
                if now - published >= PUBLISH_SECONDS:
                    self._publish(now)
                    published = now
            self._wait(now)

    def step(self, now: float) -> bool:
        """Do the most urgent single thing; True: look again at once. `now` is monotonic seconds."""
        self._inspection.demand()
        self._may_answer, self._answered = not self._answered, False
        self._retraining.expect(self._inbox.backlog[1], now)
        parts: dict[str, Callable[[], bool]] = {
            "hearing the trainer": lambda: self._collect(now),
            "following the registry": lambda: self._follow_registry(now),
            "taking drops": lambda: self._ingestion.step(now, merging=self._retraining.progress is None),
            "starting a training": lambda: self._retraining.start_if_due(datetime.now(UTC), now, self._champion()),
        }
        for name, part in parts.items():
            self._pulse.rename(name)
            if part():
                return True
        return not self._may_answer

    def tick(self, now: float) -> None:
        """What has to happen about once a second: children, watching, status, heartbeat; none keeps the others from it."""
        self._guard("workers", self._tend)
        self._guard("orphans", lambda: self._orphans.reap(now))
        self._guard("promotion", self._reconsider)
        self._guard("inbox", lambda: self._watch(now))
        self._guard("data", lambda: self._ingestion.upkeep.look(now))
        self._guard("requests", self._set_aside)
        for sentence in self._historian.news():
            self._tell(EventKind.HISTORY, sentence, level=Level.WARNING)
        self._tidy("rejected", now, lambda: self._retention.sweep(clock.read()))
        self._tidy("registry", now, lambda: self._promotion.clear(training=self._retraining.progress is not None))
        self._tidy("journal", now, lambda: self._journal.trim(self._settings.journal.keep_events), TRIM_SECONDS)
        self._tidy("packing", now, lambda: self._packing.step(now), PACK_SECONDS)
        self._guard("drift", lambda: self._driftwatch.step(now, self._champion()))
        self._publish(now)

    def _tend(self) -> None:
        for sentence in self._workers.told():
            log.warning("worker", detail=sentence)
            self._tell(EventKind.WORKER, sentence, level=Level.WARNING)

    def _reconsider(self) -> None:
        if self._promotion.reconsider(self._workers.complaints):
            self._registry_at = 0.0  # there is another version to adopt

    def _watch(self, now: float) -> None:
        for sentence in self._watcher.watch(now):
            self._tell(EventKind.INBOX, sentence, level=Level.WARNING)

    def _set_aside(self) -> None:
        for sentence in requests.set_aside(self._home):
            log.warning("no_request", detail=sentence)
            self._tell(EventKind.REQUEST, sentence, level=Level.WARNING)

    def _tidy(self, what: str, now: float, action: Callable[[], object], every: float = TIDY_SECONDS) -> None:
        """Do something about once an hour, or as often as is said (seconds)."""
        if now >= self._tidy_at.get(what, 0.0):
            self._tidy_at[what] = now + (every if self._guard(what, action) else TIDY_AGAIN_SECONDS)

    def _step_safely(self, now: float) -> bool:
        """One step; whatever fails is recorded, shown in the health, and tried again later: predictions must go on."""
        try:
            with self._pulse.step("looking"):
                again = self.step(now)
        except (OSError, RetraindError) as error:
            self._retry_at = now + RETRY_SECONDS
            self._fault("work", f"{error} It is tried again every {RETRY_SECONDS:g} s.")
            return False
        except Exception as error:
            self._retry_at = now + RETRY_SECONDS
            if "work" not in self._problems:
                log.exception("step_failed")
            self._fault(
                "work", f"{type(error).__name__}: {error}. It is tried again every {RETRY_SECONDS:g} s; see the log."
            )
            return False
        self._heal("work")
        return again

    def _follow_registry(self, now: float) -> bool:
        """Answer requests, adopt, judge: at once when something here may have changed, else once per scan period."""
        answered = self._answered = self._may_answer and self._promotion.answer()
        if not answered and now < self._registry_at:
            return False
        state = self._registry_state()
        if not answered and state == self._followed:
            self._registry_at = now + self._settings.inbox.scan_seconds
            return False
        if self._promotion.adopt() or self._promotion.judge() or self._promotion.watch():
            self._registry_at = now
            return True
        # What could not be looked at is looked at again.
        self._followed = None if self._promotion.live.problem else state
        self._registry_at = now + self._settings.inbox.scan_seconds
        return answered

    def _registry_state(self) -> tuple[object, ...]:
        """What changes whenever there may be something to follow: asking MLflow itself costs a hundred times as much."""
        wal = self._home.mlflow.with_name(f"{self._home.mlflow.name}-wal")
        found = [path.stat() for path in (self._home.mlflow, wal, self._home.pointer) if path.exists()]
        return self._journal.writes, *((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)

    def _collect(self, now: float) -> bool:
        ended = self._retraining.collect(now)
        if ended:
            self._registry_at = 0.0  # there may be a new version to judge
        return ended

    def _champion(self) -> tuple[int, str] | None:
        pointer = self._promotion.pointer()
        return None if pointer is None else (pointer.version, pointer.manifest)

    # Waiting

    def _wait(self, now: float) -> None:
        settle = self._inbox.wait_seconds(now)
        seconds = min(TICK_SECONDS, settle) if settle is not None and now >= self._retry_at else TICK_SECONDS
        try:
            self._wake.queue.get(timeout=seconds)
            while True:
                self._wake.queue.get_nowait()
        except queue.Empty:
            return

    # Status

    def _publish(self, now: float) -> None:
        self._guard("pointer", self._notify)
        self._guard("disk", lambda: self._pulse.publish(self._status(now)))

    def _notify(self) -> None:
        champion, text = self._champion(), "training" if self._retraining.progress else "waiting for drops"
        notify(STATUS=f"serving version {champion[0] if champion else '-'}, {text}")

    def _status(self, now: float) -> Status:
        facts = self._retraining.facts(datetime.now(UTC))
        planned = self._schedule.next_after(facts.last_start, datetime.now(UTC))
        return Status(
            pid=os.getpid(),
            state="draining" if self._wake.stopping else "ready",
            heartbeat=now,
            at=utcnow(),
            started_at=self._started_at,
            checks=self._checks(),
            backlog_files=self._inbox.backlog[0],
            backlog_bytes=self._inbox.backlog[1],
            not_taken=self._inbox.strays.found,
            rows=facts.rows,
            rows_pending=max(0, facts.rows - (facts.trained_on or 0)),
            threshold_rows=policy.needed(facts.trained_on, self._settings.retrain),
            next_schedule=planned.astimezone(UTC).isoformat() if planned else None,
            training=self._retraining.progress,
            free_bytes=shutil.disk_usage(self._home.root).free,
        )

    def _checks(self) -> dict[str, Check]:
        free = shutil.disk_usage(self._home.root).free
        trainer = self._retraining.trainer
        found = {
            "inbox": self._check("inbox", self._watcher.watching(), self._watcher.manner()),
            "journal": self._examine("journal", self._inspection.journal, "It gives back what was recorded."),
            "data": self._examine("data", self._inspection.data, "In place."),
            "registry": self._examine("registry", self._inspection.registry, "In place."),
            "bundle": self._examine("bundle", lambda: self._inspection.bundle(self._champion()), "In place."),
            "disk": self._check("disk", None if free > LOW_DISK_BYTES else LOW_DISK, f"{free // 1_048_576} MiB free."),
            "work": self._check("work", None, "The last step succeeded."),
            "schema": self._check("schema", self._schema_objection(), "Known."),
            "trainer": self._check("trainer", _objection(trainer), _readiness(trainer)),
            "workers": self._check(
                "workers", None if self._workers.alive else NO_WORKER, f"{self._workers.alive} run."
            ),
            "history": self._check("history", self._historian.problem, "Predictions are copied into it."),
            "forgetting": self._check(
                "forgetting", self._ingestion.forgetting.problem, "Nothing waits to be forgotten."
            ),
            "exams": self._check("exams", self._ingestion.examiner.objection, self._examining()),
            "live": self._check("live", self._promotion.live.problem, "Late labels are watched."),
        }
        if waits := self._ingestion.holding.sentence():
            found["held"] = Check(ok=True, detail=waits)
        if lacking := self._retraining.lacking():
            found["training"] = Check(ok=self._champion() is not None, detail=lacking)
        return found | {what: self._check(what, None, "") for what in self._problems if what not in found}

    def _examine(self, what: str, look: Callable[[], str | None], fine: str) -> Check:
        """A look that fails says what is wrong as well as one that finds something."""
        try:
            return self._check(what, look(), fine)
        except (OSError, RetraindError) as error:
            return Check(ok=False, detail=str(error))

    def _examining(self) -> str:
        return self._ingestion.examiner.state(self._champion(), holds=self._ingestion.holding.holds)

    def _schema_objection(self) -> str | None:
        try:
            return None if load(self._home.schema) else NO_SCHEMA
        except (OSError, RetraindError) as error:
            return str(error)

    def _check(self, what: str, objection: str | None, fine: str) -> Check:
        objection = self._problems.get(what) or objection
        return Check(ok=objection is None, detail=objection or fine)

    def _guard(self, what: str, action: Callable[[], object]) -> bool:
        """Do something that may fail: it is recorded and shown in the health, and everything else goes on. True: it did not."""
        try:
            with self._pulse.step(what):
                action()
        except (OSError, RetraindError) as error:
            self._fault(what, f"{error}")
            return False
        except Exception as error:
            if what not in self._problems:
                log.exception("failed", what=what)
            self._fault(what, f"{type(error).__name__}: {error}. See the log.")
            return False
        self._heal(what)
        return True

    def _tell(self, kind: EventKind, message: str, *, level: Level = Level.INFO) -> None:
        try:
            self._journal.events.tell(kind, message, level=level)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the journal, the event is in the log
            log.error("event_lost", kind=kind, message=message, reason=str(error))

    def _fault(self, what: str, detail: str) -> None:
        if self._problems.get(what) != detail:
            log.error("problem", what=what, detail=detail)
            self._problems[what] = detail

    def _heal(self, what: str) -> None:
        if self._problems.pop(what, None) is not None:
            log.info("healed", what=what)
            self._tell(EventKind.HEALED, f"{what.capitalize()} is in order again.")


def _objection(trainer: Trainer) -> str | None:
    if trainer.asleep:
        return None
    if not trainer.alive:
        return "It is started again."
    # One that ends before it is ready is alive most of the time: while it imports, and will end again.
    failed = 0 if trainer.ready else trainer.failures
    return f"It has ended {failed} times in a row; the log says why." if failed > 1 else None


def _readiness(trainer: Trainer) -> str:
    if trainer.asleep:
        return "Asleep; it starts when a training may be due."
    return "Ready." if trainer.ready else "At work or importing; the next training waits for it."


def sweep(home: Home) -> int:
    """Remove unfinished files that a killed process left; call while holding the home's lock."""
    shared = (home.inbox, home.requests, home.workers, home.registry)  # HTTP workers write there now
    swept = sum(durable.sweep(place, seconds=60) for place in shared)
    swept += sum(durable.sweep(place) for place in (home.data, home.segments) if place.is_dir())
    return swept + _sweep_rejected(home)


def _sweep_rejected(home: Home) -> int:
    try:
        return Rejected.of(shared_folder.inbox(home)).sweep()
    except (OSError, RetraindError) as error:  # the check `inbox` of the health says so until it is put right
        log.warning("rejected_not_swept", reason=str(error))
        return 0
