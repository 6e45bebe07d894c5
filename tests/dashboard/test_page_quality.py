"""retraind.web.dashboard.quality: the figures of the champion on the page. A real journal and pointer on disk."""

import shlex
from dataclasses import replace
from typing import Any

import bundles
import orjson
import pytest
import stories
from stories import Story, alive, states

from retraind.daemon.core.states import VersionState
from retraind.daemon.records.records import Records
from retraind.daemon.records.versions import JudgedVersion
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.scores import Scores
from retraind.web.dashboard import quality
from retraind.web.dashboard.answers.questions import gather
from retraind.web.pages.overview import render

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)


def explained(n: int, r2: float | None) -> dict[str, Any]:
    return {"n": n, "r2": r2, "rmse": 12.25, "mae": 9.5}


def a_regression(
    story: Story, version: int = 1, state: str = "promoted", r2: float | None = 0.8, old: float = 0.8
) -> None:
    now = {"reference": explained(30, 0.75), "rolling": explained(60, r2)}
    before = {"reference": explained(30, 0.75), "rolling": explained(60, old)} if story.champion else None
    fitted = [{"name": "ridge", "cv_r2": 0.79, "cv_rmse": 13.5, "fit_seconds": 0.5}]
    scores = {"challenger": now, "champion": before, "champion_version": story.champion, "candidates": fitted}
    story.record(version, state, scores | {"cv_r2": 0.79}, bundles.PRICES)


def test_a_score_on_few_rows_is_not_known(story: Story) -> None:
    story.accept("iris.csv")
    story.judge(1, "promoted", n=10)
    shown = story.document(alive())
    assert shown["tiles"][3]["state"] == "unknown"
    assert shown["tiles"][3]["sentence"] == "Only 10 held-out rows; a reliable score needs 20."
    assert shown["verdict"]["state"] == "ok"


def test_a_regression_is_shown_by_its_figures(story: Story) -> None:
    story.accept("prices.csv")
    a_regression(story)
    shown = story.document(alive())
    assert states(shown) == ["ok"] * 5
    assert shown["tiles"][3]["headline"] == "0.800 R²"
    assert "RMSE 12.25, MAE 9.5" in shown["tiles"][3]["sentence"]
    assert shown["confusion"] is None
    assert shown["errors"]
    assert shown["errors"]["rows"] == [{"on": "held-out rows", "n": 60, "r2": 0.8, "rmse": 12.25, "mae": 9.5}]
    assert shown["candidates"]
    assert (shown["candidates"]["figure"], shown["candidates"]["fitted"][0]["cv"]) == ("R²", 0.79)
    assert (shown["versions"][0]["score"], shown["versions"][0]["loss_figure"]) == (0.8, "RMSE")
    page = render(shown)
    assert "12.25" in page
    assert "recall" not in page
    assert "The target, the last column, is a number." in page


def test_a_regression_that_got_worse_is_watched(story: Story) -> None:
    story.accept("prices.csv")
    a_regression(story)
    a_regression(story, 2, "refused", r2=0.6, old=0.5)
    tile = story.document(alive())["tiles"][3]
    assert (tile["state"], "It fell from 0.800" in tile["sentence"]) == ("watch", True)


def test_a_score_without_meaning_is_unknown(story: Story) -> None:
    story.accept("prices.csv")
    a_regression(story, r2=None)
    shown = story.document(alive())
    assert shown["tiles"][3]["state"] == "unknown"
    assert render(shown)


def test_examples_hold_for_every_kind(story: Story) -> None:
    a_regression(story)
    lesson = story.document(alive())["teach"]
    said = orjson.loads(shlex.split(lesson["tell"])[0])
    assert encode(bundles.PRICES, said["features"])
    assert said["features"] == {"size": 110.0, "rooms": 4, "garden": True, "built": "2012-12-31", "town": "Aachen"}
    assert bundles.PRICES.label(said["target"]) == "1.5"


@pytest.mark.parametrize(
    ("metric", "then", "now", "headline", "fall"),
    [
        ("balanced_accuracy", 0.84, 0.66, "0.660 balanced accuracy", "It fell from 0.840"),
        ("balanced_accuracy", 0.66, 0.84, "0.840 balanced accuracy", ""),
        ("log_loss", 0.25, 0.5, "0.500 log loss", "It rose from 0.250"),
        ("log_loss", 0.5, 0.25, "0.250 log loss", ""),
    ],
)
def test_headline_is_of_the_metric_that_judges(
    well: Story, metric: str, then: float, now: float, headline: str, fall: str
) -> None:
    """With train.metric the page speaks of that, and of the accuracy beside it."""
    facts = gather(well.home, Records(well.home), alive(), {}, None)
    assert facts.champion is not None
    score: Any = {**facts.champion["scores"]["challenger"]["rolling"], "n": 100, "accuracy": 0.9, "metric": metric}
    first: JudgedVersion = {**facts.champion, "scores": {"challenger": {"rolling": score | {metric: then}}}}
    later: Scores = {"champion": {"rolling": score | {metric: now}}, "champion_version": first["version"]}
    second: JudgedVersion = {**first, "version": 2, "state": VersionState.REFUSED, "scores": later}
    tile = quality.good(replace(facts, versions=[second, first]))
    assert tile["headline"] == headline
    assert "accuracy 0.900, 95 % interval" in tile["sentence"]
    assert tile["sentence"].startswith(fall or "On 100")


def test_late_labels_are_shown_and_can_raise_a_doubt(well: Story) -> None:
    facts = gather(well.home, Records(well.home), alive(), {}, None)
    good = quality.good(replace(facts, live={"n": 40, "accuracy": 0.975, "interval": (0.87, 0.99)}))
    assert good["state"] == "ok"
    assert "0.975 accuracy" in str(good["facts"])
    bad = quality.good(replace(facts, live={"n": 40, "accuracy": 0.5, "interval": (0.35, 0.65)}))
    assert (bad["state"], "On late labels it is at most" in bad["sentence"]) == ("watch", True)


def test_wilson_interval_of_29_in_30() -> None:
    low, high = quality.wilson(29 / 30, 30)
    assert (round(low, 3), round(high, 3)) == (0.833, 0.994)
    assert quality.wilson(0.0, 0) == (0.0, 1.0)
