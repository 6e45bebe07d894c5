"""retraind.daemon.predicting.outbox: each file is answered exactly once, whenever its process is killed."""

import time
from pathlib import Path
from typing import Any

import outboxes
import pytest
from outboxes import ROWS, answer, drop, history, kill_at, read, visible
from service import Service, wait_until

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.inbox import drop_removal
from retraind.daemon.inbox.answer_record import AnswerRecords
from retraind.daemon.predicting.file_answers import FileAnswers
from retraind.daemon.predicting.outbox import attempts, process
from retraind.daemon.predicting.outbox.folders import Outbox
from retraind.daemon.predicting.outbox.prediction_file import PredictionFile

answering = pytest.fixture(outboxes.answering)

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


def test_file_that_ends_its_readers_is_given_up(answering: Home) -> None:
    """As a file that takes all memory would; the attempts survive the process."""
    drop(answering)
    for _ in range(attempts.MOST):
        kill_at(answering, process, "read_content", after=False)
    answer(answering)
    assert (answering.rejected / "new.csv").exists()


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
