"""What the daemon does next, and what keeps it from that. Pure functions of the status and the newest training.

A daemon that is gone does nothing next, and a trainer that is gone does not train, whatever the journal still says.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from retraind.daemon.core.journal_rows import RunRow
from retraind.daemon.core.states import CheckName, RunState
from retraind.daemon.core.status import Check, Status, Training
from retraind.daemon.schema.score_names import counted

BLOCKING = (
    *(CheckName.WORK, CheckName.JOURNAL, CheckName.DATA, CheckName.DISK, CheckName.SCHEMA, CheckName.INBOX),
    CheckName.STORAGE,
)
"""Checks without which no drop is taken."""

STOPPED = "The daemon is not running, so nothing is taken, trained or decided. Start it: retraind run."

FAILED = (RunState.FAILED, RunState.ABANDONED)

NO_SCHEMA = "there is no schema yet, so the columns are unknown: run `retraind init FILE --target COLUMN` with one of your files"


def blocked(status: Status) -> str:
    """Why no drop is taken now; empty if nothing prevents that."""
    if status.state == "standby":
        return "this machine stands by; only the leader takes drops"
    for name in BLOCKING:
        check = status.checks.get(name)
        if check is not None and not check.ok:
            return NO_SCHEMA if name == CheckName.SCHEMA and not _has_error(check) else f"{name}: {check.detail}"
    return ""


def _has_error(check: Check) -> bool:
    """Whether a schema is there and wrong, rather than missing."""
    return not check.detail.startswith("There is none yet")


def sentences(status: Status | None, runs: Sequence[RunRow], now: datetime) -> list[str]:
    """What happens next and when, most urgent first; `runs` begin with the newest."""
    if status is None or not status.alive:
        return [STOPPED]
    if status.state == "standby":
        leader = status.checks.get(CheckName.LEADER)
        return [f"This machine stands by. {leader.detail if leader else ''}".strip()]
    if status.state != "ready":
        return [f"The daemon is {status.state}; drops are taken when it is ready."]
    sentences = [f"Nothing is taken: {why}." if (why := blocked(status).rstrip(".")) else ""]
    if status.step is not None:
        sentences.append(f"Now: {status.step.name}, for {status.step.seconds:.0f} s so far.")
    if not sentences[0] and status.backlog_files:
        files = counted(status.backlog_files, "file")
        them = "it" if status.backlog_files == 1 else "them"
        sentences.append(f"{files} in the inbox: read as soon as no program writes to {them}, oldest first.")
    sentences.append(training(status, runs, now))
    if status.next_schedule:
        sentences.append(f"The schedule trains at {_clock(status.next_schedule)}, if there are new rows.")
    return [sentence for sentence in sentences if sentence]


def training(status: Status, runs: Sequence[RunRow], now: datetime) -> str:
    """What the trainer does now or next; empty if nothing leads to a training."""
    trainer = status.checks.get(CheckName.TRAINER)
    if trainer is not None and not trainer.ok:
        return f"No training runs, because the trainer does not: {trainer.detail}"
    if status.training is not None:
        return f"{running(status.training)}. Then the gate judges its version."
    return again(status, runs, now) or _due(status, now)


def running(training: Training) -> str:
    """The training that runs, as far as it says."""
    if training.candidate is None or not training.candidates:
        return f"Training {training.run}: {training.stage}"
    left = "" if training.left is None else f", about {max(1, round(training.left))} s left for all candidates"
    return f"Training {training.run}: {training.candidate} of {training.candidates} candidates{left}"


def again(status: Status, runs: Sequence[RunRow], now: datetime) -> str:
    """Why the newest training failed and when it is tried again; empty if it did not fail."""
    last = runs[0] if runs else None
    if last is None or last["state"] not in FAILED:
        return ""
    why = (last["detail"] or "no reason is recorded").rstrip(".")
    return f"Training {last['id']} failed: {why}. {_retry(status, now)}"


def _retry(status: Status, now: datetime) -> str:
    at = status.cooled_at
    if at is None or datetime.fromisoformat(at) <= now:
        return "It is tried again now, if rows or a request call for it."
    return f"It is tried again at {_clock(at)} ({_in(at, now)}), or at once with `retraind retrain`."


def _due(status: Status, now: datetime) -> str:
    lacking = status.checks.get(CheckName.TRAINING)
    if lacking is not None:
        return f"No training: {lacking.detail}"
    if not status.threshold_rows:
        return ""
    missing = status.threshold_rows - status.rows_pending
    if missing > 0:
        return f"{counted(missing, 'more new row')} {'starts' if missing == 1 else 'start'} a training (retrain.threshold_rows, retrain.growth)."
    if status.cooled_at and datetime.fromisoformat(status.cooled_at) > now:
        return f"A training is due at {_clock(status.cooled_at)} ({_in(status.cooled_at, now)}), after the pause of retrain.cooldown_seconds."
    return "A training is due now."


def _clock(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _in(at: str, now: datetime) -> str:
    seconds = (datetime.fromisoformat(at) - now).total_seconds()
    return f"in {seconds:.0f} s" if seconds < 120 else f"in {seconds / 60:.0f} min"


def first_model(
    status: Status | None, checks: Mapping[str, Check], runs: Sequence[RunRow], refused: str, now: datetime
) -> tuple[str, str]:
    """What is true while no version serves, and what comes next: a headline and a sentence.

    `refused` says why the newest version does not serve; empty without one.
    """
    if status is None or not status.alive:
        return "No model yet", STOPPED
    if status.state == "standby":
        return "No model here", sentences(status, runs, now)[0]
    if status.state != "ready":
        return "No model yet", f"The daemon is {status.state}."
    schema, lacking, trainer = (checks.get(name) for name in (CheckName.SCHEMA, CheckName.TRAINING, CheckName.TRAINER))
    if trainer is not None and not trainer.ok:
        return "No model yet", training(status, runs, now)
    if status.training is not None:
        return "No model yet: training", f"{running(status.training)}."
    if schema is not None and not schema.ok:
        if _has_error(schema):
            return "The schema can't be used", schema.detail
        return "No schema yet", f"{NO_SCHEMA[0].upper()}{NO_SCHEMA[1:]}."
    if failed := again(status, runs, now):
        return "No model yet: training failed", failed
    if lacking is not None:
        return "No model yet: too few rows", f"{counted(status.rows, 'row')} so far. {lacking.detail}"
    if refused:
        return "No version passed the gate", refused
    if status.backlog_files:
        waiting = counted(status.backlog_files, "file")
        return "No model yet", f"{waiting} in the inbox; the first accepted rows train one."
    if status.rows:
        return "No model yet", f"{counted(status.rows, 'row')} so far; a training is due now."
    return "No model yet", "No rows yet: the first accepted ones train a model."
