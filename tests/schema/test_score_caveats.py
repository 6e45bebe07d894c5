"""retraind.daemon.schema.score_caveats: what a version's scores can't say for it, and what a home says that has too little to train on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service import Service, wait_until

from retraind.daemon.cli.report import health
from retraind.daemon.core import requests
from retraind.daemon.core.settings import Promote
from retraind.daemon.gate import rules
from retraind.daemon.records.records import Records
from retraind.daemon.schema import score_caveats
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.scores import HOLDOUTS, DummyScore, Score, Scores
from retraind.daemon.training import metrics

LOANS = Schema(target="loan", classes=["good", "bad"], columns=[Column(name="income", kind="number")])
COSTS = Schema(task="regression", target="cost", columns=[Column(name="income", kind="number")])


def rolling(truth: list[int], named: list[int], taught: list[int]) -> Any:
    """Scores of a first version that names these classes, on the rolling holdout."""
    codes, past = np.array(truth, dtype=np.int64), np.array(taught)
    answers = np.eye(2)[named] if named else np.zeros((0, 2))
    dummy = {**metrics.score(metrics.dummy_answers(past, len(codes), LOANS), codes, LOANS), "answer": "good"}
    support = {name: int((past == code).sum()) for code, name in enumerate(LOANS.classes)}
    parts: dict[str, Any] = {"challenger": metrics.score(answers, codes, LOANS), "dummy": dummy}
    scores = {who: dict.fromkeys(HOLDOUTS, score) for who, score in parts.items()}
    return scores | {"champion": None, "champion_version": None, "taught": {"n": len(past), "support": support}}


@pytest.mark.parametrize(
    ("truth", "named", "taught", "lacks"),
    [
        ([0] * 90 + [1] * 10, [0] * 90 + [1] * 10, [0] * 90 + [1] * 10, []),
        ([0] * 90 + [1] * 10, [0] * 100, [0] * 90 + [1], ["no better than always answering 'good' (accuracy 0.9000)"]),
        ([0] * 90 + [1] * 10, [1] * 100, [0] * 90 + [1], ["no better than always answering 'good' (accuracy 0.9000)"]),
        ([0] * 20, [0] * 20, [0] * 9 + [1] * 3, ["3 rows of 'bad', none held out", "no better"]),
        ([], [], [0, 0, 1, 1], ["no held-out row judges it"]),
    ],
)
def test_what_a_version_lacks_stands_in_its_verdict(
    truth: list[int], named: list[int], taught: list[int], lacks: list[str]
) -> None:
    """It serves all the same, since there is nothing better; but its score is not taken for more than it is."""
    scores = rolling(truth, named, taught)
    said = score_caveats.of(scores)
    assert len(said) == len(lacks)
    assert all(part in clause for part, clause in zip(lacks, said, strict=True))
    verdict = rules.judge(scores, Promote())
    assert verdict.state == "promoted"
    assert ("On trial: " in verdict.reason) == bool(lacks)
    assert all(clause in verdict.reason for clause in said)


def test_mean_is_the_dummy_of_a_regression() -> None:
    """R² -0.21 was promoted without a word."""
    truth = np.array([1.0, 2.0, 3.0, 4.0])
    scored = metrics.score(np.array([[4.0], [3.0], [2.0], [1.0]]), truth, COSTS)
    guessed = metrics.score(metrics.dummy_answers(np.array([2.0, 3.0]), 4, COSTS), truth, COSTS)
    dummy: DummyScore = {**guessed, "answer": None}
    assert dummy["r2"] == 0
    scores: Scores = {"challenger": {"rolling": scored}, "dummy": {"rolling": dummy}}
    assert score_caveats.of(scores) == ["it is no better than always answering the mean (R² 0.0000)"]


def test_scores_of_before_lack_nothing_that_was_not_asked() -> None:
    """An older home's versions have no dummy beside them: it is not said that they are no better."""
    score = metrics.score(np.eye(2)[[0, 0]], np.array([0, 1]), LOANS)
    assert score_caveats.of({"challenger": {"rolling": score}}) == []
    assert score_caveats.of({}) == []


def test_unseen_classes_are_counted_where_they_are_many() -> None:
    """Three are named, the others counted."""
    support = {f"c{number}": 2 for number in range(9)}
    challenger: Score = {"n": 20, "accuracy": 1.0, "support": {"c0": 20}}
    said = score_caveats.of({"challenger": {"rolling": challenger}, "taught": {"n": 18, "support": support}})
    assert said == [*(f"2 rows of 'c{n}', none held out" for n in (1, 2, 3)), "5 more classes without a held-out row"]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A home whose rows are to be good or bad loans."""
    service = Service(tmp_path / "home", RETRAIND_BOOTSTRAP="none")
    service.home.make()
    service.home.schema.parent.mkdir(parents=True, exist_ok=True)
    service.home.schema.write_bytes(LOANS.dump())
    yield service.start()
    service.end()


@pytest.mark.slow
def test_rows_of_one_class_are_waited_with_instead_of_failing(service: Service) -> None:
    """One attempt, whose reason status, health and journal give with what to drop; the other class makes the model."""
    lines = [f"{number},good" for number in range(40)]
    (service.home.inbox / "good.csv").write_text("\n".join(["income,loan", *lines]) + "\n")

    def reason() -> str:
        return str(service.ask("/health")[1]["checks"].get("training", {}).get("detail", ""))

    wait_until(reason, what="the reason why nothing can be trained")
    assert "fewer than two classes with two rows" in reason()
    assert "Drop rows of 'bad'" in reason()
    assert reason() in service.ask("/health")[1]["checks"]["model"]["detail"]
    assert "Drop rows of" in str(service.ask("/dashboard")[1])
    assert "Drop rows of" in health.as_text(health.read(service.home))
    assert runs(service) == ["postponed"]
    requests.submit(service.home, "retrain", force=False, by="test")
    wait_until(lambda: not list(service.home.requests.glob("*.json")), what="the request to be answered")
    assert runs(service) == ["postponed"], "the same rows are not tried again"
    more = [f"{-number},bad" for number in range(1, 41)]
    (service.home.inbox / "bad.csv").write_text("\n".join(["income,loan", *more]) + "\n")
    wait_until(lambda: service.ask("/health")[1]["model_version"], what="a model")
    wait_until(lambda: "training" not in service.ask("/health")[1]["checks"], what="the reason to go")


def runs(service: Service) -> list[str]:
    """How each training ended, oldest first."""
    return [row["state"] for row in reversed(Records(service.home).runs.newest())]
