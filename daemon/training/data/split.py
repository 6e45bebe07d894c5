"""The split: which rows train and which are held out, so that no row is on both sides of a score.

Pure functions. Rows that belong together are a *unit*, which is on one side as a whole; a hash of the unit decides the
side, so it never moves. Equal features are one unit, whatever drop they come from, because they are most likely copies
of one observation. Only if rows are so coarse that equal rows must be expected by chance, each is a separate
observation.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.schema.hash_mixing import Prints, splitmix, together
from retraind.daemon.training.data import hash_parts

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

EXPECTED = 10.0
"""Number of rows equal to a row that must be expected in its drop before equal rows count as separate observations."""

DISAGREE = 0.02
"""Alternatively, there are as many equal rows, and at least this share of them has another target than the first."""

WHOLE = 100
"""Minimum rows of a drop that may be a full export; in smaller drops the first row of a kind is not a copy of an
earlier first."""

MOST_HELD = 0.5
"""Maximum share of the rows that is held out for being the newest, unless `train.holdout` is larger."""

LEAST_HELD = 0.25
"""Minimum part of the requested share of judging rows. If a full snapshot is followed by a day with few rows, the part
would be smaller."""

LEAST = 3
"""Number of units of a class from which one is always held out: two are left to train."""


class By(StrEnum):
    """The rule that makes rows one unit."""

    PLACE = "place"
    """No rule: drop and row number, as in releases without units."""
    CONTENT = "content"
    """Equal features."""
    OCCURRENCE = "occurrence"
    """Equal features at the same occurrence within a drop, such as the second such row of two exports."""
    GROUP = "group"
    """Equal values of the column `train.group`; a row without a value belongs to the unit of its content."""


@dataclass(frozen=True)
class Keys:
    """The inputs of the split for rows (n,): hashes of features, of the drop, of drop and row number, of the group.

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
    # In small drops even a common row occurs once, so all its occurrences would be one unit.
    sizes = hash_parts.counts(keys.drop)
    source = np.where(sizes >= WHOLE, np.uint64(0), keys.drop)
    return together(keys.content, source, hash_parts.occurrence(together(keys.drop, keys.content)))


def numbered(keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each unit, ascending, and for each row (n,) the number of its unit in that order."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[inverse]


def choose(keys: Keys, cells: Prints, targets: NDArray[Any]) -> By:
    """Whether equal rows are copies (CONTENT) or separate observations (OCCURRENCE).

    `cells` are the hashes (columns, m) of the cells of some rows. Copies are recognised by their improbability: rows
    with independently drawn columns would seldom be equal. If columns depend on each other, this underestimates chance.
    Then many equal rows with different targets show that they are observations, since copies have the same target.
    """
    if not len(keys.content):
        return By.CONTENT
    sizes = hash_parts.counts(keys.drop)
    largest, most = sizes.argmax(), sizes.max()
    del sizes  # the arrays are large
    pool: Any = slice(None) if most in (len(targets), *range(WHOLE)) else keys.drop == keys.drop[largest]
    content, targets = keys.content[pool], targets[pool]
    if len(content) * expected_repeats(cells) >= EXPECTED:
        return By.OCCURRENCE
    equal, disagreeing = hash_parts.repeats(content, targets)
    return By.OCCURRENCE if equal >= EXPECTED and disagreeing >= DISAGREE else By.CONTENT


def expected_repeats(cells: Prints) -> float:
    """The probability that two rows are equal if the columns of `cells` (columns, m) are independent."""
    count = cells.shape[1]
    if count < 2:
        return 0.0
    chance = 1.0
    for column in cells:
        times = np.unique(column, return_counts=True)[1].astype(np.float64)
        chance *= float((times * (times - 1)).sum()) / (count * (count - 1))
    return chance


def held_out(prints: Prints, share: float, classes: NDArray[np.int64]) -> Mask:
    """The rows that only judge, bool (n,): those of units with a hash below `share`.

    If a class (`classes`, (n,); -1 does not count) has no such row but at least LEAST units, its unit with the smallest
    hash is held out. After that no row moves from training to judging: only a new row can have a smaller hash.
    """
    held = _below(prints, share)
    for code in range(int(classes.max(initial=-1)) + 1):
        rows = np.flatnonzero(classes == code)
        if len(rows) >= LEAST and not held[rows].any() and len(np.unique(prints[rows])) >= LEAST:
            held |= prints == prints[rows].min()
    return held


def since(moments: Floats, counted: Mask, share: float) -> float | None:
    """The time from which on rows count as newest; about `share` of the `counted` rows with a time come after it.

    None if no time separates them. Rows with the same time are never separated, so many of them may change the share.
    """
    times, sizes = np.unique(moments[counted & ~np.isnan(moments)], return_counts=True)
    if len(times) < 2:
        return None
    newest, total = sizes[::-1].cumsum()[::-1][1:], int(sizes.sum())
    # Of two equally near times the later one, which leaves more rows to train on.
    best = len(newest) - 1 - int(np.abs(newest - share * total).round(6)[::-1].argmin())
    enough = LEAST_HELD * share * total <= newest[best] <= max(MOST_HELD, share) * total
    return float(times[1:][best]) if enough else None


def newest(prints: Prints, share: float, moments: Floats, begin: float) -> Mask:
    """The held-out rows with `train.time`, bool (n,): those from `begin` on.

    For rows without a time a hash of the unit decides.
    """
    return np.where(np.isnan(moments), _below(prints, share), moments >= begin)


def forward(
    moments: Floats, prints: Prints | None, count: int, codes: NDArray[np.int64] | None
) -> list[tuple[Any, Any]]:
    """At most `count` folds forward in time, as (train, test) row numbers.

    Each tests on rows that are newer than all its training rows. Rows without a time always train, rows of training
    units are not tested on, equal times are never separated. A fold with only one class (`codes`, (n,); None for
    values) or row to train on, or none to test on, is left out.
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


def _below(prints: Prints, share: float) -> Mask:
    """Whether each print, as a fraction of all 53-bit numbers, is below `share`."""
    return np.asarray((prints >> np.uint64(11)) < np.uint64(math.ceil(share * 2.0**53)))


def fair(prints: Prints, trained: Mask) -> Mask:
    """The rows of units without any `trained` row, bool (n,)."""
    return ~hash_parts.is_among(prints, prints[trained]) if trained.any() else np.ones(len(prints), dtype=bool)


def without_copies(prints: Prints, targets: Floats, part: Mask) -> Mask:
    """`part` without repeated rows: those with the unit and target of another row in it."""
    rows = np.flatnonzero(part)
    kept = np.zeros(len(part), dtype=bool)
    kept[rows[np.unique(together(prints[rows], as_prints(targets[rows])), return_index=True)[1]]] = True
    return kept


def as_prints(targets: Floats) -> Prints:
    """Prints of targets, (n,)."""
    return np.ascontiguousarray(targets, dtype=np.float64).view(np.uint64)


def digest(prints: Prints, targets: Floats) -> str:
    """A digest that is equal for two holdouts with the same rows in any order."""
    with np.errstate(over="ignore"):
        total = splitmix(together(prints, as_prints(targets))).sum(dtype=np.uint64)
    return f"{len(prints)}-{int(total):016x}"
