"""Questions about many hashes, answered part by part: each part has the hashes that begin with the same bits.

Equal hashes are always in one part, so the answers are those of all hashes at once. The arrays that a sort needs are as
small as a part. Pure functions.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.schema.hash_mixing import Prints

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]

MOST_ROWS = 1 << 22
"""Maximum number of hashes that are answered at once: sorting them takes up to 300 MB."""

PART_ROWS = 1 << 20
"""Wanted number of hashes in a part."""


def parts(hashes: Prints) -> Iterator[Places | slice]:
    """The positions of hashes (n,), in their order, of one part after the other; a slice if there is only one part."""
    if len(hashes) <= MOST_ROWS:
        yield slice(None)
        return
    bits = min(16, (len(hashes) // PART_ROWS).bit_length())
    numbers = (hashes >> np.uint64(64 - bits)).astype(np.uint16)
    for number in range(1 << bits):
        yield np.flatnonzero(numbers == number)


def is_among(hashes: Prints, others: Prints) -> Mask:
    """Whether each hash (n,) is one of the others (m,)."""
    answer = np.zeros(len(hashes), dtype=bool)
    whole = hashes if len(hashes) >= len(others) else others
    if len(whole) <= MOST_ROWS:
        return np.isin(hashes, others)
    bits = min(16, (len(whole) // PART_ROWS).bit_length())
    shift = np.uint64(64 - bits)
    of_hashes, of_others = ((each >> shift).astype(np.uint16) for each in (hashes, others))
    for number in range(1 << bits):
        mine = np.flatnonzero(of_hashes == number)
        answer[mine] = np.isin(hashes[mine], others[of_others == number])
    return answer


def occurrence(hashes: Prints) -> Prints:
    """For each hash (n,) the number of equal ones before it, uint64 (n,)."""
    numbers = np.zeros(len(hashes), dtype=np.uint64)
    for places in parts(hashes):
        numbers[places] = _occurrence(hashes[places])
    return numbers


def _occurrence(values: Prints) -> Prints:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(values) else np.zeros(0, np.int64)
    lengths = np.diff(np.append(starts, len(values)))
    numbers = np.empty(len(values), dtype=np.uint64)
    numbers[order] = np.arange(len(values)) - np.repeat(starts, lengths)
    return numbers


def counts(hashes: Prints) -> Places:
    """For each hash (n,) its number of occurrences; quick if equal ones are neighbours, as those of a drop are."""
    if not len(hashes):
        return np.zeros(0, dtype=np.int64)
    starts = np.concatenate([[0], np.flatnonzero(hashes[1:] != hashes[:-1]) + 1])
    lengths = np.diff(np.append(starts, len(hashes)))
    _, inverse = np.unique(hashes[starts], return_inverse=True)
    sizes = np.bincount(inverse, weights=lengths).astype(np.int64)
    return np.repeat(sizes[inverse], lengths)


def repeats(hashes: Prints, targets: NDArray[Any]) -> tuple[float, float]:
    """The mean number of hashes equal to a hash, with itself, and of hashes with equals the share with a target unlike the first's."""
    squares = several = differing = 0
    for places in parts(hashes):
        values = targets[places]
        _, first, inverse, sizes = np.unique(hashes[places], return_index=True, return_inverse=True, return_counts=True)
        repeated = sizes[inverse] > 1
        squares += int((sizes.astype(np.float64) ** 2).sum())
        several += int(repeated.sum())
        differing += int((values[repeated] != values[first][inverse[repeated]]).sum())
    if not several:
        return 1.0, 0.0
    return squares / len(hashes), differing / several
