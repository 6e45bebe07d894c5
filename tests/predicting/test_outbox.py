"""retraind.daemon.predicting.outbox: files of `inbox/predict` come back with answers, within limits."""

import json
from pathlib import Path

import bundles
import outboxes
import pytest
from outboxes import FAST, HEADER, ROWS, answer, drop, history, read, visible

from retraind.daemon.core import clock
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.answer_record import AnswerRecords
from retraind.daemon.predicting.outbox.retention import OutboxRetention

answering = pytest.fixture(outboxes.answering)


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
    assert "The columns 'sepal_length', " in report["reason"]
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
