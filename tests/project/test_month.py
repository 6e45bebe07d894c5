"""benchmarks.month.month: its ledger, its order, its clock; and a short life of a real service."""

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from service import REPOSITORY

from benchmarks import inputs
from benchmarks.ingest import footprint
from benchmarks.ingest.footprint import Taken
from benchmarks.inputs import Rows
from benchmarks.month import month
from benchmarks.month.clock import Clock
from benchmarks.month.month_acts import Month
from benchmarks.month.month_ledger import BAD_LINE, Ledger

BASE: Rows = Counter({(5.1, 3.5, 1.4, 0.2, "setosa"): 1})


def test_ledger_knows_the_rows_of_its_files(tmp_path: Path) -> None:
    """As whoever reads them; what was refused or forgotten is not expected."""
    ledger = Ledger(random.Random(1), BASE)
    names = [ledger.file(count, bad, 0.0) for count, bad in ((20, 0), (5, 2), (0, 3))]
    for name, text in names:
        (tmp_path / name).write_text(text.replace(BAD_LINE, ""))
        assert text.count(BAD_LINE) == ledger.drops[name].bad
    rows = inputs.dropped(tmp_path)
    assert set(rows.values()) == {1}, "each row is unlike all others"
    assert ledger.expected == rows + BASE
    assert ledger.wrong(rows + BASE) == 0
    assert ledger.wrong(rows) == 1
    ledger.drops[names[0][0]].forgotten = True
    assert ledger.expected.total() == 5 + 1
    assert len(ledger.waiting()) == 3


@pytest.mark.parametrize("days", [1, 30])
def test_schedule_is_the_same_for_a_seed_and_leaves_nothing_out(days: int) -> None:
    acts = month.schedule(7, days)
    assert acts == month.schedule(7, days) != month.schedule(8, days)
    assert {name for _, name in acts} == set(month.ACTS)
    assert all(0 <= moment <= days for moment, _ in acts)
    assert all(callable(getattr(Month, name)) for name in month.ACTS)


def test_clock_moves_the_time_of_day_of_one_process(tmp_path: Path) -> None:
    """Its monotonic clock goes on, and so does the time of all others."""
    clock = Clock.build(tmp_path)
    if clock is None:
        pytest.skip("there is no compiler")
    code = "import time, datetime; print(time.time(), time.monotonic(), datetime.datetime.now().year)"
    seen = []
    for ahead in (0, 315_360_000):
        clock.set(ahead)
        variables = os.environ | {"LD_PRELOAD": str(clock.library), "CLOCK_AHEAD": str(clock.file)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables)
        seen.append([float(text) for text in done.stdout.split()])
    assert seen[1][0] - seen[0][0] == pytest.approx(315_360_000, abs=60)
    assert seen[1][1] - seen[0][1] < 60
    assert seen[1][2] - seen[0][2] in (9, 10)


def test_footprint_counts_each_part(tmp_path: Path) -> None:
    assert footprint.part_of("data/.git/objects/ab") == "git"
    assert footprint.part_of("registry/journal.db-wal") == "journal"
    assert footprint.part_of("inbox/a.csv") == "other"
    assert Taken(3, 10) - Taken(1, 4) + Taken(1, 1) == Taken(3, 7)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_short_month_ends_well() -> None:
    """A service that is stopped, killed and has its clock set within a minute loses nothing and needs no operator."""
    command = [sys.executable, "-m", "benchmarks.month.month", "--minutes", "1", "--days", "2"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "| rows lost or doubled |      0 |" in done.stdout
