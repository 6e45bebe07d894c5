"""retraind.daemon.core.trends: figures add up, whatever the order; and what a chart shows of them."""

import math
from itertools import pairwise
from random import Random

import pytest
from example_counts import some
from hypothesis import given, settings
from hypothesis import strategies as st

from retraind.daemon.core.trends import figures, latency, sketch, spans
from retraind.daemon.core.trends.figures import LATENCY, Figures, Gauge, Sum
from retraind.daemon.core.trends.series import Series, columns, values

COUNTS = st.dictionaries(
    st.sampled_from(["predicting.200", "requests.200", "class.a", "served_ms"]), st.integers(0, 10**9)
)
BUCKETS = st.dictionaries(st.sampled_from(latency.NAMES), st.integers(1, 10**6), max_size=5)
NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=300)


@st.composite
def minutes(draw: st.DrawFn) -> Figures:
    gauges = draw(st.dictionaries(st.sampled_from(["rows", "memory.daemon"]), st.integers(0, 1000)))
    at = draw(st.integers(0, 59))
    return {
        "sums": draw(COUNTS),
        "histograms": {LATENCY: draw(BUCKETS)},
        "gauges": {name: figures.gauge(value, at) for name, value in gauges.items()},
        "values": sketch.of(draw(st.lists(st.integers(-10_000, 10_000), max_size=50))),
    }


def merged(parts: list[Figures]) -> Figures:
    total = figures.empty()
    for part in parts:
        total = figures.merge(total, part)
    return total


@given(st.lists(minutes(), max_size=6), st.randoms())
def test_the_hour_is_the_merge_of_its_minutes_in_any_order(parts: list[Figures], random: Random) -> None:
    shuffled = parts.copy()
    random.shuffle(shuffled)
    middle = len(parts) // 2
    halves = figures.merge(merged(parts[:middle]), merged(parts[middle:]))
    assert merged(parts) == merged(shuffled) == halves == figures.total(parts)


@settings(max_examples=some(200))
@given(st.lists(NUMBERS, max_size=4))
def test_merged_sketches_are_the_sketch_of_all_numbers(parts: list[list[float]]) -> None:
    total = None
    for part in parts:
        total = sketch.merge(total, sketch.of(part))
    every = sketch.of(number for part in parts for number in part)
    if total is not None and every is not None:
        total["sum"] = every["sum"]  # of floating-point numbers, so it depends on the order
    assert total == every


@given(st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=400), st.sampled_from([0.1, 0.5, 0.9]))
def test_a_sketch_is_as_exact_as_its_buckets(numbers: list[float], share: float) -> None:
    made = sketch.of(numbers)
    assert made is not None
    assert len(made["positive"]) + len(made["negative"]) <= sketch.MOST_BUCKETS
    exact = sorted(numbers)[max(0, math.ceil(share * len(numbers)) - 1)]
    width = 2.0 ** (2 ** made["level"] / sketch.PER_DOUBLING)
    assert sketch.quantile(made, share) == pytest.approx(exact, rel=width - 1, abs=1e-300)


def test_numbers_close_together_are_told_apart() -> None:
    """Temperatures in kelvin, of which a sketch with a fixed accuracy of 1 % would keep one bucket."""
    made = sketch.of([288 + number / 100 for number in range(1000)])
    assert made is not None
    assert sketch.quantile(made, 0.1) == pytest.approx(289.0, abs=0.1)
    assert sketch.quantile(made, 0.9) == pytest.approx(297.0, abs=0.1)


def counted(**sums: int) -> Figures:
    return {**figures.empty(), "sums": {name.replace("__", "."): number for name, number in sums.items()}}


def test_unwatched_time_is_a_gap_and_a_quiet_minute_is_zero() -> None:
    quiet = counted(watched_ms=60_000, served_ms=60_000)
    without_workers = counted(watched_ms=60_000, served_ms=0)
    table = columns([quiet, None, without_workers], [Series.REQUESTS, Series.PREDICTIONS])
    for name in ("requests.count", "requests.errors", "requests.per_minute", "predictions.count"):
        assert table[name] == [0, None, None], name


def test_health_checks_that_say_no_are_no_errors() -> None:
    minute = counted(
        served_ms=1,
        watched_ms=30_000,
        requests__200=10,
        requests__503=7,
        predicting__200=6,
        predicting__503=2,
        checked__503=5,
    )
    shown = values(minute, Series.REQUESTS)
    assert (shown["count"], shown["errors"], shown["status_503"]) == (8, 2, 2)
    assert (shown["other"], shown["other_errors"]) == (4, 0)
    assert shown["per_minute"] == 16


def test_requests_before_the_first_model_are_no_errors() -> None:
    minute = counted(served_ms=1, watched_ms=1, predicting__503=9, requests__503=9, before_first_model=7)
    shown = values(minute, Series.REQUESTS)
    assert (shown["count"], shown["errors"], shown["before_first_model"], shown["status_503"]) == (9, 2, 7, 2)


def test_a_class_without_a_prediction_is_zero_where_others_had_some() -> None:
    table = columns([counted(class__a=3), counted(class__b=1), None], [Series.PREDICTIONS])
    assert table["predictions.class.a"] == [3, 0, None]


def test_the_class_of_a_user_may_have_any_name() -> None:
    shown = values({**figures.empty(), "sums": {"class.count": 2, "class.": 1}}, Series.PREDICTIONS)
    assert shown == {"count": 3, "class.count": 2, "class.": 1}


def test_a_gauge_has_its_last_value_in_any_order() -> None:
    early, late = figures.gauge(5.0, 10.0), figures.gauge(1.0, 20.0)

    def both(one: Gauge, other: Gauge) -> Gauge:
        return figures.merge(
            {**figures.empty(), "gauges": {"rows": one}}, {**figures.empty(), "gauges": {"rows": other}}
        )["gauges"]["rows"]

    assert (
        both(early, late)
        == both(late, early)
        == {"n": 2, "sum": 6.0, "least": 1.0, "most": 5.0, "last": 1.0, "at": 20.0}
    )


def test_steps_and_spans_fit_into_each_other() -> None:
    assert all(long % short == 0 for short, long in pairwise(spans.STEPS.values()))
    assert [spans.source(step) for step in spans.STEPS.values()] == [60, 60, 60, 3600, 3600, 86_400]
    for length, step in spans.RANGES.values():
        span = spans.source(spans.STEPS[step])
        assert length <= span * spans.KEPT[span]


def test_latency_names_are_the_bounds() -> None:
    assert [float(name) for name in latency.NAMES] == [*latency.BOUNDS, math.inf]
    assert latency.counts({"0.001": 2, "inf": 1})[-1] == 1
    assert Sum.CLASS == "class."


def test_one_bad_drop_is_not_hidden_among_good_ones() -> None:
    """Four drops in a minute, one of them with labels swapped: the minute, and its day, have the worst error."""
    errors = [0.1, 0.0, 0.95, 0.0]
    exams: list[Figures] = [
        {**figures.empty(), "gauges": {"exam_error": figures.gauge(error, float(at))}}
        for at, error in enumerate(errors)
    ]
    assert values(figures.total(exams), Series.EXAM)["error"] == 0.95
