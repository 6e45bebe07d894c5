"""retraind.daemon.gate.concept_shift: what says that the world has changed, and who can't say so."""

from typing import Any

import numpy as np
import pytest

from retraind.daemon.core.settings import Promote
from retraind.daemon.gate import concept_shift
from retraind.daemon.gate.concept_shift import Change, Evidence

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_772_496_000_000  # 3 March 2026
FILE, LABEL = 0, 2


class Diary:
    """Drops one after the other: when each came (days after the start), its rows, and how much better the challenger is on them."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._parts: list[tuple[Any, ...]] = []

    def drop(self, day: float, rows: int, gain: float, source: int = FILE, code: int = 0) -> "Diary":
        """Of a fifth of the rows the two disagree more or less; `gain` is how many more the challenger has right."""
        won = np.zeros(rows)
        differ = max(abs(gain), 0.1)
        count = round(rows * differ)
        won[:count] = 1
        won[: round(rows * (differ - gain) / 2)] = -1
        same = np.full(rows, START + round(day * DAY)), np.full(rows, len(self._parts), dtype=np.uint64)
        right = self._random.random(rows) < 0.5
        before = np.where(won == 0, right, won < 0).astype(float)
        self._parts.append((won, *same, np.full(rows, source), np.full(rows, code), won, before))
        return self

    def changed(self, reference: int = 200, **settings: Any) -> Change | None:
        gain, times, drops, sources, classes, recalled, right = map(np.concatenate, zip(*self._parts, strict=True))
        evidence = Evidence(gain, times, drops, sources, classes, recalled, right, reference)
        return concept_shift.changed(evidence, Promote(**settings))


def test_several_days_of_drops_that_all_say_so() -> None:
    """From the day on which more is gained than before; on the third day it is sure, and the facts are those of the sentence."""
    diary = Diary()
    for day in range(4):
        diary.drop(day, 200, -0.1)
    for day in range(4, 6):
        assert diary.drop(day, 200, 0.15).changed() is None
    change = diary.drop(6, 200, 0.15).changed()
    assert change is not None
    assert change[:-1] == (START + 4 * DAY, START + 6 * DAY, 3, 3, 600)
    assert change.gain == pytest.approx(0.15)
    assert diary.changed(follow_days=4) is None
    assert diary.changed(follow_days=0) is None


@pytest.mark.parametrize("rows", [100, 1_000, 100_000])
def test_one_drop_can_not_say_so(rows: int) -> None:
    """However large it is, in the middle of days on which nothing has changed, at their end or before them."""
    for when in (0, 5, 9):
        diary = Diary()
        for day in range(10):
            diary.drop(day, 200, 0.0)
            if day == when:
                diary.drop(day + 0.1, rows, 0.5)
            assert diary.changed() is None


def test_thirty_drips_in_an_hour_are_one_day() -> None:
    """Thirty witnesses that come together are one; so are those of two hours on both sides of midnight, and the third day is two days later."""
    diary = Diary()
    for minute in range(0, 60, 2):
        diary.drop(0.98 + minute / 1440, 100, 0.3)
    assert diary.changed() is None
    assert diary.drop(1.5, 500, 0.3).changed() is None
    assert diary.drop(1.85, 3000, 0.3).changed() is None
    assert diary.drop(2.7, 3000, 0.3).changed() is not None


def test_two_large_drops_and_a_trickle_are_two_days() -> None:
    """Days are weighted by their rows: a few honest rows do not make a third day; days of similar size are three."""
    diary = Diary().drop(0, 1000, 0.3)
    for day in range(1, 9):
        diary.drop(day, 5, 0.0)
    assert diary.drop(9, 1000, 0.3).changed() is None
    assert diary.drop(10, 500, 0.3).changed() is not None
    assert Diary().drop(0, 300, 0.3).drop(1, 150, 0.3).drop(2, 300, 0.3).changed() is not None


def test_nightly_drops_are_a_day_each_whatever_the_hour() -> None:
    """One comes at two, the next at half past one: three nights are three days."""
    assert Diary().drop(0.083, 200, 0.2).drop(1.06, 200, 0.2).drop(2.1, 200, 0.2).changed() is not None


def test_drop_that_surely_says_otherwise_denies_it() -> None:
    """Drips beside honest drops: the honest ones veto, however many the others are; after the last of them days count again."""
    diary = Diary()
    for day in range(12):
        for hour in range(8):
            diary.drop(day + hour / 24, 200, 0.3)
        diary.drop(day + 0.5, 100, -0.3)
        assert diary.changed() is None
    for day in range(12, 14):
        assert diary.drop(day, 200, 0.3).changed() is None
    change = diary.drop(14, 200, 0.3).changed()
    assert change is not None
    assert change.since == START + 12 * DAY


def test_late_labels_speak_for_themselves() -> None:
    """A few a day, in drops of a row or two, are weighed together, and not together with the files of that day."""
    diary = Diary()
    for day in range(6):
        for hour in range(10):
            diary.drop(day + hour / 24, 300, 0.3)
        for minute in range(40):
            diary.drop(day + minute / 1440, 1, -1.0, LABEL)
    assert diary.changed() is None


def test_as_many_rows_as_the_reference_has() -> None:
    """Within bounds: a few rows never, and a million in the first drop do not silence the world for good."""
    diary = Diary()
    for day in range(4):
        diary.drop(day, 100, 0.3)
    assert diary.changed(reference=300) is not None, "each day left out, 300 are left"
    assert diary.changed(reference=301) is None
    small = Diary().drop(0, 16, 0.6).drop(1, 16, 0.6).drop(2, 16, 0.6)
    assert small.changed(reference=10) is None
    large = Diary()
    for day in range(6):
        large.drop(day, 200, 0.3)
    assert large.changed(reference=1_000_000) is not None


@pytest.mark.parametrize(("gain", "rows"), [(0.01, 5_000), (0.04, 60)])
def test_little_or_unsure_gain_is_no_change(gain: float, rows: int) -> None:
    """Less than the tolerance, however sure; or more, but within the noise."""
    diary = Diary()
    for day in range(4):
        diary.drop(day, rows, gain)
    assert diary.changed(reference=50) is None


def test_class_that_is_forgotten_is_no_change() -> None:
    """Better on the whole, while the rows of a rare class fall: with the one day left out on which all of them were renamed."""
    diary = Diary()
    for day in range(5):
        diary.drop(day, 400, 0.2).drop(day, 15, -0.9, code=1)
    diary.drop(5, 400, 0.2).drop(5, 300, 0.9, code=1)
    assert diary.changed() is None


def test_gain_that_is_no_number_says_nothing() -> None:
    """Errors too large to be squared; nor does no row at all."""
    diary = Diary().drop(0, 200, 0.3).drop(1, 200, 0.3).drop(2, 200, 0.3)
    assert diary.changed() is not None
    diary._parts[0][0][0] = np.inf
    assert diary.changed() is None
    assert Diary().drop(0, 0, 0.3).changed() is None


def test_slow_change_is_seen_when_it_has_added_up() -> None:
    """Each day a little more is gained: it counts from the day since which it is sure."""
    diary = Diary()
    changes = [diary.drop(day, 200, round(0.01 * day, 2)).changed() for day in range(15)]
    first = next(day for day, change in enumerate(changes) if change is not None)
    assert 3 < first < 12
    assert all(change is not None for change in changes[first:])
