"""retraind.daemon.training.evaluation.details: curves, calibration and residuals of answers, against textbook implementations."""

from pathlib import Path

import numpy as np
import pytest
import workshop
from conftest import home_below
from sklearn.metrics import average_precision_score, roc_auc_score
from workshop import LEAVES, PRICES, Workshop, grown, leaves, prices

from retraind.daemon.artifacts import evaluation, judged_rows
from retraind.daemon.artifacts.manifest import EVALUATION, read_manifest
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.evaluation import details

leafy = pytest.fixture(workshop.leafy)
taught = pytest.fixture(scope="module")(workshop.taught)


def read(workshop: Workshop, version: int, sha256: str) -> tuple[evaluation.Evaluation, judged_rows.JudgedRows]:
    folder = workshop.home.bundle(version)
    manifest = read_manifest(folder, sha256)
    detailed, judged = evaluation.read(folder, manifest), judged_rows.read(folder, manifest)
    assert detailed
    assert judged
    return detailed, judged


def test_two_versions_share_their_held_out_rows_however_classes_are_numbered(leafy: Workshop) -> None:
    first = leafy.champion
    leafy.use(grown(LEAVES, classes=["oak", "ash", "elm"]))
    leafy.add(leaves("ash elm oak", 90, seed=1))
    manifest = leafy.train("tree")
    _, old = read(leafy, *first)
    detailed, new = read(leafy, *leafy.champion)
    assert set(old.keys) < set(new.keys)
    assert (np.diff(new.keys.astype(float)) >= 0).all()
    assert len(new.keys) == detailed["n"] == detailed["total"] == manifest.scores["challenger"]["rolling"]["n"]
    right = (new.answers == new.truth).mean()
    assert right == pytest.approx(manifest.scores["challenger"]["rolling"]["accuracy"])
    assert new.rows.shape == (len(new.keys), 2)
    assert ((new.confidence >= 1 / 3) & (new.confidence <= 1)).all()
    assert detailed["classes"] == len(detailed["curves"]) == 3
    assert "residuals" not in detailed


def test_regression_has_residuals(tmp_path: Path, migrated: Path) -> None:
    houses = Workshop(home_below(tmp_path, migrated), PRICES)
    houses.add(prices(300))
    manifest = houses.train("linear")
    detailed, judged = read(houses, *houses.champion)
    residuals = detailed["residuals"]
    assert sum(residuals["counts"]) == sum(each["n"] for each in residuals["bins"]) == detailed["n"]
    off = judged.answers - judged.truth
    assert np.sqrt((off**2).mean()) == pytest.approx(manifest.scores["challenger"]["rolling"]["rmse"])
    assert np.isnan(judged.confidence).all()


def test_changed_or_missing_files_read_as_none(leafy: Workshop) -> None:
    folder = leafy.home.bundle(1)
    manifest = read_manifest(folder, leafy.champion[1])
    (folder / EVALUATION).write_bytes(b"{}")
    (folder / judged_rows.FILE).unlink()
    assert evaluation.read(folder, manifest) is None
    assert judged_rows.read(folder, manifest) is None


@pytest.mark.parametrize("digits", [1, 6])
def test_curves_have_the_areas_of_scikit_learn(digits: int) -> None:
    """With many equal probabilities (one digit) as well as with none."""
    random = np.random.default_rng(1)
    positive = random.random(3000) < 0.2
    scores = np.clip(random.normal(0.4 + 0.2 * positive, 0.2), 0, 1).round(digits).astype(np.float64)
    curves = details._curves(scores, positive, "ash")
    assert curves["n"] == positive.sum()
    assert curves["roc_auc"] == pytest.approx(roc_auc_score(positive, scores))
    assert curves["average_precision"] == pytest.approx(average_precision_score(positive, scores))
    for line in (curves["roc"], curves["precision_recall"]):
        assert 2 <= len(line) <= details.MOST_POINTS
    assert (curves["roc"][0], curves["roc"][-1]) == ((0, 0), (1, 1))
    assert curves["precision_recall"][-1] == (1, round(float(positive.mean()), 4))


def test_thinned_curve_stays_near_the_whole_one() -> None:
    random = np.random.default_rng(2)
    positive = random.random(20_000) < 0.5
    curve = details._curves(random.normal(positive, 1.0), positive, "ash")
    x, y = zip(*curve["roc"], strict=True)
    assert np.trapezoid(y, x) == pytest.approx(curve["roc_auc"], abs=1e-3)


def test_calibration_tells_sure_from_right() -> None:
    random = np.random.default_rng(3)
    confidence = random.uniform(0.5, 1, 20_000)
    honest = details.calibration(confidence, random.random(20_000) < confidence)
    vain = details.calibration(confidence, random.random(20_000) < confidence - 0.2)
    assert honest["ece"] < 0.02
    assert vain["ece"] == pytest.approx(0.2, abs=0.02)
    assert sum(each["n"] for each in honest["bins"]) == 20_000
    few = details.calibration(confidence[:4], np.ones(4, dtype=bool))
    assert [each["n"] for each in few["bins"]] == [4]


def test_residuals_hold_every_row_however_far_off() -> None:
    truth = np.linspace(0, 100, 1000)
    off = np.random.default_rng(4).normal(0, 1, 1000)
    off[3] = 1e9
    histogram = details._residuals(truth + off, truth)
    assert sum(histogram["counts"]) == 1000
    assert histogram["edges"][-1] < 10
    assert len(histogram["bins"]) == details.BINS
    assert histogram["bins"][0]["middle"] == pytest.approx(0, abs=0.5)
    alike = details._residuals(truth, truth)
    assert (sum(alike["counts"]), len(alike["edges"])) == (1000, 2)


def test_of_two_classes_the_rarer_one_has_the_curves() -> None:
    columns = [Column(name="age", kind="number")]
    schema = Schema(task="classification", target="left", columns=columns, classes=["no", "yes"])
    for rare in (0, 1):
        truth = np.where(np.arange(100) < 10, rare, 1 - rare)
        answers = np.linspace(0.1, 0.9, 200).reshape(100, 2)
        detailed = details._classes(answers, truth, schema, None)
        assert [(curve["name"], curve["n"]) for curve in detailed["curves"]] == [(schema.classes[rare], 10)]
