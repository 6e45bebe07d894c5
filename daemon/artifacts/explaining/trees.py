"""Ensembles of trees as arrays, and their exact Shapley values for any number of features.

The game is that of `coalitions`: features outside of a coalition have the values of a background row. For one tree and one
background row, a leaf is reached by exactly the coalitions that have the features in which only the row leads to it, and
lack those in which only the background row does. Each such leaf has its values in closed form (Lundberg et al., "From local
explanations to global understanding with explainable AI for trees", 2020, interventional TreeSHAP), and an ensemble adds up.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Numbers = NDArray[np.int64]
Words = NDArray[np.uint64]

WORD = 64
"""Features in a word of a set."""

PATHS = 400_000
"""Words of sets in memory at a time, about."""

MOST_PATHS = 30_000_000
"""Maximum number of paths that are followed for one explanation: half a minute."""


class TooManyPaths(Exception):
    """Raised when the trees differ too much between a row and the background."""


@dataclass(frozen=True)
class Trees:
    """Nodes of all trees, by number. A value that is at most its node's threshold goes left (`strict`: one below it)."""

    roots: Numbers
    column: Numbers
    """-1 for a leaf."""
    threshold: Vector
    left: Numbers
    right: Numbers
    missing_left: NDArray[np.bool_]
    leaves: Matrix
    """(nodes, targets), or (nodes, 1) where `target` has the target of each node; 0 for inner nodes."""
    base: Vector
    """Added to the sum over the trees, (targets,)."""
    target: Numbers | None = None
    strict: bool = False

    def margins(self, rows: Matrix) -> Matrix:
        """The sums (n, targets) of the leaves that rows (n, columns) reach."""
        sums = np.tile(self.base, (len(rows), 1))
        number = np.arange(len(rows))
        for root in self.roots:
            node = np.full(len(rows), root)
            while (inner := self.column[node] >= 0).any():
                left = self.goes_left(node, rows[number, self.column[node]])
                node = np.where(inner, np.where(left, self.left[node], self.right[node]), node)
            if self.target is None:
                sums += self.leaves[node]
            else:
                np.add.at(sums, (number, self.target[node]), self.leaves[node, 0])
        return sums

    def goes_left(self, node: Numbers, value: Vector) -> NDArray[np.bool_]:
        """Whether a value goes left at its node, both (n,)."""
        threshold = self.threshold[node]
        below = value < threshold if self.strict else value <= threshold
        return np.asarray(np.where(np.isnan(value), self.missing_left[node], below))

    def worth(self, direction: Vector) -> Vector:
        """What each node adds to the product of the margins with a direction (targets,)."""
        if self.target is None:
            return np.asarray(self.leaves @ direction)
        return np.asarray(self.leaves[:, 0] * direction[self.target])

    def values(self, direction: Vector, row: Vector, background: Matrix, owner: Numbers, count: int) -> Vector:
        """The Shapley value of each of `count` features (count,) in the product of the margins with a direction.

        `owner` has the feature that each column belongs to. Raises TooManyPaths.
        """
        worth, total, paths = self.worth(direction), np.zeros(count), 0
        words = -(-count // WORD)
        step = max(1, PATHS // (16 * words * len(background)))
        for start in range(0, len(self.roots), step):
            for leaves in self._reached(self.roots[start : start + step], row, background, owner, words):
                paths += len(leaves.node)
                if paths > MOST_PATHS:
                    raise TooManyPaths
                total += leaves.credit(worth, count)
        return total / len(background)

    def _reached(
        self, roots: Numbers, row: Vector, background: Matrix, owner: Numbers, words: int
    ) -> Iterator["_Paths"]:
        """The leaves that rows mixed from the row and a background row can reach."""
        other = np.tile(np.arange(len(background)), len(roots))
        empty = np.zeros((len(other), words), np.uint64)
        waiting = [_Paths(np.repeat(roots, len(background)), other, empty, empty)]
        while waiting:
            paths = waiting.pop()
            inner = self.column[paths.node] >= 0
            if not inner.all():
                yield paths.chosen(~inner)
                paths = paths.chosen(inner)
            if len(paths.node):
                # In pieces, so that trees in which everything differs do not need memory for all their paths at once.
                waiting += self._below(paths, row, background, owner).pieces(max(1, PATHS // words))

    def _below(self, paths: "_Paths", row: Vector, background: Matrix, owner: Numbers) -> "_Paths":
        """The paths a node further down: two where only one of both rows goes left, and the feature is not yet decided."""
        column = self.column[paths.node]
        by_row = self.goes_left(paths.node, row[column])
        by_other = self.goes_left(paths.node, background[paths.other, column])
        place, word = np.arange(len(column)), owner[column] // WORD
        bit = np.uint64(1) << (owner[column] % WORD).astype(np.uint64)
        of_row, of_other = ((taken[place, word] & bit) != 0 for taken in (paths.of_row, paths.of_other))
        split = (by_row != by_other) & ~of_row & ~of_other
        first = paths.moved(self, np.where(of_other, by_other, by_row), np.arange(len(split)))
        second = paths.moved(self, by_other, np.flatnonzero(split))
        first.of_row[split, word[split]] |= bit[split]
        second.of_other[np.arange(len(second.node)), word[split]] |= bit[split]
        return first.joined(second)


@dataclass(frozen=True)
class _Paths:
    """Paths: the node that each has reached, its background row, and the sets of features that it needs from either row."""

    node: Numbers
    other: Numbers
    of_row: Words
    """(paths, words), a bit for each feature."""
    of_other: Words

    def chosen(self, which: NDArray[np.bool_]) -> "_Paths":
        return _Paths(self.node[which], self.other[which], self.of_row[which], self.of_other[which])

    def moved(self, trees: Trees, left: NDArray[np.bool_], which: Numbers) -> "_Paths":
        node = np.where(left, trees.left[self.node], trees.right[self.node])
        return _Paths(node[which], self.other[which], self.of_row[which], self.of_other[which])

    def joined(self, more: "_Paths") -> "_Paths":
        return _Paths(
            np.concatenate([self.node, more.node]),
            np.concatenate([self.other, more.other]),
            np.concatenate([self.of_row, more.of_row]),
            np.concatenate([self.of_other, more.of_other]),
        )

    def pieces(self, most: int) -> list["_Paths"]:
        parts = [slice(start, start + most) for start in range(0, len(self.node), most)]
        return [_Paths(self.node[at], self.other[at], self.of_row[at], self.of_other[at]) for at in parts]

    def credit(self, worth: Vector, count: int) -> Vector:
        """What the leaves give to each feature (count,), summed over the paths."""
        rows, others = (np.bitwise_count(taken).sum(axis=1, dtype=np.int64) for taken in (self.of_row, self.of_other))
        chances = _chances(int((rows + others).max(initial=0)))
        gained = worth[self.node] * chances[rows, others]
        taken = worth[self.node] * chances[others, rows]
        return _spread(self.of_row, gained, count) - _spread(self.of_other, taken, count)


def _chances(most: int) -> Matrix:
    """(p, q): the share of the orders of p + q features in which a certain one of p comes as the last of them, and before all q."""
    table = np.zeros((most + 1, most + 1))
    for own in range(1, most + 1):
        for others in range(most + 1 - own):
            table[own, others] = 1.0 / (own * math.comb(own + others, own))
    return table


def _spread(sets: Words, amounts: Vector, count: int) -> Vector:
    """For each feature (count,) the sum of the amounts (n,) of the sets (n, words) that have it."""
    octets = np.ascontiguousarray(sets.astype("<u8", copy=False)).view(np.uint8).reshape(len(sets), -1)
    members, features = np.nonzero(np.unpackbits(octets, axis=1, bitorder="little"))
    sums: Vector = np.bincount(features, weights=amounts[members], minlength=count).astype(np.float64)
    return sums[:count]
