"""retraind.daemon.drift.words: a sentence on drift names figures that differ."""

import numpy as np
import pytest

from retraind.daemon.drift import words
from retraind.daemon.schema.column import Column

FAR = [9.0, 9.0, 10.0, 11.0, 11.0] * 400


@pytest.mark.parametrize(
    ("before", "now", "sentence"),
    [
        ([2.5] * 30 + [5] * 40 + [10] * 30, [2.5] * 30 + [5] * 10 + [10] * 60, "40.0% are at most 5, before 70.0%."),
        ([1, 2, 3, 4] * 50, [4, 5, 6, 7] * 50, "middle half 4.75 to 6.25, before 1.75 to 3.25."),
        (
            FAR,
            [500.0 if place % 50 == 3 else value for place, value in enumerate(FAR)],
            "mean ",
        ),
        ([0] * 100 + [1e308] * 100, [0] * 99 + [1e308] * 101, "mean inf ± inf, before "),
    ],
    ids=["discounts", "moved", "a few far off", "near the largest double"],
)
def test_the_figures_that_differ(before: list[float], now: list[float], sentence: str) -> None:
    pair = (np.asarray(before, dtype=np.float64), np.asarray(now, dtype=np.float64))
    assert words.samples(Column(name="discount", kind="number"), pair).startswith(sentence)
