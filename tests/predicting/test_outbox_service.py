"""retraind.daemon.predicting.outbox.keeper: the daemon starts the process, passes on what it says, and takes the truth later."""

import os
import time
from pathlib import Path
from typing import Any

import outboxes
import pytest
from outboxes import FAST, drop, read
from service import UNTRAINED, Service, wait_until

from retraind.daemon.core import niceness, process_table
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind
from retraind.daemon.core.status import read as read_status
from retraind.daemon.predicting.outbox.keeper import OutboxKeeper

answering = pytest.fixture(outboxes.answering)


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
        assert not niceness.AUTOGROUP.exists() or _yields()
        (answering.predict / "odd.csv").write_text("colour\nred\n")
        (notice,) = wait_until(lambda: keeper.step(time.monotonic(), 1), 60, "the refusal")
        assert notice.kind == EventKind.UNANSWERED
        assert "odd.csv is not answered and is in inbox/rejected" in notice.sentence
    finally:
        keeper.close()


def _yields() -> bool:
    """Whether the process yields to the workers as a session, too: the kernel compares niceness only within one."""
    groups = [Path(f"/proc/{child.pid}/autogroup") for child in process_table.children(os.getpid())]
    nice = f"nice {FAST.train.nice}\n"
    return any(text.endswith(nice) or not text for text in (group.read_text() for group in groups))


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


def test_truth_for_a_file_is_dropped_later(served: Path, tmp_path: Path) -> None:
    """Answered by the running service, whose health is fine; then the answers get labels, which join by prediction_id."""
    service = Service(tmp_path, **UNTRAINED).copied(served).start()
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
