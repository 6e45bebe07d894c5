"""The training in progress: records the trainer's messages and the end of the run in the journal."""

from typing import NamedTuple

from retraind.daemon.core import logs
from retraind.daemon.core.states import EventKind, Level, RunState
from retraind.daemon.core.status import Training
from retraind.daemon.processes.training_job import Compared, Message
from retraind.daemon.retraining.recorded_facts import RecordedFacts
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

PROGRESS = ("stage", "step", "steps", "candidate", "candidates", "fold", "folds", "left")
"""The fields of the status for a training in progress, as in `retraind.daemon.core.status.Training`."""

NOTEWORTHY_SECONDS = 2.0
"""Seconds from which a candidate gets an event in the journal, because people may wait for it."""


class Ended(NamedTuple):
    """The trainer's process has ended; it can't say so itself."""

    how: str


class CurrentRun:
    """At most one training; used by the loop thread."""

    def __init__(self, journal: Journal, facts: RecordedFacts) -> None:
        self._journal, self._facts = journal, facts
        self.progress: Training | None = None
        """The progress of the training; None if none runs."""
        self._started = 0.0
        self.compared: Compared | None = None
        """Where the newest training has compared its candidates; None if none has since the start, or here as set."""

    def begin(self, progress: Training, now: float) -> None:
        """Begin a training; `now` is monotonic seconds."""
        self.progress, self._started = progress, now

    def seconds(self, now: float) -> float:
        """Seconds it has taken so far; 0 if none runs."""
        return 0.0 if self.progress is None else now - self._started

    def handle(self, message: Message | Ended) -> bool:
        """Record a message of the trainer; True if the training, or the trainer, has ended."""
        if isinstance(message, Ended):
            self.fail(f"The trainer {message.how}.", RunState.ABANDONED)
            return True
        if "unready" in message:
            log.warning("trainer_unready", reason=message["unready"])
            return False
        if self.progress is None or "ready" in message or message.get("run") != self.progress.run:
            return False
        if "stage" in message:
            self.progress = self.progress.model_copy(update={key: message.get(key) for key in PROGRESS})
            return False
        if "note" in message:
            if message["seconds"] >= NOTEWORTHY_SECONDS:
                self._journal.events.record(EventKind.CANDIDATE, message["note"], run=self.progress.run)
            return False
        if "engine" in message:
            self._note_engine(message)
            return False
        if "postponed" in message:
            self._postpone(self.progress.run, message["postponed"])
        elif "failed" in message:
            self.fail(message["failed"], RunState.FAILED)
        else:
            self._complete(self.progress.run, message["done"], message["seconds"], message.get("remark", ""))
        return True

    def _note_engine(self, message: Compared) -> None:
        """Record why candidates are not compared where the settings say."""
        if message["problem"] and message != self.compared:
            sentence = f"{message['problem']} {message['engine']}"
            self._journal.events.record(EventKind.TRAINING, sentence, level=Level.WARNING, run=message["run"])
            log.warning("engine", run=message["run"], problem=message["problem"])
        self.compared = message

    def fail(self, detail: str, state: RunState) -> None:
        """End the training, if one runs, without a version."""
        if self.progress is not None:
            self._journal.runs.end(self.progress.run, state, detail)
            log.error(state, run=self.progress.run, detail=detail)
            self.progress = None

    def _complete(self, run: int, version: int, seconds: float, remark: str) -> None:
        detail = ". ".join(filter(None, [f"version {version} after {seconds:.1f} s", remark]))
        self._journal.runs.end(run, RunState.TRAINED, detail, version=version, seconds=seconds)
        log.info("trained", run=run, version=version, seconds=round(seconds, 3))
        self.progress = None

    def _postpone(self, run: int, detail: str) -> None:
        """Record that no model can be trained on these rows yet."""
        self._facts.note_lacking(detail)
        self._journal.runs.end(run, RunState.POSTPONED, detail)
        log.warning("postponed", run=run, detail=detail)
        self.progress = None
