"""LightGBM from pieces: bins the rows piece by piece, and trains on the bins, a byte for each cell.

Its model is the same, to the bit, as that of the estimator's own `fit` on all rows in memory.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline

from retraind.daemon.core import process_table
from retraind.daemon.dataset import segments
from retraind.daemon.model import Matrix, Targets

Blocks = Callable[[], Iterator[Matrix]]
"""Starts over at the first rows with each call."""

BATCH_ROWS = 65_536

BY = re.compile(r"\[force_(col|row)_wise: .\]")
"""The lines of a model's text that say whether histograms were summed by columns or by rows."""


def fit(estimator: Any, blocks: Blocks, targets: Targets, examples: tuple[Matrix, Targets]) -> Any:
    """A clone of LightGBM's estimator, or of a pipeline that ends with it, fitted on all rows of `blocks`.

    `targets` (n,) are theirs. The first steps of a pipeline are fitted on the `examples`.
    """
    release()
    fresh = clone(estimator)
    if not isinstance(fresh, Pipeline):
        return _boosted(fresh, blocks, targets, examples[0].shape[1])
    width = fresh[:-1].fit_transform(*examples).shape[1]
    steps, last = fresh[:-1], fresh.steps[-1][0]
    boosted = _boosted(fresh[-1], lambda: (steps.transform(block) for block in blocks()), targets, width)
    return fresh.set_params(**{last: boosted})


def release() -> None:
    """Return the memory to the system that Arrow and the C library keep after reading, answering or fitting."""
    segments.release()
    process_table.trim_memory()


def _boosted(fresh: Any, blocks: Blocks, targets: Targets, width: int) -> Any:
    """The unfitted estimator `fresh`, fitted."""
    import lightgbm

    trees, class_weight = fresh.n_estimators, getattr(fresh, "class_weight", None)
    labels, weights, examples = targets.astype(np.float32), None, np.array([0.0, 1.0])
    if is_classifier(fresh):
        counts = np.bincount(targets)
        classes = np.flatnonzero(counts)
        numbers = np.zeros(len(counts), dtype=np.float32)
        numbers[classes] = np.arange(len(classes))
        labels, examples = numbers[targets], np.repeat(classes, 2)
        weights = None if class_weight is None else _weights(class_weight, counts)[targets]
    # Its own fit on a few rows makes its parameters and its list of classes.
    fresh.set_params(n_estimators=1).fit(np.zeros((len(examples), width)), examples)
    parameters = {key: value for key, value in fresh.booster_.params.items() if key != "num_iterations"}
    parameters["data_random_seed"] = _seed_of_bins(parameters["random_state"])
    rows = _sequence(blocks, len(targets))
    binned = lightgbm.Dataset(rows, label=labels, weight=weights, params=parameters).construct()
    # The library has its own labels and weights now.
    del labels, weights
    binned.label = binned.weight = None
    release()
    fresh._Booster = _trained(parameters, binned, trees)
    del binned
    release()
    return fresh.set_params(n_estimators=trees)


def _trained(parameters: dict[str, Any], binned: Any, trees: int) -> Any:
    """The booster trained on the bins, with a text that has these parameters.

    By rows, LightGBM needs a second copy of all bins. With one thread, sums by columns add the same numbers in the same
    order, so that every bit is the same.
    """
    import lightgbm

    if parameters.get("num_threads") != 1:
        return lightgbm.train(parameters, binned, num_boost_round=trees)
    by_columns = parameters | {"force_row_wise": False, "force_col_wise": True}
    booster = lightgbm.train(by_columns, binned, num_boost_round=trees)
    asked = {side: int(bool(parameters.get(f"force_{side}_wise"))) for side in ("col", "row")}
    text = BY.sub(lambda line: f"[force_{line[1]}_wise: {asked[line[1]]}]", booster.model_to_string())
    return booster.model_from_string(text)


def _weights(class_weight: Any, counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """The weight of the rows of each class code, of which there are so many, as scikit-learn weighs them."""
    if class_weight == "balanced":
        weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        weights = np.array([class_weight.get(code, 1.0) for code in range(len(counts))])
    return np.asarray(weights, dtype=np.float32)


def _seed_of_bins(seed: int) -> int:
    """The seed by which LightGBM's own fit chooses the rows that decide on the bins: its generator's first number."""
    return ((214_013 * seed + 2_531_011 & 0xFFFF_FFFF) >> 16 & 0x7FFF) % 0x7FFF


def _sequence(blocks: Blocks, count: int) -> Any:
    """The rows of `blocks` for LightGBM, which asks for some of them and then for all, each time in their order."""
    import lightgbm

    class _Rows(lightgbm.Sequence):
        batch_size = BATCH_ROWS

        def __init__(self) -> None:
            self._coming, self._block, self._start = blocks(), np.empty((0, 0)), 0

        def __len__(self) -> int:
            return count

        def __getitem__(self, key: Any) -> Matrix:
            if isinstance(key, slice):
                return np.concatenate(list(self._parts(key.start, key.stop)))
            self._go_to(key)
            row: Matrix = self._block[key - self._start]
            return row.copy()

        def _parts(self, start: int, stop: int) -> Iterator[Matrix]:
            while start < stop:
                self._go_to(start)
                part = self._block[start - self._start : stop - self._start]
                yield part
                start += len(part)

        def _go_to(self, row: int) -> None:
            """Make the block that has this row the current one."""
            if row < self._start:
                self._coming, self._block, self._start = blocks(), np.empty((0, 0)), 0
            while row >= self._start + len(self._block):
                self._start += len(self._block)
                self._block = next(self._coming)

    return _Rows()
