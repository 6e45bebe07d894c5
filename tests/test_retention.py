"""daemon.retention: what was refused long ago goes, and nothing else."""

import os
import time

import pytest
from conftest import names

from daemon import retention
from daemon.home import Home

YEAR = 365 * retention.DAY


def refused(home: Home, *files: str) -> None:
    for name in files:
        (home.rejected / name).write_bytes(b"a,b\n1,x\n")


def test_old_files_go_and_young_ones_stay(home: Home) -> None:
    refused(home, "a.csv", "a.csv.report.json", "a.csv.bad.csv")
    now = time.time()
    assert retention.sweep(home, 90, now + 89 * retention.DAY) == 0
    assert len(names(home.rejected)) == 3
    assert retention.sweep(home, 90, now + 91 * retention.DAY) == 3
    assert names(home.rejected) == []
    assert retention.sweep(home, 90, now + YEAR) == 0


def test_zero_days_keep_everything(home: Home) -> None:
    refused(home, "a.csv")
    assert retention.sweep(home, 0, time.time() + 100 * YEAR) == 0
    assert names(home.rejected) == ["a.csv"]


def test_a_file_counts_from_its_refusal_not_from_its_last_change(home: Home) -> None:
    refused(home, "old.csv", "future.csv")
    now = time.time()
    os.utime(home.rejected / "old.csv", (now - YEAR, now - YEAR))
    os.utime(home.rejected / "future.csv", (now + YEAR, now + YEAR))
    assert retention.sweep(home, 1, now) == 0
    assert retention.sweep(home, 1, now + 2 * retention.DAY) == 1
    assert names(home.rejected) == ["future.csv"]


def test_folders_and_the_targets_of_links_stay(home: Home) -> None:
    folder, target = home.rejected / "folder", home.root / "target.csv"
    folder.mkdir()
    (folder / "inside.csv").touch()
    target.touch()
    (home.rejected / "link.csv").symlink_to(target)
    (home.rejected / "dangling.csv").symlink_to(home.root / "nowhere")
    os.mkfifo(home.rejected / "pipe.csv")
    assert retention.sweep(home, 1, time.time() + YEAR) == 3
    assert names(home.rejected) == ["folder"]
    assert target.exists()
    assert (folder / "inside.csv").exists()


def test_one_call_does_no_more_than_it_may(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST", 3)
    refused(home, *(f"{number}.csv" for number in range(8)))
    now = time.time() + YEAR
    assert [retention.sweep(home, 1, now) for _ in range(4)] == [3, 3, 2, 0]


def test_files_that_can_not_be_removed_stay(home: Home) -> None:
    refused(home, "a.csv")
    home.rejected.chmod(0o500)
    try:
        may = os.access(home.rejected, os.W_OK)  # root may do everything
        assert retention.sweep(home, 1, time.time() + YEAR) == int(may)
    finally:
        home.rejected.chmod(0o700)
    assert names(home.rejected) == ([] if may else ["a.csv"])


def test_a_name_that_is_no_text(home: Home) -> None:
    (home.rejected / os.fsdecode(b"\xff.csv")).touch()
    assert retention.sweep(home, 1, time.time() + YEAR) == 1
