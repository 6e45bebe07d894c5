"""Retraining: decides when to train, starts the trainer, collects how it ended.

The journal says that a run has started before it starts, so that a training which takes the daemon down with
it is tried once per cooldown and not at once again.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog

from daemon.core import requests
from daemon.core.home import Home
from daemon.core.settings import Settings
from daemon.core.states import ALARMS, EventKind, RequestState, RunState
from daemon.core.status import Training
from daemon.core.training_job import Job, Message
from daemon.processes.child import Trainer
from daemon.registry import baseline
from daemon.retraining import policy
from daemon.retraining.schedule import Schedule
from daemon.storage.journal import Journal

log = structlog.get_logger()

KIND = "retrain"

PROGRESS = ("stage", "step", "steps", "candidate", "candidates", "fold", "folds", "left")
"""What the status says of a training under way, as in `daemon.core.status.Training`."""

NOTEWORTHY_SECONDS = 2.0
"""A candidate that takes at least so long has a line in the journal: then somebody waits for it."""


ROW_BYTES = 16
"""A row of a drop has at least about so many: more rows than that are not to be expected of the files that wait."""


class Ended(NamedTuple):
    """The trainer's process has ended; it can't say so itself."""

    how: str


class Retraining:
    """Owns the trainer; used by the loop thread. `fell` says why the champion's late labels ask for a training, if they do."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        journal: Journal,
        trainer: Trainer,
        schedule: Schedule,
        fell: Callable[[], str | None],
    ) -> None:
        self._home, self._settings = home, settings
        self._journal, self.trainer, self._schedule, self._fell = journal, trainer, schedule, fell
        self.progress: Training | None = None
        self._started = 0.0
        self._facts: policy.Facts | None = None
        self._facts_at = -1
        self._lacking: tuple[int | None, str] | None = None
        self._unheard: deque[Message | Ended] = deque()
        """What the trainer has said and is not recorded yet: it is said once, and the journal may be full just then."""

    def recover(self) -> list[int]:
        """Close the runs that a killed daemon left open; returns their numbers."""
        left = [int(run["id"]) for run in self._journal.runs.open()]
        for run in left:
            self._journal.runs.end(run, RunState.ABANDONED, "The daemon was stopped during the training.")
        return left

    # Collecting

    def collect(self, now: float) -> bool:
        """Take the trainer's messages; True: a training has ended."""
        if self.progress is not None:
            self.trainer.want(now)
        how = self.trainer.tend(now)
        self._unheard.extend(self.trainer.messages())
        if how is not None:
            log.warning("trainer_ended", how=how)
            self._unheard.append(Ended(how))
        ended = False
        while self._unheard:
            ended = self._handle(self._unheard[0]) or ended
            self._unheard.popleft()
        if self.progress is not None and now - self._started > self._settings.train.timeout_seconds:
            limit = self._settings.train.timeout_seconds
            self._fail(f"It took longer than train.timeout_seconds = {limit:g}.", RunState.FAILED)
            self.trainer.kill()
            return True
        return ended

    def _handle(self, message: Message | Ended) -> bool:
        if isinstance(message, Ended):
            self._fail(f"The trainer {message.how}.", RunState.ABANDONED)
            return True
        if self.progress is None or "ready" in message or message.get("run") != self.progress.run:
            return False
        if "stage" in message:
            self.progress = self.progress.model_copy(update={key: message.get(key) for key in PROGRESS})
            return False
        if "note" in message:
            if message["seconds"] >= NOTEWORTHY_SECONDS:
                self._journal.events.tell(EventKind.CANDIDATE, message["note"], run=self.progress.run)
            return False
        if "postponed" in message:
            self._postpone(message["postponed"])
        elif "failed" in message:
            self._fail(message["failed"], RunState.FAILED)
        else:
            version, seconds = message["done"], message["seconds"]
            detail = f"version {version} after {seconds:.1f} s"
            self._journal.runs.end(self.progress.run, RunState.TRAINED, detail, version=version, seconds=seconds)
            log.info("trained", run=self.progress.run, version=version, seconds=round(seconds, 3))
            self.progress = None
        return True

    def _postpone(self, detail: str) -> None:
        """The rows can teach nothing yet: the same ones are not tried again, but by a restart, whose settings may differ."""
        assert self.progress is not None
        run = self._journal.runs.last()
        self._lacking = run["batch"] if run else None, detail
        self._journal.runs.end(self.progress.run, RunState.POSTPONED, detail)
        log.warning("postponed", run=self.progress.run, detail=detail)
        self.progress = None

    def lacking(self) -> str | None:
        """Why nothing can be learned from the newest rows, and what to drop; None if they can teach, or were not tried."""
        newest = self._journal.batches.committed().batch
        return self._lacking[1] if self._lacking is not None and self._lacking[0] == newest else None

    def _fail(self, detail: str, state: RunState) -> None:
        if self.progress is not None:
            self._journal.runs.end(self.progress.run, state, detail)
            log.error(state, run=self.progress.run, detail=detail)
            self.progress = None

    # Starting

    def start_if_due(self, now: datetime, monotonic: float, champion: tuple[int, str] | None) -> bool:
        """Start a training if the policy finds a reason; `champion` is version and bundle sha256 of the served one."""
        if self.progress is None and self.trainer.asleep and self._may_be_due(now):
            self.trainer.want(monotonic)
        if self.progress is not None or not self.trainer.ready:
            return False  # requests stay files meanwhile, so that those who ask for the same share one
        self._take_requests()
        queued = [request for request in self._journal.requests.queued() if request["kind"] == KIND]
        facts = self.facts(now, queued)
        reason = policy.due(facts, self._settings.retrain, now)
        if reason is None:
            return self._decline(queued, facts)
        self._start(reason, monotonic, champion)
        self._end_requests(queued, RequestState.DONE, f"Training started: {reason}.")
        return True

    def _may_be_due(self, now: datetime) -> bool:
        """Whether the trainer has to wake: a request for a training waits, or the policy finds a reason without one."""
        asked = any(request.kind == KIND for request in requests.pending(self._home))
        return asked or policy.due(self.facts(now), self._settings.retrain, now) is not None

    def expect(self, waiting_bytes: int, now: float) -> None:
        """Wake the trainer when drops wait that may lead to a training, so that it imports while they settle and are committed."""
        if not waiting_bytes or not self.trainer.asleep:
            return
        facts = self.facts(datetime.now(UTC))
        missing = policy.needed(facts.trained_on, self._settings.retrain) - facts.new
        if facts.trained_on is None or missing * ROW_BYTES <= waiting_bytes:
            self.trainer.want(now)

    def facts(self, now: datetime, queued: Sequence[Any] = ()) -> policy.Facts:
        """What the decision depends on, from the journal; asked anew only after something was written there."""
        if self._facts is None or self._facts_at != self._journal.writes:
            self._facts_at, self._facts = self._journal.writes, self._recorded()
        return replace(
            self._facts,
            schedule_due=self._schedule.due(self._facts.last_start, now),
            requested=bool(queued),
            forced=any(request["detail"] == "forced" for request in queued),
        )

    def _recorded(self) -> policy.Facts:
        """The facts without what depends on the time and on requests."""
        total = self._journal.batches.committed()
        last, trained = self._journal.runs.last(), self._journal.runs.last(RunState.TRAINED)
        last_start, drifted, live_fell = _started(last), self._drifted(), self._fell()
        alarmed = self._journal.runs.last(because=ALARMS) if drifted or live_fell else None
        return policy.Facts(
            rows=total.rows,
            trained_on=None if trained is None else trained["rows"],
            same_rows=last is not None and last["batch"] == total.batch and last["state"] == RunState.TRAINED,
            lacking=self.lacking(),
            last_start=last_start,
            schedule_due=False,
            requested=False,
            forced=False,
            forgotten=trained is not None and self._journal.erasures.any_after(trained["batch"] or 0),
            setbacks=self._journal.runs.setbacks(),
            drifted=drifted,
            live_fell=live_fell,
            last_alarm=_started(alarmed),
        )

    def _drifted(self) -> str | None:
        """Why the inputs of the served version are not what it learnt from; checks of other versions don't count."""
        swap, check = self._journal.swaps.last(), self._journal.drift_checks.last()
        if swap is None or check is None or check["version"] != swap["version"] or not check["alarm"]:
            return None
        return str(check["reason"])

    def _take_requests(self) -> None:
        waiting = [request for request in requests.pending(self._home) if request.kind == KIND]
        if not waiting:
            return
        with self._journal.together():
            for request in waiting:
                detail = "forced" if request.force else "if there are new rows"
                self._journal.requests.take(request.id, KIND, detail, request.at.isoformat())
        requests.consume(self._home, *waiting)

    def _end_requests(self, queued: Sequence[Any], state: RequestState, detail: str) -> None:
        with self._journal.together():
            for request in queued:
                self._journal.requests.end(request["id"], state, detail)

    def _decline(self, queued: list[Any], facts: policy.Facts) -> bool:
        why = "there are no rows yet" if facts.rows == 0 else "there are no new rows since the last training"
        if facts.lacking:
            why = f"the rows can't teach a model yet ({facts.lacking.rstrip('.')})"
        alarm = facts.drifted or facts.live_fell
        if facts.rows and alarm:
            why += f", and these would give the same model again, in spite of the alarm: {alarm.rstrip('.')}"
        if queued:
            self._end_requests(queued, RequestState.REFUSED, f"Not started: {why}.")
        return bool(queued)

    def _start(self, reason: str, monotonic: float, champion: tuple[int, str] | None) -> None:
        newest = self._journal.batches.committed()
        assert newest.revision is not None
        assert newest.dvc_md5 is not None
        run = self._journal.runs.start(reason, newest.revision, newest.dvc_md5, newest.rows, newest.batch)
        version, sealed = champion or (None, None)
        job = Job(
            run=run,
            reason=reason,
            revision=newest.revision,
            dvc_md5=newest.dvc_md5,
            segments={segment["name"]: segment["sha256"] for segment in self._journal.segments.current()},
            first_rows=self._journal.batches.first_rows(),
            settings=self._settings.train.model_dump(),
            champion=version,
            champion_bundle=sealed,
            past=baseline.numbers(self._journal, self._settings.promote, version),
            gate=baseline.gate(self._journal, self._settings.promote, version),
        )
        since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.progress = Training(run=run, reason=reason, stage="starting", step=0, steps=1, since=since)
        self._started = monotonic
        log.info("training", run=run, reason=reason, rows=newest.rows, revision=newest.revision[:10])
        try:
            self.trainer.train(job)
        except OSError as error:
            self._fail(f"The trainer could not be reached: {error}.", RunState.ABANDONED)


def _started(run: Any) -> datetime | None:
    return None if run is None else datetime.fromisoformat(run["started_at"])
