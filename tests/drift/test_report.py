"""retraind.daemon.drift.report: every kind of column, what is an alarm and what is not, and never an alarm for too little data."""

from typing import Any

import numpy as np
import orjson
import pytest
from bundles import PRICES
from numpy.typing import NDArray
from test_reference_sample import manifest

from retraind.daemon.artifacts.reference_sample import Reference
from retraind.daemon.core.settings import Drift
from retraind.daemon.drift import report as driftreport
from retraind.daemon.drift.adwin import Detector
from retraind.daemon.drift.report import RecentPredictions
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema

Matrix = NDArray[np.float64]

LETTERS = Schema(
    target="y", classes=["no", "yes"], columns=[Column(name=name, kind="number", missing=True) for name in "abcd"]
)
FALLS = {"a": 0.4, "b": 0.1, "c": 0.002, "d": -0.1}


def houses(seed: int, n: int) -> Matrix:
    """Rows of `PRICES`: size, rooms, garden, built, town."""
    random = np.random.default_rng(seed)
    columns = (
        random.normal(100, 20, n),
        random.integers(1, 9, n),
        random.random(n) < 0.5,
        random.uniform(10_957, 20_000, n),
        random.integers(0, 2, n),
    )
    return np.column_stack(columns).astype(float)


def letters(seed: int, n: int) -> Matrix:
    return np.random.default_rng(seed).normal(size=(n, 4))


def check(schema: Schema, before: Matrix, now: Matrix, settings: Drift | None = None, **more: Any) -> Any:
    """A report on training rows and requested rows; the answers are the sign of the first column, or its value."""
    labels = [rows[:, 0] > 0 if schema.classes else rows[:, 0] for rows in (before, now)]
    answers = [one.astype(float) for one in labels]
    known = manifest(schema, scores={"importance": more["importance"]} if "importance" in more else {})
    reference = more.get("reference", Reference(before, answers[0]))
    detector = more.get("detector") or Detector()
    report = driftreport.report(7, known, reference, RecentPredictions(now, answers[1]), detector, settings or Drift())
    assert orjson.loads(orjson.dumps(report))["features"] == report["features"]
    return report


def by_name(report: Any) -> dict[str, Any]:
    return {one["name"]: one for one in report["features"]}


@pytest.mark.parametrize("rows", [100, 3000])
def test_what_stays_the_same_is_calm(rows: int) -> None:
    report = check(PRICES, houses(0, rows), houses(1, 400))
    assert (report["state"], report["alarm"], report["drifted"], report["tested"]) == ("ok", 0, 0, 4)
    assert report["reason"] == "In the last 400 predictions no feature differs from the training data."
    assert not report["prediction"]["drifted"]


@pytest.mark.parametrize("rows", [100, 3000])
@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("size", 180.0, "middle half 180 to 180, before"),
        ("rooms", 9.0, "middle half 9 to 9, before"),
        ("garden", 1.0, "true: 100.0%, before"),
        ("town", -1.0, "unknown or missing: 100.0%, before 0.0%."),
        ("town", 1.0, "'Zürich': 100.0%, before"),
        ("built", np.nan, "missing 100.0%, before 0.0%;"),
    ],
)
def test_each_kind_of_column_can_drift(rows: int, column: str, value: float, says: str) -> None:
    now = houses(1, 400)
    now[:, PRICES.features.index(column)] = value
    report = check(PRICES, houses(0, rows), now)
    drifted = [name for name, one in by_name(report).items() if one["drifted"]]
    assert drifted == [column]
    assert by_name(report)[column]["sentence"].startswith(says)
    assert (report["state"], report["alarm"]) == ("drift", 1)
    assert column in report["reason"]


def test_dates_move_on_without_an_alarm() -> None:
    now = houses(1, 400)
    now[:, 3] += 5000
    report = check(PRICES, houses(0, 100), now)
    assert (report["state"], by_name(report)["built"]["test"]) == ("ok", None)


@pytest.mark.parametrize("rows", [200, 3000])
def test_more_missing_values_are_drift(rows: int) -> None:
    before, now = letters(0, rows), letters(1, 400)
    before[: rows // 50, 1] = np.nan
    now[:80, 1] = np.nan
    column = by_name(check(LETTERS, before, now))["b"]
    assert column["drifted"]
    assert column["missing"] == {"reference": 0.02, "now": 0.2, "p": column["missing"]["p"], "drifted": True}
    now[8:80, 1] = 0.0
    assert not by_name(check(LETTERS, before, now))["b"]["missing"]["drifted"]


def test_a_column_with_few_values_left_is_judged_by_what_is_missing() -> None:
    now = letters(1, 400)
    now[:380, 2] = np.nan
    column = by_name(check(LETTERS, letters(0, 200), now))["c"]
    assert (column["test"], column["drifted"]) == (None, True)
    assert column["sentence"] == "missing 95.0%, before 0.0%; only 20 values; drift.min_rows requires 50."


def test_columns_that_never_had_a_value_are_left_out() -> None:
    before, now = letters(0, 200), letters(1, 400)
    before[:, 3] = now[:, 3] = np.nan
    report = check(LETTERS, before, now)
    assert (report["state"], report["drifted"]) == ("ok", 0)


def shifted(*columns: int) -> Matrix:
    now = letters(1, 400)
    now[:, columns] += 2
    return now


def test_alarms_are_for_important_features() -> None:
    """Of shares 0.8, 0.2, 0 and 0 the first two matter; a fall below zero is no importance."""
    report = check(LETTERS, letters(0, 200), shifted(2), importance=FALLS)
    assert (report["state"], report["alarm"], report["drifted"]) == ("ok", 0, 1)
    assert (
        report["reason"]
        == "In the last 400 predictions c differs from the training data, but the model hardly uses it."
    )
    assert [one["name"] for one in report["features"]] == ["a", "b", "c", "d"]
    assert [one["important"] for one in report["features"]] == [True, True, False, False]
    report = check(LETTERS, letters(0, 200), shifted(1, 2), importance=FALLS)
    assert report["alarm"] == 1
    assert report["reason"].startswith(
        "In the last 400 predictions b differs from the training data. b (20% of the importance): middle half 1."
    )


def test_half_of_all_features_are_an_alarm_whatever_they_matter() -> None:
    report = check(LETTERS, letters(0, 200), shifted(2, 3), importance=FALLS)
    assert (report["alarm"], report["reason"]) == (
        1,
        "In the last 400 predictions 2 of 4 features differ from the training data.",
    )


def test_without_known_importance_every_feature_counts() -> None:
    assert check(LETTERS, letters(0, 200), shifted(3))["alarm"] == 1
    for unknown in (0.0, None):
        assert check(LETTERS, letters(0, 200), shifted(3), importance=dict.fromkeys("abcd", unknown))["alarm"] == 1


def test_the_most_important_feature_counts_however_even_the_shares() -> None:
    report = check(LETTERS, letters(0, 200), shifted(0), Drift(important=0.9), importance=FALLS)
    assert [one["important"] for one in report["features"]] == [True, False, False, False]
    assert report["alarm"] == 1


@pytest.mark.parametrize(
    ("taught", "asked", "says"),
    [
        (200, 0, "Version 7 has made 0 of the 50 predictions that drift.min_rows requires."),
        (200, 49, "Version 7 has made 49 of the 50 predictions that drift.min_rows requires."),
        (49, 400, "Version 7 was trained on 49 rows; drift.min_rows requires 50."),
    ],
)
def test_too_little_is_waited_for(taught: int, asked: int, says: str) -> None:
    report = check(LETTERS, letters(0, taught), letters(1, asked) + 9)
    assert (report["state"], report["alarm"], report["reason"]) == ("waiting", 0, says)


def test_without_a_reference_it_is_reported_and_nothing_more() -> None:
    report = check(LETTERS, letters(0, 200), letters(1, 400), reference=None)
    assert (report["state"], report["alarm"]) == ("waiting", 0)
    assert "trained before drift was known" in report["reason"]


def test_a_risen_error_is_an_alarm_of_its_own() -> None:
    detector = Detector()
    detector.add([0.0] * 200 + [1.0] * 100)
    report = check(LETTERS, letters(0, 200), letters(1, 10), detector=detector)
    assert (report["state"], report["alarm"]) == ("drift", 1)
    assert report["reason"].startswith("The error on late labels changed from 0.103 to 1 after 224 labels.")
    assert report["error"]["rose"]
    detector.add([0.0] * 300)
    assert check(LETTERS, letters(0, 200), letters(1, 10), detector=detector)["state"] == "waiting"


def test_the_mix_of_answers_is_reported_by_class_or_by_quartiles() -> None:
    report = check(LETTERS, letters(0, 200), shifted(0))["prediction"]
    assert report["drifted"]
    assert [one["name"] for one in report["classes"]] == ["no", "yes"]
    assert report["classes"][1]["now"] > 0.9
    now = houses(1, 400)
    now[:, 0] += 100
    report = check(PRICES, houses(0, 200), now)["prediction"]
    assert (report["test"], report["drifted"], report["classes"]) == ("KS", True, [])
    assert report["quartiles"]["now"][1] == pytest.approx(200, abs=5)
