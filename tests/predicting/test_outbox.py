"""retraind.daemon.predicting.outbox: files of `inbox/predict` come back with answers, exactly once, whenever its process is killed."""

import csv
import io
import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import bundles
import pytest
from service import Service, wait_until

from retraind.daemon.core import clock, durable
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import EventKind
from retraind.daemon.core.status import read as read_status
from retraind.daemon.inbox import drop_removal
from retraind.daemon.predicting.file_answers import FileAnswers
from retraind.daemon.predicting.outbox import attempts, process
from retraind.daemon.predicting.outbox.answer_record import AnswerRecords
from retraind.daemon.predicting.outbox.folders import Outbox
from retraind.daemon.predicting.outbox.keeper import OutboxKeeper
from retraind.daemon.predicting.outbox.prediction_file import PredictionFile
from retraind.daemon.predicting.outbox.process import OutboxProcess
from retraind.daemon.predicting.outbox.retention import OutboxRetention
from retraind.daemon.storage.prediction_history import HistoryCopier

HEADER = ",".join(["id", *bundles.NAMES])
ROWS = ["a,5.1,3.5,1.4,0.2", "b,6.0,2.9,4.5,1.5", "c,6.9,3.1,5.4,2.1"]
FAST = Settings.model_validate({"inbox": {"settle_seconds": 0.0}, "predictions": {"outbox_days": 1.0}})


@pytest.fixture
def answering(home: Home) -> Home:
    """A home that serves version 1 of Iris."""
    bundles.point(home, bundles.make(home, 1))
    home.predict.mkdir()
    return home


def drop(home: Home, name: str = "new.csv", rows: list[str] | None = None) -> Path:
    file = home.predict / name
    file.write_text("\n".join([HEADER, *(rows or ROWS)]) + "\n")
    return file


def answer(home: Home, settings: Settings = FAST) -> None:
    """What the process does until it has nothing more to answer."""
    outbox = OutboxProcess(home, settings)
    while outbox.look():
        pass


def kill_at(home: Home, owner: Any, step: str, *, after: bool) -> None:
    """Let the process answer until it calls a function, and kill it there."""
    pid = os.fork()
    if not pid:
        try:
            _die_at(owner, step, after=after)
            OutboxProcess(home, FAST).look()
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _die_at(owner: Any, step: str, *, after: bool) -> None:
    real = getattr(owner, step)

    def dying(*arguments: Any, **named: Any) -> Any:
        if after:
            real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, step, dying)


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def visible(home: Home) -> list[str]:
    return sorted(path.name for path in home.outbox.iterdir() if not path.name.startswith("."))


def history(home: Home) -> list[str]:
    """The ids in the history, after all log files were copied."""
    copier = HistoryCopier(home, Settings())
    copier.copy()
    copier.close()
    with closing(sqlite3.connect(home.history)) as connection:
        return [identity for (identity,) in connection.execute("SELECT prediction_id FROM predictions")]


# One file


def test_file_comes_back_with_ids_that_the_history_knows(answering: Home) -> None:
    file = drop(answering)
    answer(answering)
    assert not file.exists()
    assert visible(answering) == ["new.predictions.csv"]
    lines = read(answering.outbox / "new.predictions.csv")
    assert [line["id"] for line in lines] == ["a", "b", "c"]
    assert {line["prediction"] for line in lines} <= set(bundles.CLASSES)
    assert sorted(line["prediction_id"] for line in lines) == sorted(history(answering))


def test_bad_rows_come_back_beside_the_answers(answering: Home) -> None:
    drop(answering, rows=[*ROWS, "d,wide,1,1,1"])
    answer(answering)
    assert visible(answering) == ["new.bad.csv", "new.predictions.csv"]
    (bad,) = read(answering.outbox / "new.bad.csv")
    assert (bad["_line"], bad["_column"], bad["id"]) == ("5", "sepal_length", "d")
    assert len(history(answering)) == 3


def test_file_without_a_good_row_is_rejected_like_a_drop(answering: Home) -> None:
    """It moves to inbox/rejected with a report; nothing is logged, and the next file is answered."""
    (answering.predict / "odd.csv").write_text("colour,size\nred,3\n")
    drop(answering)
    answer(answering)
    assert (answering.rejected / "odd.csv").read_text() == "colour,size\nred,3\n"
    report = json.loads((answering.rejected / "odd.csv.report.json").read_text())
    assert "The column 'sepal_length' is missing" in report["reason"]
    assert visible(answering) == ["new.predictions.csv"]
    assert len(history(answering)) == 3


def test_same_bytes_are_answered_once_by_a_version(answering: Home) -> None:
    """Again only if another version serves, or the answers were taken away; under names that are free."""
    drop(answering)
    answer(answering)
    drop(answering, "again.csv")
    answer(answering)
    assert visible(answering) == ["new.predictions.csv"]
    assert list(answering.predict.iterdir()) == []
    bundles.point(answering, bundles.make(answering, 2, favourite=2))
    drop(answering)
    answer(answering)
    assert visible(answering) == ["2-new.predictions.csv", "new.predictions.csv"]
    (answering.outbox / "2-new.predictions.csv").unlink()
    drop(answering)
    answer(answering)
    assert {line["model_version"] for line in read(answering.outbox / "2-new.predictions.csv")} == {"2"}
    assert len(history(answering)) == 9


def test_a_file_being_written_waits(answering: Home) -> None:
    with drop(answering).open("a") as still_open:
        answer(answering)
        assert visible(answering) == []
        still_open.write("d,5,3,1,0\n")
    answer(answering)
    assert len(read(answering.outbox / "new.predictions.csv")) == 4


def test_links_and_hidden_files_are_left_alone(answering: Home, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("\n".join([HEADER, *ROWS]))
    (answering.predict / "link.csv").symlink_to(tmp_path / "secret.csv")
    drop(answering, ".hidden.csv")
    answer(answering)
    assert visible(answering) == []


# Limits


def test_full_outbox_makes_files_wait(answering: Home) -> None:
    drop(answering)
    answer(answering)
    file = drop(answering, "more.csv", ROWS[:1])
    full = FAST.model_copy(update={"predictions": FAST.predictions.model_copy(update={"outbox_bytes": 1})})
    with pytest.raises(RetraindError, match="outbox_bytes"):
        answer(answering, full)
    assert visible(answering) == ["new.predictions.csv"]
    assert file.exists()


def test_old_answers_and_their_records_go(answering: Home) -> None:
    """After outbox_days, once the clock is trusted."""
    drop(answering)
    answer(answering)
    retention = OutboxRetention(answering, 1.0)
    now = clock.read()
    assert retention.sweep(now) == 0
    later = now._replace(wall=now.wall + 1.5 * clock.DAY, steady=now.steady + 1.5 * clock.DAY)
    assert retention.sweep(later) == 1
    assert visible(answering) == []
    assert list(AnswerRecords(answering).all()) == []


def test_file_that_ends_its_readers_is_given_up(answering: Home) -> None:
    """As a file that takes all memory would; the attempts survive the process."""
    drop(answering)
    for _ in range(attempts.MOST):
        kill_at(answering, process, "read_content", after=False)
    answer(answering)
    assert (answering.rejected / "new.csv").exists()


# Kills


STEPS: list[tuple[Any, str]] = [
    (FileAnswers, "lines"),
    (PredictionFile, "close"),
    (Outbox, "free_name"),
    (AnswerRecords, "put"),
    (Path, "rename"),
    (durable, "fsync_dir"),
    (Outbox, "show"),
    (drop_removal, "remove"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[step for _, step in STEPS])
def test_kill_at_any_step_answers_once(answering: Home, owner: Any, step: str, *, after: bool) -> None:
    """SIGKILL before or after each step of the order; then one file of answers, and each id once in the history."""
    drop(answering, rows=[*ROWS, "d,wide,1,1,1"])
    kill_at(answering, owner, step, after=after)
    answer(answering)
    assert visible(answering) == ["new.bad.csv", "new.predictions.csv"]
    lines = read(answering.outbox / "new.predictions.csv")
    assert [line["id"] for line in lines] == ["a", "b", "c"]
    assert sorted(line["prediction_id"] for line in lines) == sorted(history(answering))
    assert list(answering.predict.iterdir()) == []
    assert [
        path for path in (*answering.outbox.iterdir(), *answering.logs.iterdir()) if path.name.endswith(".tmp")
    ] == []


# The daemon's end


def test_process_starts_when_files_wait_and_a_version_serves(answering: Home) -> None:
    keeper = OutboxKeeper(answering, FAST, lambda: None)
    try:
        assert keeper.step(time.monotonic(), 1) == []
        assert (keeper.sentence, keeper.problem) == ("", None)
        drop(answering)
        keeper.step(time.monotonic(), None)
        assert keeper.sentence == "1 file in inbox/predict: no version serves yet, so nothing is answered."
        (notice,) = wait_until(lambda: keeper.step(time.monotonic(), 1), 60, "the answers")
        assert (notice.kind, notice.sentence) == (
            EventKind.ANSWERED,
            "new.csv: version 1 answered 3 of 3 rows; see outbox/new.predictions.csv.",
        )
        (answering.predict / "odd.csv").write_text("colour\nred\n")
        (notice,) = wait_until(lambda: keeper.step(time.monotonic(), 1), 60, "the refusal")
        assert notice.kind == EventKind.UNANSWERED
        assert "odd.csv is not answered and is in inbox/rejected" in notice.sentence
    finally:
        keeper.close()


def test_damaged_model_is_said_and_keeps_the_file(answering: Home) -> None:
    (answering.bundle(1) / "model.onnx").write_bytes(b"x")
    file = drop(answering)
    keeper = OutboxKeeper(answering, FAST, lambda: None)
    try:
        wait_until(lambda: keeper.step(time.monotonic(), 1) or keeper.problem, 60, "the problem")
        assert "is not the file that was recorded" in str(keeper.problem)
        assert file.exists()
    finally:
        keeper.close()


# The whole service


def test_truth_for_a_file_is_dropped_later(served: Path, tmp_path: Path) -> None:
    """Answered by the running service, whose health is fine; then the answers get labels, which join by prediction_id."""
    service = Service(tmp_path).copied(served).start()
    try:
        service.wait_served(1)
        header = "sepal_length,sepal_width,petal_length,petal_width,name"
        rows = [f"{5 + n / 100:.2f},3.4,1.5,0.2,flower {n}" for n in range(30)]
        (service.home.predict / "flowers.csv").write_text("\n".join([header, *rows]) + "\n")
        answers = service.home.outbox / "flowers.predictions.csv"
        wait_until(answers.exists, 90, "the answers")
        lines = read(answers)
        assert [line["name"] for line in lines] == [f"flower {n}" for n in range(30)]
        events = wait_until(
            lambda: [e for e in service.ask("/events?limit=1000")[1]["events"] if e["kind"] == "answered"]
        )
        assert "answered 30 of 30 rows" in events[0]["message"]
        labels = [f"{line['prediction_id']},setosa" for line in lines]
        (service.home.inbox / "truth.csv").write_text("\n".join(["prediction_id,species", *labels]) + "\n")
        drop_ = wait_until(lambda: _found(service, "truth.csv"), 60, "the labels")
        assert (drop_["rows_accepted"], drop_["rows_refused"]) == (30, 0)
        status = read_status(service.home.status)
        assert status is not None
        assert status.not_taken == {}
    finally:
        service.end()


def _found(service: Service, name: str) -> dict[str, Any] | None:
    drops = service.ask("/drops")[1]["drops"]
    return next((drop for drop in drops if drop["name"] == name and drop["state"] == "accepted"), None)


@pytest.mark.slow
def test_killed_service_answers_each_file_once(served: Path, tmp_path: Path) -> None:
    """SIGKILL of daemon and process while they answer, again and again."""
    service = Service(tmp_path, RETRAIND_INBOX__SETTLE_SECONDS="0").copied(served).start()
    try:
        service.wait_served(1)
        header = "id,sepal_length,sepal_width,petal_length,petal_width"
        for file in range(6):
            rows = [f"{file}-{n},{5 + n % 100 / 100:.2f},3.4,1.5,0.2" for n in range(20_000)]
            (service.home.predict / f"f{file}.csv").write_text("\n".join([header, *rows]) + "\n")
            time.sleep(0.7)
            service.kill()
            service.start()
        expected = sorted(f"f{file}.predictions.csv" for file in range(6))
        wait_until(lambda: visible(service.home) == expected, 120, "the answers")
        wait_until(lambda: list(service.home.predict.iterdir()) == [], 60, "an empty folder")
        ids = [line["prediction_id"] for name in expected for line in read(service.home.outbox / name)]
        assert len(ids) == len(set(ids)) == 120_000
        assert service.stop() == 0
        logged = [identity for identity in history(service.home) if "-" not in identity]
        assert sorted(logged) == sorted(ids)
    finally:
        service.end()
