"""Two samples of a column in words: the figures that differ, so that a sentence on drift shows it. Pure functions."""

import math

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.schema.column import UNKNOWN, Column

Vector = NDArray[np.float64]

QUARTILES = (25, 50, 75)

SMALL = 0.1
"""Difference of the cumulative shares up to which the mean and the standard deviation are given too: a few values are far off."""


def samples(column: Column, pair: tuple[Vector, Vector]) -> str:
    """The two samples in words: the share that changed most, or the middle half of the numbers."""
    reference, now = (values[~np.isnan(values)] for values in pair)
    if column.kind in ("category", "boolean"):
        codes = np.unique(np.concatenate([reference, now]))
        shares = [(share(reference, code), share(now, code), code) for code in codes]
        before, after, code = max(shares, key=lambda entry: (round(abs(entry[1] - entry[0]), 9), entry[1]))
        return f"{_name(column, code)}: {after:.1%}, before {before:.1%}."
    of = "words: " if column.kind == "text" else ""
    middle, usual = (f"{figure(low)} to {figure(high)}" for low, _, high in (quartiles(now), quartiles(reference)))
    return f"{of}middle half {middle}, before {usual}." if middle != usual else f"{of}{_elsewhere(reference, now)}"


def _elsewhere(reference: Vector, now: Vector) -> str:
    """The difference of samples with the same middle half: where their cumulative shares are furthest apart."""
    values = np.unique(np.concatenate([reference, now]))
    before, after = (np.searchsorted(np.sort(one), values, side="right") / len(one) for one in (reference, now))
    place = int(np.abs(after - before).argmax())
    sentence = f"{after[place]:.1%} are at most {figure(values[place])}, before {before[place]:.1%}"
    if abs(after[place] - before[place]) > SMALL:
        return f"{sentence}."
    with np.errstate(all="ignore"):
        spreads = [f"{figure(float(one.mean()))} ± {figure(float(one.std()))}" for one in (now, reference)]
    return f"mean {spreads[0]}, before {spreads[1]}; {sentence}."


def share(values: Vector, code: float) -> float:
    """The share of the values (n,) that are this code."""
    return float((values == code).mean())


def quartiles(values: Vector) -> list[float]:
    """The quartiles of values (n,)."""
    return [float(value) for value in np.percentile(values, QUARTILES)]


def figure(value: float) -> str:
    """A number with three digits, or in full from 1,000 on."""
    return f"{value:.3g}" if abs(value) < 1000 or not math.isfinite(value) else f"{value:,.0f}"


def _name(column: Column, code: float) -> str:
    if column.kind == "boolean":
        return "true" if code else "false"
    return "unknown or missing" if code == UNKNOWN else repr(column.categories[int(code)])[:60]
