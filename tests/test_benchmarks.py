"""The benchmarks' commands and their arithmetic; nothing here is timed."""

import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figures import figure, percentile, ratio, spread
from benchmarks.rows import header, lines

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", ["ingest", "loop", "swaps", "restart", "quality"])
def test_help_says_what_is_measured(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert f"python -m benchmarks.{name}" in done.stdout


def test_every_benchmark_is_documented() -> None:
    text = (ROOT / "docs/benchmarks.md").read_text()
    found = [path.stem for path in (ROOT / "benchmarks").glob("*.py") if 'prog="python -m' in path.read_text()]
    assert len(found) == 5
    assert [name for name in found if f"python -m benchmarks.{name}" not in text] == []


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.25, 1.0), (0.5, 2.0), (0.51, 3.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([4.0, 2.0, 1.0, 3.0], share) == expected


def test_percentile_of_a_thousand_keeps_one_above_p999() -> None:
    values = [float(number) for number in range(1, 1001)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 0.999)) == (500.0, 990.0, 999.0)


def test_figures_of_nothing_say_so() -> None:
    assert math.isnan(percentile([], 0.5))
    assert figure(math.nan) == "-"
    assert spread([]) == ["-", "-", "-"]


def test_ratio_names_how_many_times() -> None:
    assert ratio(16.0, 2.0) == "8x"
    assert ratio(1.0, 3.0) == "0.333x"


@pytest.mark.parametrize(("value", "base"), [(1.0, 0.0), (math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan)])
def test_ratio_without_meaning_is_a_dash(value: float, base: float) -> None:
    assert ratio(value, base) == "-"


def test_spread_is_median_least_most() -> None:
    assert spread([3.0, 1.0, 2.0]) == ["2.000", "1.000", "3.000"]


def test_rows_are_whole_and_differ() -> None:
    source = random.Random(0)
    first, second = lines(source, 60), lines(source, 60)
    assert first != second
    assert {line.count(",") for line in (header() + first).splitlines()} == {4}
    assert [line.rsplit(",", 1)[1] for line in first.splitlines()[:3]] == ["setosa", "versicolor", "virginica"]
