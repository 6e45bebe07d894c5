"""The pipeline: validate, commit, train, judge, serve, each with its last result."""

from collections.abc import Sequence
from typing import Literal, TypedDict, TypeVar

from retraind.daemon.core.states import BatchState, DropState, RunState, VersionState
from retraind.daemon.schema.score_names import counted
from retraind.web.dashboard.facts import Facts
from retraind.web.dashboard.tiles import size

T = TypeVar("T")

StepState = Literal["active", "done", "failed", "idle"]

MARKS: dict[StepState, str] = {"active": "◐", "done": "✔", "failed": "✕", "idle": "·"}


RUN_STATES: dict[str, StepState] = {RunState.TRAINED: "done", RunState.POSTPONED: "idle"}
"""State of the page for each outcome of a run; any other outcome is a failure."""


class Step(TypedDict):
    """One step of the pipeline, with its last or present work."""

    name: str
    state: StepState
    mark: str
    detail: str
    at: str | None
    """UTC time of `detail`."""
    step: int | None
    """Of a training: the number of the present one of its `steps`."""
    steps: int | None


class Pipeline(TypedDict):
    """The steps in their order, and a sentence about the one at work."""

    sentence: str
    steps: list[Step]


def steps(facts: Facts) -> Pipeline:
    """The five steps, and a sentence that names the running one."""
    all_steps = [_validate(facts), _commit(facts), _train(facts), _judge(facts), _serve(facts)]
    return {"sentence": _sentence(facts, all_steps), "steps": all_steps}


def _sentence(facts: Facts, all_steps: list[Step]) -> str:
    if not facts.alive:
        return "Idle: no daemon is running."
    working = next((step for step in reversed(all_steps) if step["state"] == "active"), None)
    status = facts.status
    if status is None or working:
        training = status.training if status else None
        return (
            f"Training, because: {training.reason}." if training else f"At work: {working['name']}." if working else ""
        )
    if status.threshold_rows and status.rows_pending < status.threshold_rows:
        missing = status.threshold_rows - status.rows_pending
        return f"Waiting for drops; {missing:,} more rows start a training (retrain.threshold_rows, retrain.growth)."
    if status.threshold_rows:
        return f"{status.rows_pending:,} new rows are enough; the training starts after the pause of retrain.cooldown_seconds."
    if status.rows_pending and status.next_schedule:
        return f"{counted(status.rows_pending, 'new row')}; the next training starts on retrain.schedule."
    return "Waiting for drops."


def _validate(facts: Facts) -> Step:
    last, waiting = _first(facts.drops), facts.backlog
    if waiting.files:
        files = f"{counted(waiting.files, 'file')}, {size(waiting.bytes)}"
        return _step("validate", "active", files) if facts.alive else _step("validate", "idle", f"{files}: not read")
    if last is None:
        return _step("validate", "idle", "no drop yet")
    state: StepState = "failed" if last["state"] == DropState.REJECTED and not last.get("decided_by") else "done"
    return _step("validate", state, f"{last['name']} {last['state']}", last["decided_at"])


def _commit(facts: Facts) -> Step:
    last = _first(facts.batches)
    if last is None:
        return _step("commit", "idle", "no batch yet")
    if last["state"] != BatchState.COMMITTED:
        return _step("commit", "active" if facts.alive else "idle", f"batch {last['seq']}", last["accepted_at"])
    return _step(
        "commit", "done", f"batch {last['seq']} is revision {(last['revision'] or '')[:10]}", last["committed_at"]
    )


def _train(facts: Facts) -> Step:
    training, last = facts.status.training if facts.status else None, _first(facts.runs)
    if facts.alive and training:
        step = _step("train", "active", training.stage, training.since)
        return {**step, "step": training.step, "steps": training.steps}
    if last is None:
        return _step("train", "idle", "no training yet")
    if last["state"] == RunState.STARTED:
        return _step("train", "active" if facts.alive else "idle", f"run {last['id']}", last["started_at"])
    took = f" in {last['seconds']:.1f} s" if last["seconds"] else ""
    state = RUN_STATES.get(last["state"], "failed")
    return _step("train", state, f"run {last['id']} {last['state']}{took}", last["ended_at"])


def _judge(facts: Facts) -> Step:
    last, run = _first(facts.versions), _first(facts.runs)
    unjudged = (
        run is not None
        and run["state"] == RunState.TRAINED
        and (last is None or (run["version"] or 0) > last["version"])
    )
    if run and unjudged and facts.alive:
        return _step("judge", "active", f"v{run['version']} against the champion")
    if last is None:
        return _step("judge", "idle", "no version yet")
    state: StepState = "done" if last["state"] in (VersionState.PROMOTED, VersionState.HELD) else "failed"
    return _step("judge", state, f"v{last['version']} {last['state']}", last["judged_at"])


def _serve(facts: Facts) -> Step:
    last, swap = _first(facts.versions), _first(facts.swaps)
    if facts.pointer is None:
        return _step("serve", "idle", "no model yet")
    ahead = (
        last is not None
        and last["state"] == VersionState.PROMOTED
        and (swap is None or swap["version"] < last["version"])
    )
    if last and ahead and facts.alive and (swap is None or swap["at"] < last["judged_at"]):
        return _step("serve", "active", f"v{last['version']} is being swapped in")
    return _step("serve", "done", f"v{facts.pointer.version}", facts.pointer.since)


def _first(rows: Sequence[T]) -> T | None:
    return rows[0] if rows else None


def _step(name: str, state: StepState, detail: str, at: str | None = None) -> Step:
    return {"name": name, "state": state, "mark": MARKS[state], "detail": detail, "at": at, "step": None, "steps": None}
