"""retraind.daemon.training.losses and retraind.daemon.training.evaluation.reference_answers: how sure it is that one model is worse than another, and whom it is measured by."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, log_loss, r2_score, roc_auc_score

from retraind.daemon.artifacts.bundle import REMEMBERED
from retraind.daemon.schema.scores import Metric
from retraind.daemon.training import losses
from retraind.daemon.training.evaluation import reference_answers
from retraind.daemon.training.evaluation.reference_answers import Part, Remembered

Floats = NDArray[np.float64]


def sample(n: int, classes: int, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Probabilities and truths that have something to do with each other."""
    random = np.random.default_rng(seed)
    truth = np.minimum(random.geometric(0.6, n) - 1, classes - 1).astype(np.int64)
    raw = random.random((n, classes)) + np.eye(classes)[truth] * 0.5
    return raw / raw.sum(axis=1, keepdims=True), truth


@pytest.mark.parametrize("classes", [2, 3])
def test_mean_loss_is_the_metric(classes: int) -> None:
    """So what is compared row by row is what people read."""
    proba, truth = sample(500, classes)
    named = proba.argmax(axis=1)
    area = [roc_auc_score(truth == code, proba[:, code]) for code in (range(1, 2) if classes == 2 else range(classes))]
    expected: dict[Metric, float] = {
        "accuracy": 1 - (named == truth).mean(),
        "balanced_accuracy": 1 - balanced_accuracy_score(truth, named),
        "log_loss": log_loss(truth, proba),
        "roc_auc": 1 - float(np.mean(area)),
    }
    assert {metric: losses.of(proba, truth, metric).mean() for metric in expected} == pytest.approx(expected)


def test_mean_loss_of_values_is_what_is_not_explained() -> None:
    """1 - R²; by absolute errors, in units of the mean distance from the median."""
    random = np.random.default_rng(1)
    truth = random.normal(size=200)
    values = truth + random.normal(size=200)
    assert losses.of(values.reshape(-1, 1), truth, "r2").mean() == pytest.approx(1 - r2_score(truth, values))
    middle = np.full((200, 1), np.median(truth))
    assert losses.of(middle, truth, "mae").mean() == pytest.approx(1)


def test_chance_of_wrong_answers_is_exact() -> None:
    """One-sided McNemar: ten rows lost and three won."""
    old, new = np.zeros(100), np.zeros(100)
    new[:10], old[10:13] = 1, 1
    comparison = losses.compare(new, old)
    assert comparison.n == 100
    assert comparison.loss == pytest.approx(0.07)
    assert comparison.p == pytest.approx(binomtest(10, 13, alternative="greater").pvalue)
    assert losses.compare(old, new).loss == -comparison.loss
    assert losses.compare(old, old).p == 1


def test_equal_models_are_rarely_called_worse() -> None:
    """The stated error rate: of models with the same errors by chance, 5 of 100 at most."""
    random = np.random.default_rng(2)
    comparison = [losses.compare(*(random.random((2, 300)) < 0.1).astype(float)) for _ in range(400)]
    assert sum(one.p < 0.05 for one in comparison) <= 0.06 * 400


def test_heavy_tails_are_compared_by_absolute_errors() -> None:
    """A better model for nearly all rows, and one wild row for which both are far off: R² would call it worse."""
    random = np.random.default_rng(3)
    truth = random.normal(size=400)
    old, new = truth + random.normal(size=400), truth + random.normal(size=400) / 2
    truth[7], old[7], new[7] = 1000, 500, 480
    plain = losses.compare(*(losses.of(one.reshape(-1, 1), truth, "r2") for one in (new, old)))
    assert plain.loss > 0
    comparison = losses.compare_values(new, old, truth, "r2")
    assert comparison.robust
    assert comparison.loss < 0
    assert not losses.compare_values(new[8:], old[8:], truth[8:], "r2").robust


def test_errors_too_large_to_be_squared_are_worse() -> None:
    """Than finite ones; where the champion's are, too, it can't be told."""
    fine, wild = np.ones(5), np.array([1.0, 1.0, np.inf, 1.0, 1.0])
    assert losses.compare(wild, fine).p == 0
    assert losses.compare(fine, wild).p == 1


def version(wrong: int, n: int = 400, start: int = 0) -> Remembered:
    """A version that has `wrong` rows of n wrong, from `start` on, and nothing by cross-validation."""
    truth = np.arange(n) % 2
    named = truth.copy()
    named[start : start + wrong] = 1 - named[start : start + wrong]
    return Remembered(Part.of(np.eye(2)[named], truth), Part.of(np.zeros((0, 2)), truth[:0]))


def test_mark_is_no_lucky_one() -> None:
    """The best of many equal versions is no mark; a surely better one is."""
    equal = {number: version(40, start=number * 2) for number in range(20)}
    assert reference_answers.mark(equal, "accuracy") == 0
    assert reference_answers.mark({**equal, 20: version(38)}, "accuracy") == 0
    assert reference_answers.mark({**equal, 21: version(10)}, "accuracy") == 21
    assert reference_answers.mark({}, "accuracy") is None


def test_answers_are_remembered_in_a_bundle(tmp_path: Path) -> None:
    """And compared on the same rows only, also when there are more classes by then."""
    before = version(40)
    before.write(tmp_path)
    answers_read = reference_answers.read(tmp_path)
    assert answers_read is not None
    grown = Remembered(Part.of(np.pad(before.held.answers, ((0, 0), (0, 1))), before.held.truth), before.training)
    difference = reference_answers.difference(grown, answers_read, "accuracy")
    assert difference is not None
    assert (difference.n, difference.loss) == (400, 0)
    assert reference_answers.difference(version(40, 399), answers_read, "accuracy") is None
    (tmp_path / REMEMBERED).write_bytes(b"no archive")
    assert reference_answers.read(tmp_path) is None
    (tmp_path / REMEMBERED).unlink()
    assert reference_answers.read(tmp_path) is None
