"""retraind retrain --follow: from the request to the verdict, with the exit code that says how it ended."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from commands import forked
from journal_entries import a_version
from running import HERE, a_status
from service import Service, wait_until

from retraind.daemon.cli import follow
from retraind.daemon.core import requests, status
from retraind.daemon.core.errors import Exit, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import RequestState, RunState, VersionState
from retraind.daemon.core.status import Training
from retraind.daemon.storage.journal import Journal

REQUEST = "1" * 16


def followed(home: Home) -> tuple[Exit, follow.FollowedTraining]:
    """What `follow` returns of a request that the journal has as number 1, while a daemon seems to run."""
    status.publish(home.status, a_status(training=TRAINING))
    return follow.follow(home, REQUEST, 0)


TRAINING = Training(
    run=1,
    reason="test",
    stage="cross-validating forest",
    step=3,
    steps=8,
    since="2026-01-01T00:00:00.000Z",
    candidate=2,
    candidates=5,
    fold=4,
    folds=5,
    left=12.6,
)


def ask(journal: Journal, state: str, detail: str = "") -> None:
    journal.requests.take(REQUEST, "retrain", "forced", "2026-01-01T00:00:00Z")
    if state == "done":
        journal.runs.start("requested, forced", "a" * 40, "b" * 32, 150)
    journal.requests.end(REQUEST, RequestState(state), detail)


def test_line_says_how_far_it_is() -> None:
    """Candidate, fold and the time that is left, where they are known."""
    assert follow.described(TRAINING) == (
        "training 1: cross-validating forest (candidate 2 of 5, fold 4 of 5), about 13 s to go"
    )
    plain = TRAINING.model_copy(update=dict.fromkeys(("candidate", "candidates", "fold", "folds", "left")))
    assert follow.described(plain) == "training 1: cross-validating forest"


@pytest.mark.parametrize(("state", "code"), [("promoted", Exit.OK), ("held", Exit.OK), ("refused", Exit.REFUSED)])
def test_verdict_ends_it(home: Home, journal: Journal, state: str, code: Exit) -> None:
    """With the sentence that the journal has."""
    ask(journal, "done")
    journal.runs.end(1, RunState.TRAINED, "version 1 after 2 s", version=1, seconds=2.0)
    journal.versions.judge(a_version(1), VersionState(state), "Because.")
    ended, facts = followed(home)
    assert ended == code
    assert facts == {
        "request": REQUEST,
        "run": 1,
        "version": 1,
        "state": state,
        "sentence": f"Version 1 {state}: Because.",
    }


def test_candidates_that_the_budget_has_cut_are_named(home: Home, journal: Journal) -> None:
    """With what all of them would need."""
    ask(journal, "done")
    journal.runs.end(1, RunState.TRAINED, "version 1 after 2 s", version=1, seconds=2.0)
    scores = {"cut": {"sentence": "train.budget_seconds = 1 was used up.", "seconds": {"forest": 3.0}}}
    version = a_version(1) | {"scores": json.dumps(scores)}
    journal.versions.judge(version, VersionState.PROMOTED, "First.")
    assert followed(home)[1]["sentence"] == "Version 1 promoted: First. train.budget_seconds = 1 was used up."


def test_declined_request_and_failed_training_end_it(home: Home, journal: Journal) -> None:
    """A request without new rows is declined; a training that fails has its reason."""
    ask(journal, "refused", "Not started: there are no new rows.")
    assert followed(home) == (
        Exit.REFUSED,
        {
            "request": REQUEST,
            "run": None,
            "version": None,
            "state": "refused",
            "sentence": "Not started: there are no new rows.",
        },
    )


def test_answer_that_does_not_come_is_not_waited_for_long(home: Home, journal: Journal) -> None:
    """A daemon may be busy; the request stays."""
    assert follow.answer(home, REQUEST, 0.3) is None
    ask(journal, "done", "Training started: requested, forced.")
    assert follow.answer(home, REQUEST) == ("done", "Training started: requested, forced.")


def test_failure_ends_it(home: Home, journal: Journal) -> None:
    """Watched while it runs: the end comes later than the first look."""
    ask(journal, "done")
    looking = threading.Timer(0.5, lambda: journal.runs.end(1, RunState.FAILED, "MemoryError."))
    looking.start()
    ended, facts = followed(home)
    looking.join()
    assert (ended, facts["sentence"]) == (Exit.FAILED, "Training 1: MemoryError.")


def test_without_a_daemon_nothing_is_waited_for(home: Home) -> None:
    """The request stays for the next start."""
    with pytest.raises(Unavailable, match="when it starts"):
        follow.follow(home, REQUEST, 0)


def test_command_follows_its_request_to_the_verdict(home: Home, journal: Journal) -> None:
    """Beside a daemon, which is this process: what it prints, and the exit code of the verdict."""
    status.publish(home.status, a_status(training=TRAINING))
    command = [sys.executable, "-m", "retraind.daemon", "retrain", "--force", "--follow", "--home", str(home.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **HERE) as process:
        (request,) = wait_until(lambda: requests.pending(home))
        assert (request.kind, request.force) == ("retrain", True)
        journal.requests.take(request.id, "retrain", "forced", "2026-01-01T00:00:00Z")
        run = journal.runs.start("requested, forced", "a" * 40, "b" * 32, 150)
        journal.requests.end(request.id, RequestState.DONE, "")
        journal.runs.end(run, RunState.TRAINED, "version 1 after 2 s", version=1, seconds=2.0)
        journal.versions.judge(a_version(1), VersionState.REFUSED, "Worse.")
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (Exit.REFUSED, "Version 1 refused: Worse.\n"), err


@pytest.mark.slow
def test_service_is_followed_to_the_verdict(tmp_path: Path, served: Path) -> None:
    """With --force the same rows are trained on again and the version is judged; without new rows no training starts."""
    service = Service(tmp_path / "home", RETRAIND_TRAIN__CANDIDATES='["tree"]').copied(served).start()
    try:
        service.wait_served(1)
        done = forked("retrain", "--force", "--follow", home=service.home)
        assert (done.returncode, done.stdout.startswith("Version 2 promoted: Accuracy")) == (0, True), done.stderr
        declined = forked("retrain", "--follow", "--json", home=service.home)
        assert declined.returncode == Exit.REFUSED
        facts = json.loads(declined.stdout)
        assert facts["sentence"] == "Not started: there are no new rows since the last training."
        back = forked("rollback", home=service.home)
        assert (back.returncode, back.stderr) == (0, "retraind: Version 1 will be served (rollback).\n")
        nothing = forked("promote", "99", "--json", home=service.home)
        answer = json.loads(nothing.stdout)
        sentence = "There is no version 99; `retraind versions` lists them."
        assert (nothing.returncode, answer["state"], answer["sentence"]) == (Exit.REFUSED, "refused", sentence)
        assert json.loads(nothing.stderr) == {"message": sentence}
    finally:
        service.end()
