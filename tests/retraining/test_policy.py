"""retraind.daemon.retraining.policy: when to train, as a table. The rest of the package: tests/behaviour/test_gate.py and tests/simulation."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retraind.daemon.core.settings import Retrain
from retraind.daemon.retraining import policy
from retraind.daemon.retraining.policy import Facts

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO, JUST_NOW = NOW - timedelta(days=1), NOW - timedelta(seconds=9)
SETTINGS = Retrain()
IDLE = Facts(
    rows=150, trained_on=150, same_rows=True, last_start=LONG_AGO, schedule_due=False, requested=False, forced=False
)
DRIFT, FALL = "2 of 4 features drifted.", "accuracy 0.6."
NEW = replace(IDLE, rows=160, same_rows=False)


@pytest.mark.parametrize(
    ("facts", "part"),
    [
        (IDLE, None),
        (replace(IDLE, schedule_due=True), None),
        (replace(IDLE, requested=True), None),
        (replace(IDLE, requested=True, forced=True), "forced"),
        (replace(IDLE, rows=0, trained_on=None, requested=True, forced=True), None),
        (replace(NEW, trained_on=None, last_start=None), "first model"),
        (replace(NEW, trained_on=None), "first model"),
        (replace(NEW, trained_on=None, last_start=JUST_NOW), None),
        (NEW, None),
        (replace(NEW, requested=True), "requested, 10 new rows"),
        (replace(NEW, rows=101, trained_on=100, requested=True), "requested, 1 new row"),
        (replace(NEW, requested=True, last_start=JUST_NOW), "requested"),
        (replace(NEW, schedule_due=True), "schedule '0 3 * * *', 10 new rows"),
        (replace(NEW, schedule_due=True, last_start=JUST_NOW), None),
        (replace(NEW, rows=199), None),
        (replace(NEW, rows=200), "50 new rows (retrain.threshold_rows = 50)"),
        (replace(NEW, rows=200, last_start=JUST_NOW), None),
        (replace(NEW, rows=200, last_start=NOW - timedelta(seconds=10)), "50 new rows"),
        (replace(NEW, rows=200, last_start=NOW + timedelta(days=1)), "50 new rows"),
        (replace(NEW, rows=200, same_rows=True), None),
        (replace(NEW, rows=1_099, trained_on=1_000), None),
        (replace(NEW, rows=1_100, trained_on=1_000), "100 new rows on 1,000 (retrain.growth = 0.1)"),
        (replace(NEW, drifted=DRIFT), "drift: 2 of 4 features drifted. 10 new rows"),
        (replace(NEW, live_fell=FALL), "live score: accuracy 0.6. 10 new rows"),
        (replace(NEW, drifted=DRIFT, live_fell=FALL), "drift: "),
        (replace(NEW, drifted=DRIFT, last_start=JUST_NOW), None),
        (replace(NEW, drifted=DRIFT, last_alarm=NOW - timedelta(seconds=3599)), None),
        (replace(NEW, drifted=DRIFT, last_alarm=NOW - timedelta(hours=1)), "drift: "),
        (replace(NEW, rows=200, drifted=DRIFT, last_alarm=JUST_NOW), "50 new rows"),
        (replace(IDLE, drifted=DRIFT, live_fell=FALL), None),
        (replace(NEW, rows=140, forgotten=True), "rows were forgotten"),
        (replace(NEW, rows=0, forgotten=True), None),
        (replace(NEW, forgotten=True, last_start=JUST_NOW), None),
        (replace(IDLE, forgotten=True), None),
        (replace(NEW, rows=200, lacking="There is one class."), None),
        (replace(NEW, lacking="There is one class.", requested=True), None),
        (replace(NEW, lacking="There is one class.", requested=True, forced=True), "forced"),
        (replace(NEW, same_rows=True, drifted=DRIFT), None),
    ],
)
def test_training_starts_for_a_reason(facts: Facts, part: str | None) -> None:
    """Threshold, schedule and request start one, the cooldown and an unchanged revision hold it back."""
    reason = policy.due(facts, SETTINGS, NOW)
    assert (reason is None) if part is None else (part in (reason or ""))


@given(st.builds(replace, st.just(NEW), rows=st.integers(0, 300), trained_on=st.none() | st.integers(0, 300)))
def test_failing_training_is_no_hot_loop(facts: Facts) -> None:
    """After a failure on a revision nothing but force starts another training on it."""
    assert policy.due(replace(facts, same_rows=True, requested=True, schedule_due=True), SETTINGS, NOW) is None


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        (Retrain(drift=False), replace(NEW, drifted=DRIFT)),
        (Retrain(live=False), replace(NEW, live_fell=FALL)),
    ],
)
def test_alarms_can_be_turned_off(settings: Retrain, facts: Facts) -> None:
    """Who looks at drift himself is not trained for it."""
    assert policy.due(facts, settings, NOW) is None
    assert policy.due(facts, Retrain(), NOW) is not None


@pytest.mark.parametrize(
    ("growth", "batch", "most"), [(0.1, 7, 11.0), (0.1, 700, 11.0), (0.5, 50, 3.0), (1.0, 50, 2.0)]
)
def test_all_trainings_together_cost_a_few_times_the_last(growth: float, batch: int, most: float) -> None:
    """However the rows come, the rows of all trainings stay below (1 + growth) / growth times those of the last."""
    trained: list[int] = []
    settings, total = Retrain(growth=growth), 0
    while total < 100_000:
        total += batch
        facts = replace(NEW, rows=total, trained_on=trained[-1] if trained else None)
        if policy.due(facts, settings, NOW):
            trained.append(total)
    assert sum(trained) / trained[-1] <= most + 0.1
    assert trained[-1] > total / (1 + growth) - batch, "and the newest rows are not left out for long"


def test_without_growth_the_threshold_alone_decides() -> None:
    """0 turns it off: a training after each `threshold_rows`, whatever that costs."""
    facts = replace(NEW, rows=100_050, trained_on=100_000)
    assert policy.due(facts, Retrain(growth=0), NOW) == "50 new rows (retrain.threshold_rows = 50)"
    assert policy.due(facts, Retrain(), NOW) is None


def test_rows_start_nothing_where_only_the_schedule_shall() -> None:
    """`threshold_rows = 0`: no number of rows starts a training, except the first one; schedule, requests and alarms do."""
    weekly, many = Retrain(threshold_rows=0), replace(NEW, rows=1_000_000)
    assert policy.needed(many.trained_on, weekly) == 0
    assert policy.due(many, weekly, NOW) is None
    assert policy.due(replace(many, trained_on=None, last_start=None), weekly, NOW) == "first model"
    for facts, reason in [
        (replace(many, schedule_due=True), "schedule"),
        (replace(many, requested=True), "requested"),
        (replace(many, drifted=DRIFT), "drift"),
        (replace(many, forgotten=True), "rows were forgotten"),
    ]:
        assert (policy.due(facts, weekly, NOW) or "").startswith(reason)
