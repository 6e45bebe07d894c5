"""retraind.daemon.backup.prediction_copies: files to predict and their answers are in a backup, whatever is answered meanwhile."""

import time
from pathlib import Path

import backing_up
import outboxes
import pytest
from backing_up import wait_quiet
from outboxes import ROWS, answer, drop, history, kill_at, read, visible

from retraind.daemon.backup import backup, prediction_copies
from retraind.daemon.backup.archive import Packer
from retraind.daemon.backup.restore import restore
from retraind.daemon.cli.report import answered_files
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.answer_record import AnswerRecords
from retraind.daemon.predicting.outbox.folders import ANSWERS, Outbox

settle_soon = pytest.fixture(autouse=True)(backing_up.settle_soon)


@pytest.fixture
def answering(mlflow_home: Home) -> Home:
    return outboxes.answering(mlflow_home)


def copied(home: Home, tmp_path: Path) -> Home:
    """The home that a backup of this one becomes."""
    backup.backup(home, tmp_path / "home.tar")
    again = Home(tmp_path / "again")
    restore(tmp_path / "home.tar", again)
    return again


def require_same(home: Home, again: Home) -> None:
    """All ids of the answers are in the history, each once."""
    ids = [line["prediction_id"] for name in visible(again) if ANSWERS in name for line in read(again.outbox / name)]
    assert sorted(ids) == sorted(history(again))
    assert visible(home) == visible(again)


def test_waiting_files_and_answers_are_copied(answering: Home, tmp_path: Path) -> None:
    """A waiting file is answered by the restored home; bytes that were answered are not answered again."""
    drop(answering, rows=[*ROWS, "d,wide,1,1,1"])
    answer(answering)
    wait_quiet(drop(answering, "waits.csv", ROWS[:2]))
    again = copied(answering, tmp_path)
    assert (again.predict / "waits.csv").exists()
    assert visible(again) == ["new.bad.csv", "new.predictions.csv"]
    assert answered_files.describe(again) == "1 file to predict, 1 file answered."
    require_same(answering, again)
    drop(again, "same.csv", [*ROWS, "d,wide,1,1,1"])
    answer(again)
    assert visible(again) == ["new.bad.csv", "new.predictions.csv", "waits.predictions.csv"]
    assert len(history(again)) == 5


@pytest.mark.parametrize("copies", [False, True], ids=["in the log", "in the history"])
def test_file_that_is_answered_meanwhile_is_answered_once(answering: Home, tmp_path: Path, *, copies: bool) -> None:
    """After the waiting files and the history were packed; the second time it starts over if the log is gone as well."""
    wait_quiet(drop(answering))
    pack, turns = prediction_copies._pack_history, []

    def then_answer(home: Home, packer: Packer, scratch: Path) -> None:
        pack(home, packer, scratch)
        turns.append(time.monotonic())
        answer(answering)
        if copies:
            history(answering)
            for path in answering.logs.glob("predictions-*.jsonl"):
                path.unlink()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction_copies, "_pack_history", then_answer)
        again = copied(answering, tmp_path)
    assert len(turns) == (2 if copies else 1)
    answer(again)
    assert list(again.predict.iterdir()) == []
    require_same(answering, again)


def test_answers_without_their_names_are_made_again(answering: Home, tmp_path: Path) -> None:
    """A killed process has prepared them: their hidden files are in no copy, so the file waits in it."""
    wait_quiet(drop(answering))
    kill_at(answering, Outbox, "show", after=False)
    assert answered_files.describe(answering).endswith("1 file is finished at the next start.")
    again = copied(answering, tmp_path)
    assert list(AnswerRecords(again).all()) == []
    answer(again)
    assert visible(again) == ["new.predictions.csv"]
    assert len(read(again.outbox / "new.predictions.csv")) == 3


def test_lost_answers_are_named(answering: Home) -> None:
    drop(answering)
    kill_at(answering, Outbox, "show", after=False)
    for path in answering.outbox.iterdir():
        path.unlink()
    with pytest.raises(RetraindError, match=r"The answers to new\.csv are gone"):
        answered_files.describe(answering)
