"""Target encoding of texts and of categories with many names; the first step of a pipeline.

A column becomes one number (for more than two classes, one per class). A category becomes the mean target of its rows,
shrunk towards the overall mean if they are few. A text becomes the prediction of a ridge regression on its words
(TF-IDF). In training, each row is encoded from other rows, by five folds that keep equal rows together. Otherwise a
model would trust these numbers too much.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import Ridge
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.validation import check_is_fitted, validate_data

from retraind.daemon.schema import hash_mixing
from retraind.daemon.schema.text_words import BITS, MASK, SLOTS

Matrix = NDArray[np.float64]

FOLDS = 5

MANY_EQUAL = 10

MOST_FITTED = 50_000
"""Number of texts, evenly spread, that the regression on words is fitted to: at most 60 MB of words."""

MOST_CELLS = 1 << 20
"""Size limit of a table of words: 4 MB in a bundle. With many classes, words share its rows."""

PIECE_ROWS = 1024

ALPHA = 1.0
"""The penalty of the regression on words; each of its rows has length 1."""

TINY = 1e-12


class Encoding(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Rows (n, width) to (n, columns that stay + outputs of each category + outputs of each text).

    `columns`: their number in the schema. `texts`: the positions of texts, whose words follow after the columns.
    `categories` and `sizes`: the positions of encoded categories and their numbers of codes. `classes`: their number, 0
    for regression.
    """

    def __init__(
        self,
        columns: int = 0,
        texts: Sequence[int] = (),
        categories: Sequence[int] = (),
        sizes: Sequence[int] = (),
        classes: int = 0,
    ) -> None:
        self.columns, self.texts, self.categories, self.sizes, self.classes = columns, texts, categories, sizes, classes

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn the tables from all rows."""
        rows = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        return self._keep(_cross_fitted(self, rows, np.asarray(y))[0])

    def fit_transform(self, X: ArrayLike, y: ArrayLike) -> Matrix:
        """As `fit`, but each row is encoded from the rows of other folds."""
        rows = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        tables, crossed = _cross_fitted(self, rows, np.asarray(y))
        self._keep(tables)
        return np.hstack([rows[:, self.kept], crossed])

    def transform(self, X: ArrayLike) -> Matrix:
        """The rows encoded with the fitted tables."""
        check_is_fitted(self, "middles_")
        rows = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        return np.hstack([rows[:, self.kept], self.scores(rows)])

    @property
    def kept(self) -> list[int]:
        """Positions of the columns that are not encoded."""
        return [place for place in range(self.columns) if place not in set(self.categories)]

    @property
    def outputs(self) -> int:
        """The number of outputs per encoded column."""
        return self.classes if self.classes > 2 else 1

    @property
    def buckets(self) -> int:
        """Rows of a table of words: a power of two."""
        return int(min(1 << BITS, 1 << (MOST_CELLS // (self.outputs + 1)).bit_length() - 1))

    def words(self, rows: Matrix, number: int) -> NDArray[np.int64]:
        """Table rows of the words of text number `number`, (n, MOST_WORDS); 0 for no word."""
        first = self.columns + SLOTS * number
        packed = rows[:, first : first + SLOTS].astype(np.int64)
        parts = [packed >> 2 * BITS & MASK, packed >> BITS & MASK, packed & MASK]
        return np.concatenate(parts, axis=1) & (self.buckets - 1)

    def scores(self, rows: Matrix) -> Matrix:
        """The encoded categories and texts, side by side."""
        columns = [
            table[np.clip(rows[:, place], -1, size - 1).astype(np.int64) + 1]
            for place, size, table in zip(self.categories, self.sizes, self.means_, strict=True)
        ]
        columns += [self._encoded(rows, number) for number in range(len(self.texts))]
        return np.hstack([np.empty((len(rows), 0)), *columns])

    def _encoded(self, rows: Matrix, number: int) -> Matrix:
        table, middle = self.tables_[number], self.middles_[number]
        made = np.empty((len(rows), self.outputs))
        for start in range(0, len(rows), PIECE_ROWS):
            part = slice(start, start + PIECE_ROWS)
            summed = table[self.words(rows[part], number)].sum(axis=1, dtype=np.float64)
            made[part] = summed[:, :-1] / np.sqrt(np.maximum(summed[:, -1:], TINY)) + middle
        return made

    def _keep(self, tables: "_Tables") -> Self:
        self.means_, self.tables_, self.middles_ = tables.means, tables.words, tables.middles
        return self


@dataclass(frozen=True)
class _Tables:
    """Fitted tables: for each category (size + 1, outputs), for each text (buckets, outputs + 1) and (outputs,)."""

    means: list[Matrix]
    words: list[NDArray[np.float32]]
    middles: list[Matrix]


_KNOWN: OrderedDict[bytes, tuple[_Tables, Matrix]] = OrderedDict()
"""Cache of encodings fitted on recent sets of rows, because all candidates of a training get the same folds."""

MOST_KNOWN = 7


def _cross_fitted(encoding: Encoding, rows: Matrix, y: NDArray[Any]) -> tuple[_Tables, Matrix]:
    """The tables of all rows, and the scores (n, outputs of all) that each row gets from the other folds."""
    digest = blake2b(repr(encoding.get_params()).encode())
    for part in (rows, y):
        digest.update(np.ascontiguousarray(part).view(np.uint8).data)
    key = digest.digest()
    if key not in _KNOWN:
        _KNOWN[key] = _fit_all(encoding, rows, y)
        while len(_KNOWN) > MOST_KNOWN:
            _KNOWN.popitem(last=False)
    return _KNOWN[key]


def _fit_all(encoding: Encoding, rows: Matrix, y: NDArray[Any]) -> tuple[_Tables, Matrix]:
    targets = _targets(encoding, y)
    whole = _fit_tables(encoding, rows, targets)
    crossed = np.empty((len(rows), encoding.outputs * (len(encoding.categories) + len(encoding.texts))))
    partial = Encoding(**encoding.get_params())
    for train, test in _folds(rows):
        tables = _fit_tables(encoding, rows[train], targets[train])
        crossed[test] = partial._keep(tables).scores(rows[test])
    return whole, crossed


def _targets(encoding: Encoding, y: NDArray[Any]) -> Matrix:
    """The target of each row for the fit, (n, outputs): its number, or whether it is of a class."""
    if not encoding.classes:
        return y.astype(np.float64).reshape(-1, 1)
    codes = np.arange(encoding.classes) if encoding.outputs > 1 else np.array([1])
    return np.asarray(y.reshape(-1, 1) == codes, dtype=np.float64)


def _folds(rows: Matrix) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The folds: rows to fit, and rows to encode with that fit.

    They are split by content, so copies are never on both sides. If there are at least MANY_EQUAL rows per distinct
    row, equal rows are not copies but common patterns, so they are split singly.
    """
    columns = [np.ascontiguousarray(rows[:, place] + 0.0).view(np.uint64) for place in range(rows.shape[1])]
    content = hash_mixing.together(*columns)
    different, counts = np.unique(content, return_counts=True)
    if MANY_EQUAL * len(different) <= len(rows):
        places = np.empty(len(rows), dtype=np.uint64)
        places[np.argsort(content, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
        content = hash_mixing.together(content, places)
    fold = content % np.uint64(FOLDS)
    for number in range(FOLDS):
        test = np.flatnonzero(fold == number)
        train = np.flatnonzero(fold != number)
        if len(test):
            yield (train if len(train) else test), test


def _fit_tables(encoding: Encoding, rows: Matrix, targets: Matrix) -> _Tables:
    means = [
        _means(rows[:, place], size, targets) for place, size in zip(encoding.categories, encoding.sizes, strict=True)
    ]
    step = -(-len(rows) // MOST_FITTED)
    some, sampled_targets = rows[::step], targets[::step]
    texts = [
        _regression(encoding.words(some, number), sampled_targets, encoding.buckets)
        for number in range(len(encoding.texts))
    ]
    return _Tables(means, [table for table, _ in texts], [middle for _, middle in texts])


def _means(codes: Matrix, size: int, targets: Matrix) -> Matrix:
    """The mean target of each code from -1 on, (size + 1, outputs); the fewer its rows, the nearer to the overall mean."""
    names = [np.arange(-1.0, size)]
    means = [
        TargetEncoder(categories=names, target_type="continuous", smooth="auto").fit(codes.reshape(-1, 1), target)
        for target in targets.T
    ]
    return np.column_stack([one.encodings_[0] for one in means])


def _regression(words: NDArray[np.int64], targets: Matrix, buckets: int) -> tuple[NDArray[np.float32], Matrix]:
    """A ridge regression on words, (buckets, outputs + 1): weights, and each word's part of the text's squared length."""
    there = words > 0
    counts = np.bincount(words[there], minlength=buckets)
    rarity = np.where(counts > 0, np.log((1 + len(words)) / (1 + counts)) + 1, 0.0)
    values = np.where(there, rarity[words], 0.0)
    length = np.sqrt(np.maximum(np.square(values).sum(axis=1, keepdims=True), TINY))
    starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    rows = csr_matrix(((values / length)[there], words[there], starts), shape=(len(words), buckets))
    middle = targets.mean(axis=0)
    spread = targets.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    fitted = Ridge(alpha=ALPHA, solver="sparse_cg", tol=1e-4).fit(rows, (targets - middle) / scale)
    weights = np.atleast_2d(fitted.coef_).T.reshape(buckets, -1) * scale
    table = np.column_stack([rarity.reshape(-1, 1) * weights, rarity**2])
    return table.astype(np.float32), np.asarray(middle + np.ravel(fitted.intercept_) * scale)
