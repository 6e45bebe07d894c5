"""Checks: composes the status that the daemon publishes about once a second, with a check for every part.

`self_checks.py` makes the checks `journal`, `data`, `registry` and `bundle`. For `held` see
`daemon/ingest/held_drops.py`, for `exams` `daemon/ingest/exam_runner.py`, for `live` `daemon/promotion/probation.py`.
`health.py` keeps failures.
"""

import os
import shutil
from datetime import UTC, datetime

from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.settings import candidate_packages
from retraind.daemon.core.states import CheckName
from retraind.daemon.core.status import Check, Status, utcnow
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.processes.child import Trainer
from retraind.daemon.retraining import policy
from retraind.daemon.schema.schema import load
from retraind.daemon.service.health import Health
from retraind.daemon.service.heartbeat import START_SECONDS
from retraind.daemon.service.parts import Parts
from retraind.daemon.service.self_checks import SelfChecks
from retraind.daemon.service.store_upkeep import StoreUpkeep

LOW_DISK_BYTES = 100 * 1024 * 1024
LOW_DISK = "Less than 100 MiB are free: free some space."
NO_SCHEMA = "There is none yet: run `retraind init FILE --target COL`."
NO_WORKER = "No HTTP worker runs; one restarts."


class Checks:
    """Makes the status from the parts and the health board; used by the loop thread."""

    def __init__(self, parts: Parts, health: Health, inspection: SelfChecks) -> None:
        self._parts, self._health, self._inspection = parts, health, inspection
        self._started_at = utcnow()
        self.last: Status | None = None
        """The newest status."""

    def status(self, now: float) -> Status:
        """The status of the daemon; `now` is monotonic seconds.

        While the journal can't be asked, what it said last, and why. Raises Unavailable.
        """
        try:
            self.last = self._current(now)
        except Exception as error:
            # Whatever it is: otherwise the heartbeat would repeat the last status, as if all were well.
            if self.last is None:
                raise
            reason = str(error).partition("\n")[0]
            checks = self.last.checks | {CheckName.JOURNAL.value: Check(ok=False, detail=reason)}
            checks |= {name.value: self._health.check(name, None, "") for name in self._health.problems}
            self.last = self.last.model_copy(update={"heartbeat": now, "at": utcnow(), "checks": checks})
        return self.last

    def _current(self, now: float) -> Status:
        parts, inbox = self._parts, self._parts.inbox
        facts = parts.retraining.facts(datetime.now(UTC))
        cooled = policy.cooled_at(facts, parts.settings.retrain)
        planned = parts.schedule.next_after(facts.last_start, datetime.now(UTC))
        free = shutil.disk_usage(parts.home.root).free
        lag, term = parts.projection.lag if parts.projection else None, parts.journal.term
        return Status(
            pid=os.getpid(),
            state="draining" if parts.wake.stopping else "ready",
            heartbeat=now,
            at=utcnow(),
            started_at=self._started_at,
            checks=self._checks(free, now),
            backlog_files=inbox.backlog[0],
            backlog_bytes=inbox.backlog[1],
            not_taken=inbox.strays.found,
            waits=inbox.waits,
            rows=facts.rows,
            rows_pending=max(0, facts.rows - (facts.trained_on or 0)),
            threshold_rows=policy.needed(facts.trained_on, parts.settings.retrain),
            next_schedule=planned.astimezone(UTC).isoformat() if planned else None,
            cooled_at=cooled.isoformat(timespec="milliseconds") if cooled else None,
            training=parts.retraining.progress,
            free_bytes=free,
            projection_batches=lag.batches if lag else None,
            projection_seconds=lag.seconds if lag else None,
            leadership=term.record if term and parts.settings.leader.standby else None,
            nodes=parts.nodes.nodes() if parts.nodes else (),
        )

    def _checks(self, free: int, now: float) -> dict[str, Check]:
        checks = self._folders(free) | self._work(now)
        if self._parts.store is not None and self._parts.store_upkeep is not None:
            checks[CheckName.STORAGE] = self._storage(self._parts.store, self._parts.store_upkeep)
        if bucket := self._parts.inbox.remote():
            checks[CheckName.BUCKET] = self._health.check(CheckName.BUCKET, *bucket)
        if projection := self._parts.projection:
            fine = "The remotes have every revision."
            checks[CheckName.PROJECTION] = self._health.check(CheckName.PROJECTION, projection.problem, fine)
        if self._parts.nodes is not None:
            objection, fine = self._parts.nodes.objection(), self._parts.nodes.sentence()
            fine = "; ".join(filter(None, (fine, self._parts.ingestion.intake.label_wait.sentence())))
            checks[CheckName.NODES] = self._health.check(CheckName.NODES, objection, fine)
        if (notifier := self._parts.notifier) is not None:
            checks[CheckName.NOTIFY] = self._health.check(CheckName.NOTIFY, notifier.problem, notifier.sentence)
        if waits := self._parts.ingestion.intake.holding.sentence():
            checks[CheckName.HELD] = Check(ok=True, detail=waits)
        outbox = self._parts.outbox
        if outbox.sentence or outbox.problem:
            checks[CheckName.OUTBOX] = self._health.check(CheckName.OUTBOX, outbox.problem, outbox.sentence)
        if lacking := self._parts.retraining.lacking():
            checks[CheckName.TRAINING] = Check(ok=self._parts.promotion.served() is not None, detail=lacking)
        if (old := self._parts.old_predictions) is not None:
            checks[CheckName.ARCHIVE] = self._health.check(CheckName.ARCHIVE, old.problem, old.sentence())
        if absent := candidate_packages.objection(self._parts.settings.train.candidates):
            checks[CheckName.CANDIDATES] = Check(ok=False, detail=absent)
        if compared := self._parts.retraining.compared:
            problem, fine = compared["problem"] or None, compared["engine"]
            checks[CheckName.ENGINE] = self._health.check(CheckName.ENGINE, problem, fine)
        more = [name for name in self._health.problems if name not in checks]
        checks |= {name: self._health.check(name, None, "") for name in more}
        return {name.value: check for name, check in checks.items()}

    def _folders(self, free: int) -> dict[CheckName, Check]:
        """Checks of the loop's folders and files; `free` is the space on the disk (bytes)."""
        parts, health, look = self._parts, self._health, self._inspection
        watcher, room = parts.watcher, None if free > LOW_DISK_BYTES else LOW_DISK
        looks = {
            CheckName.JOURNAL: (look.journal, "What was recorded can be read."),
            CheckName.DATA: (look.data, "In place."),
            CheckName.REGISTRY: (look.registry, "In place."),
            CheckName.BUNDLE: (lambda: look.bundle(parts.promotion.served()), "In place."),
        }
        inbox = {CheckName.INBOX: health.check(CheckName.INBOX, watcher.watching(), watcher.description())}
        examined = {name: health.examine(name, action, fine) for name, (action, fine) in looks.items()}
        return inbox | examined | {CheckName.DISK: health.check(CheckName.DISK, room, f"{free // 1_048_576} MiB free.")}

    def _work(self, now: float) -> dict[CheckName, Check]:
        """Checks of the work and of the processes that do it."""
        parts, ingestion, trainer = self._parts, self._parts.ingestion, self._parts.retraining.trainer
        workers, examiner = parts.workers.alive, ingestion.intake.evaluation
        training = parts.retraining.progress is not None
        examining = examiner.state(parts.promotion.served(), holds=ingestion.intake.holding.holds)
        checks = {
            CheckName.WORK: (None, "The last step succeeded."),
            CheckName.SCHEMA: (self._schema_objection(), "Known."),
            CheckName.TRAINER: (_objection(trainer) or silence(trainer, training, now), _readiness(trainer)),
            CheckName.WORKERS: (None if workers else NO_WORKER, f"{workers} run."),
            CheckName.HISTORY: (parts.history_copier.problem, "Predictions are copied into it."),
            CheckName.FORGETTING: (ingestion.forgetting.problem, "Nothing waits to be forgotten."),
            CheckName.EXAMS: (examiner.objection, examining),
            CheckName.LIVE: (parts.promotion.live.problem, "Late labels are watched."),
        }
        return {name: self._health.check(name, objection, fine) for name, (objection, fine) in checks.items()}

    def _storage(self, store: ObjectStore, upkeep: StoreUpkeep) -> Check:
        """Whether the object store answers requests."""
        objection = self._parts.ingestion.stored.problem or self._parts.promotion.stored.problem or upkeep.problem
        doing = upkeep.sentence or ("" if self._parts.ingestion.stored.schema.is_stored else "the schema is put")
        rest = f", while {doing}" if doing else ""
        return self._health.check(
            CheckName.STORAGE, objection, f"Segments and bundles are kept in {store.place}{rest}."
        )

    def _schema_objection(self) -> str | None:
        try:
            return None if load(self._parts.home.schema) else NO_SCHEMA
        except (OSError, RetraindError) as error:
            return str(error)


def _objection(trainer: Trainer) -> str | None:
    if trainer.asleep:
        return None
    if not trainer.alive:
        return "It restarts."
    if trainer.problem is not None:
        return f"It can't start, and tries again: {trainer.problem}"
    # A trainer that ends while it imports is alive most of the time, so only its failures show that it will end again.
    failed = 0 if trainer.ready else trainer.failures
    return f"It has ended {failed} times in a row; the log says why." if failed > 1 else None


def silence(trainer: Trainer, training: bool, now: float) -> str | None:
    """A warning if a running trainer may hang; trainings have their own time limit. `now` is monotonic seconds."""
    silent = now - trainer.heard_at
    if trainer.asleep or trainer.ready or training or silent <= START_SECONDS:
        return None
    return f"It has not been ready for {silent:.0f} s. A restart of the service restarts it."


def _readiness(trainer: Trainer) -> str:
    if trainer.asleep:
        return "Asleep; it starts when a training may be due."
    return "Ready." if trainer.ready else "At work or importing; the next training waits for it."
