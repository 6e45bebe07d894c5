"""retraind.daemon.ingest.exam_scores and retraind.daemon.ingest.exam_runner: the served version predicts a drop before the drop is accepted."""

from collections.abc import Iterator
from typing import Any

import bundles
import numpy as np
import orjson
import pyarrow as pa
import pytest
from ingesting import HEADER, Parts
from numpy.typing import NDArray
from sites import Client

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.ingest import exam_runner
from retraind.daemon.ingest.exam_scores import Exam, ExpectedError, examine
from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.records.query import ask
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import csv_table, file_content
from retraind.daemon.tabular.file_content import Content

Matrix = NDArray[np.float64]

SCHEMA = Schema(
    target="y",
    classes=["a", "b"],
    columns=[Column(name="x", kind="number"), Column(name="c", kind="category", categories=["u", "v"])],
)
VALUES = Schema(task="regression", target="y", columns=[Column(name="x", kind="number")])
PROMISE = ExpectedError(0.05, 200, {"a": 100.0, "b": 100.0})


def drawn(count: int, seed: int = 0) -> Matrix:
    random = np.random.default_rng(seed)
    return np.column_stack([random.normal(size=count), random.integers(0, 2, count)])


def asked(rows: Matrix, truths: list[str], before: list[Exam] | None = None) -> Exam:
    """An exam by a version that says b above zero."""
    answers = np.column_stack([rows[:, 0] <= 0, rows[:, 0] > 0]).astype(float)
    return examine(SCHEMA, 7, PROMISE, drawn(500, 9), rows, truths, answers, before or [])


def right(rows: Matrix) -> list[str]:
    return ["b" if value > 0 else "a" for value in rows[:, 0]]


def test_a_clean_drop_is_not_suspicious() -> None:
    for count in (1, 20, 50, 1000):
        for seed in range(20):
            rows = drawn(count, seed)
            assert asked(rows, right(rows)).reasons == ()


def test_flipped_labels_are_suspicious_and_the_reason_says_how_many() -> None:
    rows = drawn(200)
    truths = right(rows)
    flipped = [("a" if name == "b" else "b") if index % 2 else name for index, name in enumerate(truths)]
    assert asked(rows, flipped).reasons == ("50% of its labels disagree with v7, usually 5%",)
    assert asked(rows[:19], flipped[:19]).reasons == (), "too few to say anything"


def test_labels_of_one_class_are_suspicious_even_if_they_are_right() -> None:
    rows = np.abs(drawn(200))
    (reason,) = asked(rows, right(rows)).reasons[:1]
    assert "100% of its labels are 'b'" in reason


def test_another_unit_is_suspicious() -> None:
    rows = drawn(200) * [1000.0, 1.0] + [4000.0, 0.0]
    assert any("values of 'x' have shifted" in reason for reason in asked(rows, right(rows)).reasons)
    rows = drawn(200) * [2.54, 1.0]
    assert any("values of 'x' have shifted" in reason for reason in asked(rows, right(rows)).reasons)
    rows = drawn(200)
    rows[:, 1] = -1  # unknown categories
    assert any("values of 'c' have shifted" in reason for reason in asked(rows, right(rows)).reasons)
    rows = drawn(200)
    rows[:150, 0] = np.nan
    assert any("values of 'x' have shifted" in reason for reason in asked(rows, right(rows)).reasons)


def test_what_has_come_three_times_is_usual() -> None:
    """The world may change: it does not stay suspicious."""
    before: list[Exam] = []
    odd = []
    for seed in range(6):
        rows = drawn(200, seed)
        exam = asked(rows, ["a"] * 200, before)
        before.insert(0, exam)
        odd.append(bool(exam.reasons))
    assert odd[0]
    assert not any(odd[3:])


def test_two_odd_exams_of_five_change_nothing_that_is_usual() -> None:
    odd, fine = Exam(200, 0.6, 0.05, 0.5, {"x": 0.9}), Exam(200, 0.04, 0.05, 0.0)
    rows = drawn(200)
    for before in ([odd, odd, fine, fine, fine], [fine, odd, fine, odd, fine, odd, odd, odd]):
        exam = asked(rows, ["a"] * 200, before)
        assert (exam.usual, len(exam.reasons)) == (PROMISE.error, 2)


def test_values_far_from_the_answers_are_suspicious() -> None:
    rows = drawn(100)[:, :1]
    expected = ExpectedError(0.5, 200, {})
    near, far = rows[:, 0] + 0.4, rows[:, 0] * 1000
    assert examine(VALUES, 3, expected, None, rows, near, rows, []).reasons == ()
    (reason,) = examine(VALUES, 3, expected, None, rows, far, rows, []).reasons
    assert "usual error of v3" in reason


# With a served version, a journal and drops


PROMISED = {"challenger": {"rolling": {"n": 200, "accuracy": 0.95, "support": {"setosa": 100, "virginica": 100}}}}


@pytest.fixture
def parts(home: Home) -> Iterator[Parts]:
    home.schema.write_bytes(bundles.SCHEMA.dump())
    parts = Parts(home)
    yield parts
    parts.close()


def serve(home: Home, version: int = 1) -> None:
    """Let a version serve that calls everything setosa and was let in with an accuracy of 0.95."""
    bundles.point(home, bundles.make(home, version, scores=PROMISED))


def flowers(count: int, *species: str, begin: int = 0) -> str:
    return HEADER + "".join(
        f"{5 + (begin + index) / 10_000:.4f},3.5,1.4,0.2,{species[index % len(species)]}\n" for index in range(count)
    )


def test_without_a_version_nothing_is_examined(parts: Parts) -> None:
    parts.drop("a.csv", flowers(30, "setosa"))
    parts.run()
    assert list(parts.journal.exams.newest(10)) == []


def test_each_drop_of_a_batch_has_its_exam_and_the_small_ones_one_together(home: Home, parts: Parts) -> None:
    serve(home)
    parts.drop("right.csv", flowers(40, "setosa", "setosa", "setosa"))
    parts.drop("wrong.csv", flowers(100, "setosa", "virginica", begin=100))
    for number in range(5):
        parts.drop(f"small-{number}.csv", flowers(2, "virginica", begin=300 + 2 * number))
    parts.run()
    exams = {row["name"]: row for row in parts.journal.exams.newest(10)}
    assert exams.keys() == {"right.csv", "wrong.csv", ""}
    assert {name: (row["n"], row["error"], row["suspicious"]) for name, row in exams.items()} == {
        "right.csv": (40, 0.0, 0),
        "wrong.csv": (100, 0.5, 1),
        "": (10, 1.0, 0),
    }
    assert exams["wrong.csv"]["reason"] == "50% of its labels disagree with v1, usually 5%"
    assert {row["batch"] for row in exams.values()} == {1}
    assert len(parts.lengths) == 150, "it teaches all the same"


def test_small_drops_together_and_forgotten_ones_say_nothing_of_what_is_usual(home: Home, parts: Parts) -> None:
    """Half wrong rows, sent a few at a time, are never held: they must not make half wrong files usual."""
    serve(home)
    figures = {"version": 1, "n": 500, "error": 0.5, "usual": 0.05, "mix": 0.5, "shifts": '{"petal_width": 0.9}'}
    nameless: Any = {**figures, "drop": "", "name": "", "suspicious": 0, "reason": ""}
    with parts.journal.together():
        for batch in range(30):
            parts.journal.exams.record([nameless], batch)
    drop = Drop("odd.csv", Stamp(1, 1, 1), Content("a" * 64, 1, b"x"), "")
    columns = {name: [5.0, 3.5] * 30 for name in bundles.SCHEMA.features}
    table = pa.table({**columns, "species": ["setosa", "virginica"] * 30, "_drop": ["a" * 64] * 60})
    parts.ingestion.intake.evaluation.examine([Reading(drop)], table)
    assert [exam["usual"] for exam in parts.ingestion.intake.evaluation.suspicious] == [0.05]


def test_a_large_file_is_examined_by_a_sample_of_its_parts(
    home: Home, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(home)
    monkeypatch.setattr(file_content, "SMALL_BYTES", 50_000)
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 20_000)
    parts.drop("large.csv", flowers(5000, "setosa", "virginica"))
    parts.run()
    (row,) = parts.journal.exams.newest(10)
    assert (row["name"], row["suspicious"]) == ("large.csv", 1)
    assert 500 <= row["n"] <= exam_runner.MOST_ROWS
    assert abs(row["error"] - 0.5) < 0.1


def test_many_drops_are_asked_a_bounded_number_of_rows(home: Home, parts: Parts) -> None:
    serve(home)
    for number in range(30):
        parts.drop(f"{number}.csv", flowers(1200, "setosa", begin=number * 1200))
    parts.run()
    asked_for = [row["n"] for row in parts.journal.exams.newest(100)]
    assert len(asked_for) == 30
    assert sum(asked_for) <= exam_runner.MOST_SAMPLED


def test_a_damaged_bundle_keeps_no_drop_waiting(home: Home, parts: Parts) -> None:
    serve(home)
    (home.bundle(1) / bundle.ONNX).write_bytes(b"broken")
    for number in range(2):
        parts.drop("a.csv", flowers(30, "setosa", begin=number * 30))
        parts.run()
    assert len(parts.lengths) == 60
    assert list(parts.journal.exams.newest(10)) == []
    messages = [row["message"] for row in ask(home.journal, "SELECT message FROM events WHERE kind = 'problem'")]
    assert len(messages) == 1
    assert "can't be examined" in messages[0]


def test_that_drops_are_not_examined_stays_in_the_health_until_an_exam_succeeds(home: Home, parts: Parts) -> None:
    """Over restarts: a daemon that examines nothing is not well."""
    serve(home)
    assert parts.ingestion.intake.evaluation.objection is None
    whole = (home.bundle(1) / bundle.ONNX).read_bytes()
    (home.bundle(1) / bundle.ONNX).write_bytes(b"broken")
    parts.drop("a.csv", flowers(30, "setosa"))
    parts.run()
    for _ in range(2):
        objection = parts.ingestion.intake.evaluation.objection or ""
        assert objection.startswith("Drops can't be examined: BundleRefused: ")
        assert "none is held, until an exam succeeds again" in objection
        parts.reopen()
    (home.bundle(1) / bundle.ONNX).write_bytes(whole)
    parts.drop("b.csv", flowers(30, "setosa", begin=30))
    parts.run()
    assert parts.ingestion.intake.evaluation.objection is None
    parts.reopen()
    assert parts.ingestion.intake.evaluation.objection is None


def test_that_nothing_is_examined_yet_is_reported_with_the_reason(home: Home, parts: Parts) -> None:
    """Who lets suspicious drops wait has to know that none is found: before the first version, and by one without a score."""
    examiner = parts.ingestion.intake.evaluation
    for holds, rest in ((False, "without an exam"), (True, "without an exam, and none is held,")):
        assert examiner.state(None, holds=holds) == (
            f"Nothing is examined: no version is served yet. Drops are accepted {rest} until one is."
        )
    scoreless, scored = bundles.make(home, 1), bundles.make(home, 2, scores=PROMISED)
    assert examiner.state((1, scoreless.manifest), holds=True) == (
        "Nothing is examined: version 1 has no score on held-out rows to compare with. "
        "Drops are accepted without an exam, and none is held, until one with a score serves."
    )
    assert examiner.state((2, scored.manifest), holds=True) == "Drops are examined before they are accepted."


def test_column_that_has_left_the_schema_is_reported(home: Home, parts: Parts) -> None:
    """The served version can't be asked without it, so nothing is examined: that is not well."""
    serve(home)
    first, *others = bundles.SCHEMA.columns
    home.schema.write_bytes(bundles.SCHEMA.model_copy(update={"columns": others, "ignored": [first.name]}).dump())
    parts.drop("a.csv", flowers(30, "setosa"))
    parts.run()
    objection = parts.ingestion.intake.evaluation.objection or ""
    assert f"version 1 needs the column '{first.name}'" in objection
    assert "retraind retrain --force" in objection
    assert [state for _, state in parts.drops()] == ["accepted"]


def test_of_what_is_forgotten_the_exam_keeps_no_name(home: Home, parts: Parts) -> None:
    """Its event stays until a purge: it says what the incident was."""
    serve(home)
    parts.drop("a.csv", flowers(60, "setosa", "virginica"))
    parts.run()
    (row,) = parts.journal.exams.newest(10)
    requests.submit(home, "forget", drop=row["drop"])
    parts.run()
    (row,) = parts.journal.exams.newest(10)
    assert (row["drop"], row["name"], row["reason"], row["suspicious"]) == ("", "", "", 1)
    (event,) = ask(home.journal, "SELECT message FROM events WHERE kind = 'suspicious'")
    assert event["message"].startswith("a.csv")


def test_exams_are_shown_with_their_drops(home: Home, parts: Parts) -> None:
    serve(home)
    parts.drop("good.csv", flowers(40, "setosa"))
    parts.run()
    parts.drop("odd.csv", flowers(60, "setosa", "virginica", begin=100))
    parts.run()
    client = Client(home)
    answer = orjson.loads(client.ask("GET", "/drops")[2])
    exams = {drop["name"]: drop["exam"] for drop in answer["drops"]}
    assert (exams["odd.csv"]["suspicious"], exams["odd.csv"]["error"]) == (True, 0.5)
    assert answer["exams"] == {"n": 100, "error": 0.3, "suspicious": 1}
    shown = orjson.loads(client.ask("GET", "/drops/odd.csv")[2])
    assert shown["exam"]["reason"] == "50% of its labels disagree with v1, usually 5%"
    text = client.ask("GET", "/prometheus_metrics")[2].decode()
    assert "retraind_exam_error 0.3" in text
    assert "retraind_drops_suspicious_total 1.0" in text
    assert "50% of its labels disagree with v1" in client.ask("GET", "/dashboard")[2].decode()
