"""Follows a request to its answer, and a training to the verdict on its version, on a terminal.

It only reads the journal and the status file; interrupting it changes nothing.
"""

import time
from typing import TypedDict

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from retraind.daemon.cli.report import say
from retraind.daemon.cli.report.home_access import reading
from retraind.daemon.core import status
from retraind.daemon.core.errors import Exit, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import RequestState, RunState, VersionState
from retraind.daemon.core.status import Training
from retraind.daemon.records.requests import Requests
from retraind.daemon.records.runs import Runs
from retraind.daemon.records.versions import Versions

PAUSE = 0.2
"""Seconds between two polls."""

ANSWER_SECONDS = 5.0
"""Seconds to wait for the answer to a request: the daemon may have more urgent work."""

GOOD = (VersionState.PROMOTED, VersionState.HELD)
"""States of a version that the gate has not refused."""


class FollowedTraining(TypedDict):
    """The end of a training, as state and sentence. `run` None: it never began; `version` None: it made no version."""

    request: str
    run: int | None
    version: int | None
    state: RunState | VersionState | RequestState
    sentence: str


def last_run(home: Home) -> int:
    """Number of the newest run, 0 if there is none."""
    with reading(home):
        return next((int(run["id"]) for run in Runs(home.journal).newest(1)), 0)


def answer(home: Home, request: str, seconds: float = ANSWER_SECONDS) -> tuple[RequestState, str] | None:
    """State (done, refused) and sentence of the answer to a request; None if no answer comes within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with reading(home):
            row = Requests(home.journal).get(request)
        if row is not None and row["state"] != RequestState.QUEUED:
            return RequestState(row["state"]), str(row["detail"])
        time.sleep(PAUSE)
    return None


def follow(home: Home, request: str, before: int) -> tuple[Exit, FollowedTraining]:
    """Show the progress of the training that `request` starts until it ends; `before` is the newest run before it.

    Returns the exit code and the facts: run, version, state, and a sentence on how it ended. Raises Unavailable when no
    daemon runs.
    """
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=say.is_json()) as bar:
        task = bar.add_task("waiting for the daemon", total=None)
        while (outcome := _ended(home, request, before)) is None:
            daemon = status.read(home.status)
            if daemon is None or not daemon.alive:
                raise Unavailable("The daemon is not running. Your request is queued and runs when it starts.")
            _show(bar, task, daemon.training)
            time.sleep(PAUSE)
    return outcome


def _ended(home: Home, request: str, before: int) -> tuple[Exit, FollowedTraining] | None:
    """How the request ended; None while it has not."""
    with reading(home):
        asked, run = Requests(home.journal).get(request), next(iter(Runs(home.journal).newest(1)), None)
        if asked is None or asked["state"] == RequestState.QUEUED:
            return None
        if asked["state"] == RequestState.REFUSED:
            return Exit.REFUSED, _facts(request, None, None, RequestState.REFUSED, asked["detail"])
        # A request is done when its training has started. That training is then the newest, since only one runs at a
        # time.
        if run is None or run["id"] <= before or run["state"] == RunState.STARTED:
            return None
        if run["state"] != RunState.TRAINED:
            sentence = f"Training {run['id']}: {run['detail']}"
            return Exit.FAILED, _facts(request, run["id"], None, run["state"], sentence)
        version = None if run["version"] is None else Versions(home).get(run["version"])
    if version is None:
        return None
    sentence = f"Version {version['version']} {version['state']}: {version['reason']}"
    if cut := version["scores"].get("cut"):
        sentence += f" {cut['sentence']}"
    code = Exit.OK if version["state"] in GOOD else Exit.REFUSED
    return code, _facts(request, run["id"], version["version"], version["state"], sentence)


def _facts(
    request: str, run: int | None, version: int | None, state: RunState | VersionState | RequestState, sentence: str
) -> FollowedTraining:
    return {"request": request, "run": run, "version": version, "state": state, "sentence": sentence}


def _show(bar: Progress, task: TaskID, training: Training | None) -> None:
    if training is None:
        return
    part = (training.fold - 1) / training.folds if training.fold and training.folds else 0.0
    bar.update(task, description=described(training), total=training.steps, completed=max(0, training.step - 1) + part)


def described(training: Training) -> str:
    """The stage of a training in one line, with its fold and the remaining time if known."""
    text = f"training {training.run}: {training.stage}"
    if training.fold:
        text += f" (candidate {training.candidate} of {training.candidates}, fold {training.fold} of {training.folds})"
    return text if training.left is None else f"{text}, about {training.left:.0f} s to go"
