"""retraind.daemon.retraining.schedule: when the next planned training is."""

from datetime import UTC, datetime, timedelta

import pytest

from retraind.daemon.core.errors import BadSettings
from retraind.daemon.retraining.schedule import Schedule, parse

WEDNESDAY = datetime(2026, 1, 7, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("30s", timedelta(seconds=30)),
        (" 30 m ", timedelta(minutes=30)),
        ("6h", timedelta(hours=6)),
        ("1d", timedelta(days=1)),
        ("2w", timedelta(weeks=2)),
        ("0 3 * * *", timedelta(hours=15)),
        ("*/5 * * * *", timedelta(minutes=5)),
        ("0 13 * * *", timedelta(hours=1)),
        ("0 0 1 * *", timedelta(days=24, hours=12)),
        ("0 12 * * 0", timedelta(days=4)),
        ("0 12 * * 7", timedelta(days=4)),
        ("0 12 * * sun", timedelta(days=4)),
        ("0 12 * * 1", timedelta(days=5)),
        ("0 12 * * 1-5", timedelta(days=1)),
        ("0 12 * * 5-7", timedelta(days=2)),
        ("0 12 * * 6,1", timedelta(days=3)),
        ("0 12 * * */3", timedelta(days=3)),
        ("0 12 * * mon-fri", timedelta(days=1)),
    ],
)
def test_plan_means_what_cron_means(text: str, after: timedelta) -> None:
    """Intervals count from the last training, cron text names moments in UTC; 0 and 7 are Sunday."""
    assert Schedule(text).next_after(WEDNESDAY, WEDNESDAY) == WEDNESDAY + after


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_plan_is_never(text: str) -> None:
    """Without a schedule nothing is ever due."""
    schedule = Schedule(text)
    assert schedule.next_after(WEDNESDAY, WEDNESDAY) is None
    assert not schedule.due(WEDNESDAY - timedelta(days=999), WEDNESDAY)


@pytest.mark.parametrize(
    "text",
    ["x", "0m", "5", "1y", "-5m", "* * * *", "* * * * * *", "61 * * * *", "0 3 * * 8", "0 3 * * 5-2", "0 0 31 2 *", "9" * 9 + "w", "9" * 30 + "s"],
)  # fmt: skip
def test_nonsense_is_refused(text: str) -> None:
    """The complaint names the setting, its value and what may be written."""
    with pytest.raises(BadSettings) as caught:
        parse(text)
    assert f"retrain.schedule = {text!r}" in str(caught.value)
    assert "`6h`" in str(caught.value)


@pytest.mark.parametrize("text", ["1h", "0 * * * *"])
def test_missed_moments_are_due_once(text: str) -> None:
    """After hours without power one training is due; once it has started, none is until the next moment."""
    schedule = Schedule(text)
    assert schedule.due(WEDNESDAY - timedelta(hours=9), WEDNESDAY)
    assert not schedule.due(WEDNESDAY, WEDNESDAY)
    assert not schedule.due(WEDNESDAY, WEDNESDAY + timedelta(minutes=59))
    assert schedule.due(WEDNESDAY, WEDNESDAY + timedelta(minutes=60))


@pytest.mark.parametrize("text", ["6h", "0 3 * * *"])
def test_clock_that_was_set_back_makes_a_training_due_once(text: str) -> None:
    """The last one seems to be a year ahead: what was missed since can't be told, and waiting for that day would be too long."""
    schedule, ahead = Schedule(text), WEDNESDAY + timedelta(days=400)
    assert schedule.due(ahead, WEDNESDAY)
    assert schedule.next_after(ahead, WEDNESDAY) == WEDNESDAY
    assert not schedule.due(WEDNESDAY, WEDNESDAY + timedelta(hours=1))
    assert not Schedule("").due(ahead, WEDNESDAY)


def test_nothing_is_missed_before_the_first_training() -> None:
    """A new home has no last training, so the schedule has nothing to make up."""
    assert not Schedule("1s").due(None, WEDNESDAY)
