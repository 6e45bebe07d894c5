"""Retraining: decides when to train, starts the trainer, collects the result.

The journal records a run before it starts, so that a training that kills the daemon is retried once per cooldown and
not at once.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypedDict

from retraind.daemon.core import logs
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import RequestRow
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import RequestState, RunState
from retraind.daemon.core.status import Training
from retraind.daemon.processes.child import Trainer
from retraind.daemon.processes.training_job import Compared, Job, Message
from retraind.daemon.registry import baseline
from retraind.daemon.retraining import policy
from retraind.daemon.retraining.current_run import CurrentRun, Ended
from retraind.daemon.retraining.recorded_facts import RecordedFacts
from retraind.daemon.retraining.schedule import Schedule
from retraind.daemon.retraining.training_requests import TrainingRequests
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

ROW_BYTES = 16
"""Minimum bytes of a row in a drop, for an upper bound on the rows of the waiting files."""


class _ForWorkers(TypedDict, total=False):
    """The fields of a job for workers on other machines."""

    storage: dict[str, object]
    md5s: dict[str, str]


class Retraining:
    """Owns the trainer; used by the loop thread.

    `fell` tells why the champion's late labels require a training, if they do.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        journal: Journal,
        trainer: Trainer,
        schedule: Schedule,
        fell: Callable[[], str | None],
    ) -> None:
        self._settings, self._journal, self.trainer = settings, journal, trainer
        self._facts = RecordedFacts(journal, schedule, fell)
        self._run = CurrentRun(journal, self._facts)
        self._requests = TrainingRequests(home, journal)
        self._unrecorded: deque[Message | Ended] = deque()
        """The trainer's messages until they are recorded: each is sent once, and the journal may be unwritable at that
        moment."""

    @property
    def progress(self) -> Training | None:
        """The training under way."""
        return self._run.progress

    @property
    def compared(self) -> Compared | None:
        """Where the newest training has compared its candidates; None if none has since the start, or here as set."""
        return self._run.compared

    def recover(self) -> list[int]:
        """Close the runs that a killed daemon left open; returns their numbers."""
        left = [int(run["id"]) for run in self._journal.runs.open()]
        for run in left:
            self._journal.runs.end(run, RunState.ABANDONED, "The daemon was stopped during the training.")
        return left

    # Collecting

    def collect(self, now: float) -> bool:
        """Take the trainer's messages; True if a training has ended. `now` is monotonic seconds."""
        if self.progress is not None:
            self.trainer.keep_awake(now)
        how = self.trainer.supervise(now)
        self._unrecorded.extend(self.trainer.messages())
        if how is not None:
            log.warning("trainer_ended", how=how)
            self._unrecorded.append(Ended(how))
        ended = False
        while self._unrecorded:
            ended = self._run.handle(self._unrecorded[0]) or ended
            self._unrecorded.popleft()
        limit = self._settings.train.timeout_seconds
        if self._run.seconds(now) > limit:
            self._run.fail(f"It took longer than train.timeout_seconds = {limit:g}.", RunState.FAILED)
            self.trainer.kill()
            return True
        return ended

    def lacking(self) -> str | None:
        """Why the newest rows can't be trained on, and what to drop; None if they can, or no training has tried."""
        return self._facts.lacking()

    # Starting

    def start_if_due(self, now: datetime, monotonic: float, champion: tuple[int, str] | None) -> bool:
        """Start a training if the policy finds a reason; `champion` is version and bundle sha256 of the served one."""
        if self.progress is None and self.trainer.asleep and self._may_be_due(now):
            self.trainer.keep_awake(monotonic)
        if self.progress is not None or not self.trainer.ready:
            return False  # requests stay files meanwhile, so that equal requests share a training
        queued = self._requests.take()
        facts = self.facts(now, queued)
        reason = policy.due(facts, self._settings.retrain, now)
        if reason is None:
            return self._decline(queued, facts)
        self._start(reason, monotonic, champion)
        self._requests.end(queued, RequestState.DONE, f"Training started: {reason}.")
        return True

    def may_start(self, now: datetime) -> bool:
        """Whether `start_if_due` would start a training."""
        return self.progress is None and self.trainer.ready and self._may_be_due(now)

    def _may_be_due(self, now: datetime) -> bool:
        """True if the trainer must wake: a training request waits, or the policy finds a reason without one."""
        return bool(self._requests.waiting()) or policy.due(self.facts(now), self._settings.retrain, now) is not None

    def expect(self, waiting_bytes: int, now: float) -> None:
        """Wake the trainer when waiting drops may lead to a training, so that it imports meanwhile."""
        if not waiting_bytes or not self.trainer.asleep:
            return
        facts = self.facts(datetime.now(UTC))
        missing = policy.needed(facts.trained_on, self._settings.retrain) - facts.new
        if facts.trained_on is None or missing * ROW_BYTES <= waiting_bytes:
            self.trainer.keep_awake(now)

    def facts(self, now: datetime, queued: Sequence[RequestRow] = ()) -> policy.Facts:
        """The facts behind the decision, with these requests."""
        return self._facts.now(now, queued)

    def _decline(self, queued: Sequence[RequestRow], facts: policy.Facts) -> bool:
        why = "there are no rows yet" if facts.rows == 0 else "there are no new rows since the last training"
        if facts.lacking:
            why = f"no model can be trained on the rows yet ({facts.lacking.rstrip('.')})"
        alarm = facts.drifted or facts.live_fell
        if facts.rows and alarm:
            why += f", and these would give the same model again, despite the alarm: {alarm.rstrip('.')}"
        if queued:
            self._requests.end(queued, RequestState.REFUSED, f"Not started: {why}.")
        return bool(queued)

    def _for_workers(self) -> _ForWorkers:
        """What workers on other machines need to fetch segments from the object store."""
        if self._settings.train.engine == "local" or not self._settings.storage.url:
            return {}
        md5s = {segment["name"]: segment["md5"] for segment in self._journal.segments.current()}
        return {"storage": self._settings.storage.model_dump(), "md5s": md5s}

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
            gate=baseline.gate_terms(self._journal, self._settings.promote, version),
            early_rows=self._journal.batches.early_rows(),
            rows=newest.rows,
            **self._for_workers(),
        )
        since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._run.begin(Training(run=run, reason=reason, stage="starting", step=0, steps=1, since=since), monotonic)
        log.info("training", run=run, reason=reason, rows=newest.rows, revision=newest.revision[:10])
        try:
            self.trainer.train(job)
        except OSError as error:
            self._run.fail(f"The trainer could not be reached: {error}.", RunState.ABANDONED)
