"""The split: which rows train and which are held out, so that no row is on both sides of a score.

Pure functions. Rows that belong together are a *unit*, which lies on one side as a whole; a hash of it says on which, so it
never moves. Equal features are one unit, whatever drop they come from, because they are most likely copies of one observation.
Only where rows are so coarse that equal ones must be expected by chance, each of them is an observation of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.tabular.row_hashes import Prints, splitmix, together

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

EXPECTED = 10.0
"""So many rows equal to a row must be expected in its drop before equal rows count as observations of their own."""

DISAGREE = 0.02
"""Or equal rows are as many, and at least this share of them has another target than the first of their kind."""

WHOLE = 100
"""Rows of a drop that may be an export of all there was; in smaller ones the first of a kind is no copy of an earlier first."""

MOST_HELD = 0.5
"""No more of the rows are held out for being the newest, unless `train.holdout` asks for more."""

LEAST_HELD = 0.25
"""Less of the share that was asked for than this judges nothing: a snapshot of all, say, and the few rows of the day after."""

LEAST = 3
"""Units of a class of which one is held out in any case: two are left to train."""


class By(StrEnum):
    """What makes rows one unit."""

    PLACE = "place"
    """Nothing: drop and row number, as before there were units."""
    CONTENT = "content"
    """Equal features."""
    OCCURRENCE = "occurrence"
    """Equal features at the same occurrence within a drop: the second such row of two exports."""
    GROUP = "group"
    """Equal values of the column `train.group`; a row without one is of the unit of its content."""


@dataclass(frozen=True)
class Keys:
    """What the split of rows (n,) depends on: prints of their features, of their drop, of drop and row number, of their group.

    `group` is 0 where a row has none.
    """

    content: Prints
    drop: Prints
    place: Prints
    group: Prints


def units(keys: Keys, by: By) -> Prints:
    """The unit of each row, uint64 (n,)."""
    if by is By.PLACE:
        return keys.place
    if by is By.CONTENT:
        return keys.content
    if by is By.GROUP:
        return np.where(keys.group == 0, keys.content, splitmix(keys.group))
    # In small drops a row comes once, however common it is: these would all be one unit.
    sizes = _per_row(keys.drop)
    source = np.where(sizes >= WHOLE, np.uint64(0), keys.drop)
    return together(keys.content, source, occurrence(together(keys.drop, keys.content)))


def numbered(keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each unit, ascending, and for each row (n,) the number of its unit in that order."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[inverse]


def occurrence(values: Prints) -> Prints:
    """For each value how many equal ones come before it, uint64 (n,)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(values) else np.zeros(0, np.int64)
    lengths = np.diff(np.append(starts, len(values)))
    numbers = np.empty(len(values), dtype=np.uint64)
    numbers[order] = np.arange(len(values)) - np.repeat(starts, lengths)
    return numbers


def _per_row(values: Prints) -> NDArray[np.int64]:
    """For each value how often it is there."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse], dtype=np.int64)


def choose(keys: Keys, cells: Prints, targets: Floats) -> By:
    """Whether equal rows are copies (CONTENT) or observations of their own (OCCURRENCE).

    `cells` are prints (columns, m) of the cells of some rows. Copies are told by how improbable they are: rows whose columns
    are drawn one by one, from what stands in each, would seldom be equal. Where columns depend on each other that
    underestimates chance; there many equal rows with different targets say it, since copies have the same.
    """
    if not len(keys.content):
        return By.CONTENT
    sizes = _per_row(keys.drop)
    pool = keys.drop == keys.drop[sizes.argmax()] if sizes.max() >= WHOLE else np.ones(len(sizes), dtype=bool)
    if pool.sum() * expected_repeats(cells) >= EXPECTED:
        return By.OCCURRENCE
    equal, disagreeing = _repeats(keys.content[pool], targets[pool])
    return By.OCCURRENCE if equal >= EXPECTED and disagreeing >= DISAGREE else By.CONTENT


def expected_repeats(cells: Prints) -> float:
    """How probable it is that two rows are equal if the columns of `cells` (columns, m) don't depend on each other."""
    count = cells.shape[1]
    if count < 2:
        return 0.0
    chance = 1.0
    for column in cells:
        times = np.unique(column, return_counts=True)[1].astype(np.float64)
        chance *= float((times * (times - 1)).sum()) / (count * (count - 1))
    return chance


def _repeats(content: Prints, targets: Floats) -> tuple[float, float]:
    """How many equal rows a row has on average, itself included, and which share of them differs from the first in its target."""
    _, first, inverse, counts = np.unique(content, return_index=True, return_inverse=True, return_counts=True)
    several = counts[inverse] > 1
    if not several.any():
        return 1.0, 0.0
    differs = targets != targets[first][inverse]
    return float((counts.astype(np.float64) ** 2).sum() / len(content)), float(differs[several].mean())


def held_out(prints: Prints, share: float, classes: NDArray[np.int64]) -> Mask:
    """Which rows are only ever judged on, bool (n,): those of units whose hash falls below `share`.

    Of a class (`classes`, (n,); -1 does not count) without such a row, the unit with the smallest hash is held out, if it has
    LEAST units. After that no row moves from training to judging: only a new one can have a smaller hash, or fall below.
    """
    held = _uniform(prints) < share
    for code in range(int(classes.max(initial=-1)) + 1):
        rows = np.flatnonzero(classes == code)
        if len(rows) >= LEAST and not held[rows].any() and len(np.unique(prints[rows])) >= LEAST:
            held |= prints == prints[rows].min()
    return held


def since(moments: Floats, counted: Mask, share: float) -> float | None:
    """From when on rows are the newest, so that as nearly as can be `share` of the `counted` ones with a time are; None: no time parts them.

    Rows of one time are never parted, so many of one time make the share another one.
    """
    times, sizes = np.unique(moments[counted & ~np.isnan(moments)], return_counts=True)
    if len(times) < 2:
        return None
    newest, total = sizes[::-1].cumsum()[::-1][1:], int(sizes.sum())
    # Of two that are as near the later one, which leaves more rows to train on.
    best = len(newest) - 1 - int(np.abs(newest - share * total).round(6)[::-1].argmin())
    enough = LEAST_HELD * share * total <= newest[best] <= max(MOST_HELD, share) * total
    return float(times[1:][best]) if enough else None


def newest(prints: Prints, share: float, moments: Floats, begin: float) -> Mask:
    """The held-out rows with `train.time`, bool (n,): those from `begin` on; for rows without a time a hash of the unit decides."""
    return np.where(np.isnan(moments), _uniform(prints) < share, moments >= begin)


def forward(
    moments: Floats, prints: Prints | None, count: int, codes: NDArray[np.int64] | None
) -> list[tuple[Any, Any]]:
    """At most `count` folds forward in time, as (train, test) row numbers: each is judged on rows that are newer than all it trains on.

    Rows without a time always train, rows of units that train don't judge, equal times are never parted. A fold that could train on
    one class (`codes`, (n,); None for values) or row only, or judge on none, is left out.
    """
    times = np.sort(moments[~np.isnan(moments)])
    folds: list[tuple[Any, Any]] = []
    if not len(times):
        return folds
    cuts = np.unique(times[[len(times) * part // (count + 1) for part in range(1, count + 1)]])
    for begin, end in zip(cuts, [*cuts[1:], np.inf], strict=True):
        test = (moments >= begin) & (moments < end)
        train = ~(moments >= begin)
        test &= fair(prints, train) if prints is not None else True
        different = len(np.unique(codes[train])) if codes is not None else int(train.sum())
        if different > 1 and test.any():
            folds.append((np.flatnonzero(train), np.flatnonzero(test)))
    return folds


def by_unit(splits: Iterator[tuple[Any, Any]], which: NDArray[np.int64]) -> Iterator[tuple[Any, Any]]:
    """Splits of units as splits of rows, of which each, (n,), has its unit."""
    for train, test in splits:
        judged = np.zeros(len(train) + len(test), dtype=bool)
        judged[test] = True
        yield np.flatnonzero(~judged[which]), np.flatnonzero(judged[which])


def _uniform(prints: Prints) -> Floats:
    return (prints >> np.uint64(11)).astype(np.float64) / 2.0**53


def fair(prints: Prints, trained: Mask) -> Mask:
    """Which rows are of units of which no row was `trained`, bool (n,)."""
    return ~np.isin(prints, prints[trained]) if trained.any() else np.ones(len(prints), dtype=bool)


def without_copies(prints: Prints, targets: Floats, part: Mask) -> Mask:
    """`part` without the rows that say again what another of it says: of the same unit, with the same target."""
    rows = np.flatnonzero(part)
    kept = np.zeros(len(part), dtype=bool)
    kept[rows[np.unique(together(prints[rows], as_prints(targets[rows])), return_index=True)[1]]] = True
    return kept


def as_prints(targets: Floats) -> Prints:
    """Prints of targets, (n,)."""
    return np.ascontiguousarray(targets, dtype=np.float64).view(np.uint64)


def digest(prints: Prints, targets: Floats) -> str:
    """What tells that two holdouts hold the same rows, whatever their order."""
    with np.errstate(over="ignore"):
        total = splitmix(together(prints, as_prints(targets))).sum(dtype=np.uint64)
    return f"{len(prints)}-{int(total):016x}"
