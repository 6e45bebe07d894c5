"""retraind.daemon.drift.adwin: a risen error is noticed soon, chance is not, and what comes back to normal is forgotten."""

import numpy as np
import pytest
from river import drift

from retraind.daemon.drift.adwin import Detector


def test_window_is_that_of_river() -> None:
    """Cut by cut, through changes; its package is not imported, because that imports scikit-learn and pandas."""
    random, detector, public = np.random.default_rng(0), Detector(), drift.ADWIN()  # type: ignore[no-untyped-call]
    for share in (0.1, 0.4, 0.05, 0.6):
        for error in (random.random(400) < share).astype(float):
            detector.add([error])
            public.update(error)  # type: ignore[no-untyped-call]
            assert (detector._cut, detector._mean()) == (public.drift_detected, public.estimation)


def test_nothing_is_known_before_the_first_label() -> None:
    detector = Detector()
    assert (detector.error, detector.change, detector.n) == (None, None, 0)


def test_a_risen_error_is_noticed_within_some_hundred_labels() -> None:
    for seed in range(20):
        random, detector = np.random.default_rng(seed), Detector()
        detector.add((random.random(1000) < 0.1).astype(float))
        assert detector.change is None
        detector.add((random.random(300) < 0.35).astype(float))
        assert detector.change is not None
        assert detector.change.rose
        assert detector.change.before == pytest.approx(0.1, abs=0.05)
        assert detector.change.now == pytest.approx(0.35, abs=0.1)
        assert 1000 < detector.change.at <= 1300


def test_an_even_error_is_no_change() -> None:
    changes = 0
    for seed in range(100):
        detector = Detector()
        detector.add((np.random.default_rng(seed).random(2000) < 0.2).astype(float))
        changes += detector.change is not None
    assert changes <= 2


def test_an_error_that_falls_is_no_alarm_and_ends_one() -> None:
    random, detector = np.random.default_rng(0), Detector()
    detector.add((random.random(500) < 0.6).astype(float))
    detector.add((random.random(500) < 0.1).astype(float))
    assert detector.change is None
    detector.add((random.random(300) < 0.6).astype(float))
    assert detector.change is not None
    detector.add((random.random(1000) < 0.05).astype(float))
    assert detector.change is None or not detector.change.rose


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_errors_of_numbers_are_followed_in_their_own_unit(unit: float) -> None:
    random, detector = np.random.default_rng(0), Detector(0.8 * unit)
    detector.add(np.abs(random.normal(size=1000)) * unit)
    assert detector.change is None
    detector.add(np.abs(random.normal(size=300)) * 2 * unit)
    assert detector.change is not None
    assert detector.change.before == pytest.approx(0.8 * unit, rel=0.2)
    assert detector.change.now == pytest.approx(1.6 * unit, rel=0.2)


def test_a_single_absurd_error_changes_nothing() -> None:
    random, detector = np.random.default_rng(0), Detector(0.8)
    detector.add(np.abs(random.normal(size=1000)))
    detector.add([1e300])
    detector.add(np.abs(random.normal(size=200)))
    assert detector.change is None
