"""retraind.daemon.core.trends.position: to which time the difference of two sums of counters belongs."""

import pytest

from retraind.daemon.core.trends.figures import LATENCY, Sum
from retraind.daemon.core.trends.position import Count, Position, since

NOON = 1_700_000_040.0


def position(
    requests: int, steady: float, wall: float = 0.0, boot: str = "b", pids: tuple[int, ...] = (7,)
) -> Position:
    sums, latency = {"requests.200": requests}, {"0.001": requests}
    return {
        "sums": sums,
        "latency": latency,
        "wall": wall or NOON + steady,
        "steady": steady,
        "boot": boot,
        "pids": [*pids],
    }


def test_ten_seconds_up_to_a_full_minute_belong_to_the_minute_that_ended() -> None:
    taken = since(position(5, 10.0), Count(position(8, 20.1), {7: 20.0}))
    assert taken.at < NOON + 20.0
    assert taken.figures["sums"] == {"requests.200": 3, Sum.WATCHED: 10_100, Sum.SERVED: 10_100}
    assert taken.figures["histograms"][LATENCY] == {"0.001": 3}


def test_a_killed_daemon_leaves_a_gap_and_its_workers_counts_belong_to_when_they_published() -> None:
    """It comes back after ten minutes; the workers answered all the time."""
    taken = since(position(5, 0.0), Count(position(900, 600.0), {7: 599.5}))
    assert taken.at == pytest.approx(NOON + 599.5)
    assert taken.figures["sums"][Sum.WATCHED] == 599_500


def test_what_workers_counted_while_they_ended_belongs_to_the_minute_before_the_gap() -> None:
    taken = since(position(5, 0.0), Count(position(9, 7200.0, pids=(8,)), {7: 3.0, 8: 7199.0}))
    assert taken.at == NOON
    assert taken.figures["sums"] == {"requests.200": 4, Sum.WATCHED: 3000, Sum.SERVED: 3000}


def test_another_boot_begins_another_time() -> None:
    taken = since(position(5, 5000.0), Count(position(6, 20.0, NOON + 9000, "c", (8,)), {8: 20.0}))
    assert taken.at == NOON + 5000
    assert taken.figures["sums"] == {"requests.200": 1, Sum.WATCHED: 0, Sum.SERVED: 0}


def test_a_clock_that_is_set_moves_no_count_twice() -> None:
    """An hour back: the ten seconds are those of the clock of now."""
    taken = since(position(5, 0.0), Count(position(8, 10.0, NOON - 3590), {7: 9.5}))
    assert taken.at == pytest.approx(NOON - 3595)
    assert taken.figures["sums"][Sum.WATCHED] == 10_000


def test_without_a_worker_time_is_watched_but_not_served() -> None:
    taken = since(position(5, 0.0, pids=()), Count(position(5, 10.0, pids=()), {}))
    assert taken.figures["sums"] == {Sum.WATCHED: 10_000, Sum.SERVED: 0}
    ended = since(position(5, 0.0), Count(position(5, 10.0, pids=()), {7: 4.0}))
    assert ended.figures["sums"] == {Sum.WATCHED: 10_000, Sum.SERVED: 4000}


def test_workers_of_a_restored_home_count_from_zero() -> None:
    taken = since(position(50, 0.0), Count(position(3, 10.0, boot="c", pids=(9,)), {9: 9.5}))
    assert not taken.fallen
    assert taken.figures["sums"]["requests.200"] == 3


def test_counters_whose_file_is_gone_are_named_and_never_negative() -> None:
    taken = since(position(50, 0.0), Count(position(3, 10.0), {7: 9.5}))
    assert taken.fallen == ["requests.200", "0.001"]
    assert "requests.200" not in taken.figures["sums"]
