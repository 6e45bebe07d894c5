"""retraind.daemon.inbox.rejected_retention: what was refused long ago goes, and nothing else."""

import os
import time

import pytest
from conftest import names

from retraind.daemon.core import durable
from retraind.daemon.core.clock import DAY, MOST_JUMP, Reading
from retraind.daemon.core.home import Home
from retraind.daemon.inbox import rejected_retention
from retraind.daemon.inbox.rejected_retention import Retention

YEAR = 365 * DAY


def refused(home: Home, *files: str) -> None:
    """Rejected drops with their reports."""
    for name in files:
        (home.rejected / name).write_bytes(b"a,b\n1,x\n")
        (home.rejected / f"{name}.report.json").write_bytes(b"{}")


def sweep(home: Home, days: float, now: float) -> int:
    """What a daemon does that has run for an hour."""
    keeper = Retention(home, days)
    assert keeper.sweep(Reading(now - 3600, 0.0)) == 0
    return keeper.sweep(Reading(now, 3600.0))


def test_old_files_go_and_young_ones_stay(home: Home) -> None:
    """Drops with their reports, rejected rows, and the report of a file that has been taken away."""
    refused(home, "a.csv", "gone.csv", os.fsdecode(b"\xff.csv"))
    (home.rejected / "gone.csv").unlink()
    (home.rejected / "a.csv.1a2b3c4d.bad.csv").touch()
    now = time.time()
    assert sweep(home, 90, now + 89 * DAY) == 0
    assert len(names(home.rejected)) == 6
    assert sweep(home, 90, now + 91 * DAY) == 6
    assert names(home.rejected) == []
    assert sweep(home, 90, now + YEAR) == 0


def test_zero_days_keep_everything(home: Home) -> None:
    refused(home, "a.csv")
    assert sweep(home, 0, time.time() + 100 * YEAR) == 0
    assert len(names(home.rejected)) == 2


def test_files_of_others_stay(home: Home) -> None:
    """Only what retraind put there is removed; folders and the targets of links are none of its business."""
    folder, target = home.rejected / "folder", home.root / "target.csv"
    folder.mkdir()
    (folder / "inside.csv").touch()
    target.touch()
    (home.rejected / "link.csv").symlink_to(target)
    (home.rejected / "notes.txt").write_text("mine")
    os.mkfifo(home.rejected / "pipe.csv")
    refused(home, "a.csv")
    assert sweep(home, 1, time.time() + YEAR) == 2
    assert sorted(names(home.rejected)) == ["folder", "link.csv", "notes.txt", "pipe.csv"]
    assert target.exists()
    assert (folder / "inside.csv").exists()


def test_a_file_counts_from_its_refusal_not_from_its_last_change(home: Home) -> None:
    """Its report does not go before it."""
    refused(home, "old.csv", "future.csv")
    now = time.time()
    os.utime(home.rejected / "old.csv", (now - YEAR, now - YEAR))
    os.utime(home.rejected / "future.csv", (now + YEAR, now + YEAR))
    assert sweep(home, 1, now) == 0
    assert sweep(home, 1, now + 2 * DAY) == 2
    assert sorted(names(home.rejected)) == ["future.csv", "future.csv.report.json"]


def test_clock_that_is_set_makes_nothing_old(home: Home) -> None:
    """Neither at the start, when it may be wrong, nor when it jumps; an hour later the age is known again."""
    refused(home, "a.csv")
    now = time.time()
    for jump in (YEAR, -YEAR, MOST_JUMP + 1):
        keeper = Retention(home, 1)
        assert keeper.sweep(Reading(now, 100.0)) == 0, "the first time"
        assert keeper.sweep(Reading(now + 3600 + jump, 3700.0)) == 0, jump
        assert keeper.sweep(Reading(now + 7200, 7300.0)) == 0, "set back"
        assert keeper.sweep(Reading(now + 10800, 10900.0)) == 0, "too young"
    keeper.sweep(Reading(now + YEAR, 0.0))
    assert keeper.sweep(Reading(now + YEAR + 3600 + MOST_JUMP - 1, 3600.0)) == 2


def test_file_that_says_it_is_older_than_the_home_stays(home: Home) -> None:
    """If the clock was wrong when a file was rejected, its age is unknown. A clock that was wrong earlier doesn't matter."""
    refused(home, "a.csv")
    now = time.time() + YEAR
    durable.write(home.token, b"secret")
    os.utime(home.token, (now - 100 * DAY, now - 100 * DAY))
    assert sweep(home, 90, now) == 0
    os.utime(home.token, (now + YEAR, now + YEAR))
    assert sweep(home, 90, now) == 2


def test_one_call_does_no_more_than_it_may(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejected_retention, "MOST", 3)
    refused(home, *(f"{number}.csv" for number in range(8)))
    now = time.time() + YEAR
    assert [sweep(home, 1, now) for _ in range(4)] == [6, 6, 4, 0]


def test_files_that_can_not_be_removed_stay(home: Home) -> None:
    """With what belongs to them."""
    refused(home, "a.csv")
    home.rejected.chmod(0o500)
    try:
        may = os.access(home.rejected, os.W_OK)  # root may do everything
        assert sweep(home, 1, time.time() + YEAR) == 2 * int(may)
    finally:
        home.rejected.chmod(0o700)
    assert len(names(home.rejected)) == (0 if may else 2)
