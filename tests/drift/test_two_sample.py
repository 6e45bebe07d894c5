"""retraind.daemon.drift.two_sample: known shifts are found, two samples of one distribution hardly ever, and the figures are those of scipy.stats."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from retraind.daemon.core.settings import Drift
from retraind.daemon.drift.two_sample import Comparison, adjust, compare

Vector = NDArray[Any]
Draw = Callable[[np.random.Generator, int], Vector]
SETTINGS = Drift()


def uneven(random: np.random.Generator, n: int) -> Vector:
    return random.choice(7, n, p=[0.5, 0.3, 0.1, 0.05, 0.03, 0.01, 0.01]).astype(float)


KINDS: dict[str, tuple[Draw, bool]] = {
    "normal": (lambda random, n: random.normal(size=n), False),
    "heavy": (lambda random, n: random.lognormal(0, 1.5, n), False),
    "integers": (lambda random, n: random.integers(0, 20, n).astype(float), False),
    "few values": (lambda random, n: random.integers(0, 4, n).astype(float), False),
    "classes": (uneven, True),
    "two classes": (lambda random, n: (random.random(n) < 0.3).astype(float), True),
    "a rare class": (lambda random, n: (random.random(n) < 0.02).astype(float), True),
}


@pytest.mark.parametrize(("rows", "asked"), [(120, 50), (120, 1000), (1000, 1000), (1001, 50), (10_000, 1000)])
def test_samples_of_one_distribution_hardly_ever_drift(rows: int, asked: int) -> None:
    """In no more checks than the p-value allows something drifts, though there are many kinds of columns and few rows."""
    alarms = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        comparison = [compare(draw(random, rows), draw(random, asked), named=named) for draw, named in KINDS.values()]
        alarms += any(one.drifted(SETTINGS) for one in adjust(comparison))
    assert alarms / 200 <= SETTINGS.p_value + 0.03  # two standard deviations of a share of 0.05 in 200


def test_a_distance_alone_would_take_chance_for_drift() -> None:
    """Why a distance counts only beside a test: fifty values of the same distribution are mostly farther away than the threshold."""
    far = drifted = 0
    for seed in range(50):
        random = np.random.default_rng(seed)
        comparison = compare(random.lognormal(0, 1.5, 5000), random.lognormal(0, 1.5, 50), named=False)
        far += (comparison.distance or 0) >= SETTINGS.distance
        drifted += comparison.drifted(SETTINGS)
    assert far > 30
    assert drifted <= 5


SHIFTS: dict[str, tuple[Draw, Draw, bool]] = {
    "a mean": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(1, 1, n), False),
    "a spread": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(0, 3, n), False),
    "a constant moves": (lambda _, n: np.full(n, 5.0), lambda _, n: np.full(n, 6.0), False),
    "a constant varies": (lambda _, n: np.full(n, 5.0), lambda r, n: r.normal(5, 1, n), False),
    "a number gets stuck": (lambda r, n: r.normal(size=n), lambda _, n: np.zeros(n), False),
    "unknown classes": (uneven, lambda r, n: np.where(r.random(n) < 0.3, -1, uneven(r, n)), True),
    "nothing but unknown classes": (uneven, lambda _, n: np.full(n, -1.0), True),
    "a class takes over": (uneven, lambda _, n: np.ones(n), True),
    "yes and no": (lambda r, n: (r.random(n) < 0.3) * 1.0, lambda r, n: (r.random(n) < 0.7) * 1.0, True),
    "values near the largest": (lambda r, n: r.normal(size=n), lambda _, n: np.full(n, 1.7e308), False),
}


@pytest.mark.parametrize("rows", [60, 1000, 5000])
@pytest.mark.parametrize("shift", SHIFTS)
def test_shifts_are_found(shift: str, rows: int) -> None:
    before, after, named = SHIFTS[shift]
    random = np.random.default_rng(1)
    comparison = compare(before(random, rows), after(random, 100), named=named)
    assert comparison.drifted(SETTINGS), comparison
    assert comparison.p < 0.005
    assert 0.2 < comparison.size <= 1


@pytest.mark.parametrize(
    ("rows", "kind", "test"),
    [
        (1000, "normal", "KS"),
        (1001, "normal", "Wasserstein"),
        (1000, "classes", "chi-square"),
        (1001, "classes", "Jensen-Shannon"),
        (1000, "two classes", "Z"),
        (1001, "two classes", "Jensen-Shannon"),
        (1000, "few values", "chi-square"),
        (1001, "few values", "Jensen-Shannon"),
    ],
)
def test_the_rule_is_evidentlys(rows: int, kind: str, test: str) -> None:
    draw, named = KINDS[kind]
    random = np.random.default_rng(0)
    comparison = compare(draw(random, rows), draw(random, 500), named=named)
    assert comparison.test == test
    assert (comparison.distance is None) == (rows <= 1000)


def test_figures_are_those_of_scipy_stats() -> None:
    random = np.random.default_rng(3)
    before: Vector = random.normal(size=1500)
    now: Vector = random.normal(0.1, 1, 400)
    comparison, by_scipy = compare(before, now, named=False), stats.ks_2samp(before, now)
    assert comparison.size == pytest.approx(by_scipy.statistic)
    assert comparison.p == pytest.approx(by_scipy.pvalue, rel=0.1)
    assert comparison.distance == pytest.approx(stats.wasserstein_distance(before, now) / before.std())
    codes, later = random.integers(0, 5, 1500).astype(float), random.integers(0, 4, 400).astype(float)
    comparison, table = compare(codes, later, named=True), counts(codes, later)
    assert comparison.p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert comparison.distance == pytest.approx(jensenshannon(*(table / table.sum(axis=1, keepdims=True))))
    rare = compare(np.repeat([0.0, 1.0], [998, 2]), np.repeat([0.0, 1.0], [47, 3]), named=True)
    assert rare.p == pytest.approx(stats.fisher_exact([[998, 2], [47, 3]]).pvalue)


def counts(before: Vector, now: Vector) -> NDArray[np.int64]:
    return np.array([[(half == code).sum() for code in range(5)] for half in (before, now)])


def test_adjusting_is_benjamini_and_hochbergs() -> None:
    ps = np.random.default_rng(0).random(30) ** 3
    adjusted = [one.p for one in adjust([Comparison("KS", float(p), None, 0.0) for p in ps])]
    assert adjusted == pytest.approx(stats.false_discovery_control(ps).tolist())
    assert adjust([]) == []


VALUES = st.lists(st.sampled_from([-1.0, 0.0, 1.0, 2.5, 1e9, -1.7e308, 1.7e308]), min_size=1, max_size=40)


@given(before=VALUES, now=VALUES, many=st.booleans(), named=st.booleans())
def test_any_two_samples_can_be_compared(before: Any, now: Any, many: bool, named: bool) -> None:
    """Constant, tiny and absurd samples give finite figures in their ranges."""
    reference = np.array(before * 1001 if many else before)
    comparison = compare(reference, np.array(now), named=named)
    assert 0 <= comparison.p <= 1
    assert 0 <= comparison.size <= 1 + 1e-9
    assert comparison.distance is None or 0 <= comparison.distance <= 1e6
    if sorted(before) == sorted(now):
        assert not comparison.drifted(SETTINGS)
