"""retraind.daemon.schema.costs: what answers cost, in choosing, judging and serving."""

import json
import re
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import pytest
from sites import Client

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import settings
from retraind.daemon.core.errors import BadSettings, TrainingFailed
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Train
from retraind.daemon.promotion import live_comparison
from retraind.daemon.records.late_labels import Outcome
from retraind.daemon.schema import costs, counted_costs
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.costs import Costs
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training import losses, metrics
from retraind.daemon.training.selection import cross_validation

LOANS = Schema(target="loan", classes=["good", "bad"], columns=[Column(name="x", kind="number")])
TABLE = {"good": {"bad": 1.0}, "bad": {"good": 5.0}}
FIVE = Costs.of(TABLE, LOANS.classes)
assert FIVE is not None


def shares(*bad: float) -> Any:
    return np.array([[1 - share, share] for share in bad])


def test_answer_is_the_class_that_costs_least() -> None:
    """With 5 to 1 from a sixth on; a leaf that lies on the threshold has the first class, whatever the last bit says."""
    assert FIVE is not None
    assert FIVE.decide(shares(0.1, 0.16, 0.18, 0.4, 0.9)).tolist() == [0, 0, 1, 1, 1]
    assert FIVE.decide(shares(1 / 6 - 1e-7, 1 / 6, 1 / 6 + 1e-7)).tolist() == [0, 0, 0]
    assert costs.named(shares(0.4, 0.6), None).tolist() == [0, 1]


def test_what_is_not_said_costs_one() -> None:
    """A class without costs has 0 on the diagonal and 1 elsewhere, so equal costs give the likeliest class."""
    costs = Costs.of({"b": {"a": 7.0}}, ["a", "b", "c"])
    assert costs is not None
    assert costs.matrix.tolist() == [[0, 1, 1], [7, 0, 1], [1, 1, 0]]
    assert Costs.of({}, ["a", "b"]) is Costs.of(None, ["a", "b"]) is None
    usual = Costs.of({"b": {"a": 1.0}}, ["a", "b", "c"])
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 200)
    assert usual is not None
    assert (usual.decide(probabilities) == probabilities.argmax(axis=1)).all()
    assert set(usual.decide(probabilities[:, :2])) == {0, 1}, "answers of before a class came"


def test_unknown_class_is_reported() -> None:
    """With the nearest name; a target that is a number has no classes."""
    with pytest.raises(
        TrainingFailed, match=r"names 'bda', which is not a class\. The classes are 'good', 'bad'\. Did you"
    ):
        Costs.of({"bda": {"good": 5}}, LOANS.classes)
    with pytest.raises(TrainingFailed, match=r"are for classes, and the target is a number\. Remove train\.costs"):
        Costs.of(TABLE, [])


@pytest.mark.parametrize("cost", ["-1", "nan", '"much"'])
def test_cost_that_is_none_is_refused(tmp_path: Path, cost: str) -> None:
    """With the key that has it."""
    (tmp_path / "retraind.toml").write_text(f"[train.costs]\ngood.bad = {cost}\n")
    with pytest.raises(BadSettings, match=re.escape("train.costs.good.bad")):
        settings.load(tmp_path / "retraind.toml")


def test_costs_are_read_by_true_and_answered_class(tmp_path: Path) -> None:
    """Names with dots or spaces stand in quotes."""
    (tmp_path / "retraind.toml").write_text('[train.costs]\ngood.bad = 1\nbad.good = 5\n"no. 3"."so so" = 2.5\n')
    assert settings.load(tmp_path / "retraind.toml").train.costs == TABLE | {"no. 3": {"so so": 2.5}}


def test_costs_choose_and_are_scored_beside_the_dummy() -> None:
    """`auto` is what answers cost; a metric that is named stays. The best constant answer is the one that costs least."""
    assert cross_validation.metric_of("classification", Train(costs=TABLE), np.array([0] * 9 + [1])) == "cost"
    assert cross_validation.metric_of("classification", Train(costs=TABLE, metric="roc_auc")) == "roc_auc"
    codes = np.array([0] * 7 + [1] * 3)
    probabilities = shares(0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3, 0.3, 0.3, 0.1)
    score = metrics.score(probabilities, codes, LOANS, "cost", FIVE)
    assert (score["cost"], score["metric"], score["costs"]) == (0.6, "cost", TABLE)
    assert score["confusion"] == [[6, 1], [1, 2]]
    dummy = metrics.score(metrics.dummy_answers(codes, 10, LOANS), codes, LOANS, "cost", FIVE)
    assert dummy["cost"] == 0.7, "always bad"
    assert metrics.score(probabilities[:0], codes[:0], LOANS, "cost", FIVE)["cost"] is None
    assert losses.of(probabilities, codes, "cost", FIVE).mean() == pytest.approx(0.6 / 0.7)
    better = losses.compare(
        losses.of(probabilities, codes, "cost", FIVE),
        losses.of(metrics.dummy_answers(codes, 10, LOANS), codes, "cost", FIVE),
    )
    assert better.loss == pytest.approx(-0.1 / 0.7)


def test_nothing_is_saved_where_no_dear_class_came() -> None:
    """Whatever unit costs are in: labels of the cheap class alone say nothing about the share."""
    assert counted_costs.saved({("good", "good"): 59, ("good", "bad"): 1}, TABLE)[1] is None


def test_late_labels_are_priced() -> None:
    """By the share of the best constant answer's cost that is saved: the mean of it, its interval, and a surely worse version."""
    good, bad = Outcome(truth="good", prediction="good"), Outcome(truth="bad", prediction="bad")
    rows = [good] * 60 + [bad] * 40
    worse = [Outcome(truth=row["truth"], prediction="good") for row in rows]
    counts = {("good", "good"): 60, ("bad", "good"): 40}
    mean, share = counted_costs.saved(counts, TABLE)
    assert (mean, share and share[0]) == (2.0, 1 - 2.0 / 0.6)
    now, before = (live_comparison.measure(one, "cost", table=TABLE) for one in (worse, rows))
    assert now is not None
    assert before is not None
    assert (before.value, now.value) == (1.0, 1 - 2.0 / 0.6)
    assert now.upper < before.value
    assert live_comparison.standard_errors(worse, rows, "cost", TABLE) > 3
    codes = np.array([0] * 60 + [1] * 40)
    held = metrics.score(shares(*[0.0] * 100), codes, LOANS, "cost", FIVE)
    assert live_comparison.scored(held, "cost", rows, TABLE) == pytest.approx((now.value, now.error))


def test_served_answer_costs_least_and_probabilities_stay(tmp_path: Path) -> None:
    """At every door; a version without costs answers the likeliest class."""
    home = Home(tmp_path)
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    table = {"virginica": dict.fromkeys(["setosa", "versicolor"], 1e15)}
    pointer = bundles.make(home, 1)
    bundles.point(home, pointer)
    usual = answered(home)
    manifest = bundle.read_manifest(home.bundle(1), pointer.manifest)
    priced = manifest.model_copy(update={"settings": {"costs": table}})
    pointer = pointer.model_copy(update={"version": 2, "manifest": bundle.seal(home.bundle(1), priced)})
    home.bundle(1).rename(home.bundle(2))
    bundles.point(home, pointer)
    answers = answered(home)
    assert usual[0]["prediction_name"] == usual[1] == "setosa"
    assert answers[0]["prediction_name"] == answers[1] == "virginica"
    assert answers[0]["prediction"] == 2
    assert answers[0]["probabilities"] == usual[0]["probabilities"]
    assert answers[0]["confidence"] == usual[0]["probabilities"]["virginica"] < 1e-9


def answered(home: Home) -> tuple[dict[str, Any], Any]:
    client = Client(home)
    single = client.ask("POST", "/predict", json.dumps({"features": bundles.SETOSA}).encode())
    mlflow = json.dumps({"dataframe_split": {"columns": bundles.NAMES, "data": [bundles.SETOSA]}}).encode()
    return json.loads(single[2]), json.loads(client.ask("POST", "/invocations", mlflow)[2])["predictions"][0]
