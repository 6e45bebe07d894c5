"""Treelite models: tree ensembles that none of our ONNX graphs reproduces, as treelite's bytes and as a function.

The only module that uses treelite. Bundles with such a model load it, and so does the export that tries it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

NUMERICAL, LESS, LESS_OR_EQUAL = 1, 2, 3
"""treelite's numbers: a node that compares with a threshold, and its comparisons."""


def dumps(estimator: Any) -> bytes:
    """A fitted ensemble of scikit-learn, LightGBM or XGBoost as treelite's bytes; passes on errors of treelite.

    Those of scikit-learn and LightGBM are in double precision.
    """
    import treelite

    if hasattr(estimator, "booster_"):
        return bytes(treelite.frontend.from_lightgbm(estimator.booster_).serialize_bytes())
    if hasattr(estimator, "get_booster"):
        return bytes(treelite.frontend.from_xgboost(estimator.get_booster()).serialize_bytes())
    return bytes(treelite.sklearn.import_model(estimator).serialize_bytes())


def as_json(data: bytes) -> str:
    """Such bytes as treelite's JSON: the trees, node by node, and how their sums become answers."""
    import treelite

    return str(treelite.Model.deserialize_bytes(data).dump_as_json(pretty_print=False))


@dataclass(frozen=True)
class Parts:
    """The trees of treelite's bytes as the arrays of `retraind.daemon.artifacts.explaining.trees`, and the way to the answers."""

    arrays: dict[str, Any]
    postprocessor: str
    """What is done with the sum over the trees, by treelite's name."""
    sharpness: float
    """By which the sum is multiplied before that."""


def trees(data: bytes) -> Parts | None:
    """The trees in treelite's bytes; None if some split by sets of categories, or compare in different ways."""
    import treelite

    model = treelite.Model.deserialize_bytes(data)
    header = model.get_header_accessor()
    each = [_Nodes.of(model.get_tree_accessor(number)) for number in range(model.num_tree)]
    operators = {operator for nodes in each for operator in nodes.operators}
    targets = int(header.get_field("num_class")[0])
    if any(nodes.by_set for nodes in each) or not operators <= {LESS, LESS_OR_EQUAL} or len(operators) > 1:
        return None
    starts = np.cumsum([0, *(len(nodes.column) for nodes in each)])[:-1]
    share = 1.0 / len(each) if header.get_field("average_tree_output")[0] else 1.0
    target = np.repeat(np.maximum(header.get_field("class_id"), 0), [len(nodes.column) for nodes in each])
    leaves = np.concatenate([nodes.leaves for nodes in each]) * share
    arrays = {
        "roots": starts,
        "column": np.concatenate([nodes.column for nodes in each]),
        "threshold": np.concatenate([nodes.threshold for nodes in each]),
        "left": np.concatenate([nodes.left + start for nodes, start in zip(each, starts, strict=True)]),
        "right": np.concatenate([nodes.right + start for nodes, start in zip(each, starts, strict=True)]),
        "missing_left": np.concatenate([nodes.missing_left for nodes in each]),
        "leaves": leaves,
        "base": np.array(header.get_field("base_scores"), dtype=np.float64),  # a copy: the field ends with the model
        "target": target.astype(np.int64) if leaves.shape[1] < targets else None,
        "strict": operators == {LESS},
    }
    return Parts(arrays, str(header.get_field("postprocessor")), float(header.get_field("sigmoid_alpha")[0]))


@dataclass(frozen=True)
class _Nodes:
    """The nodes of one tree as arrays, numbered from 0."""

    column: NDArray[np.int64]
    threshold: Matrix
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    leaves: Matrix
    operators: set[int]
    by_set: bool

    @classmethod
    def of(cls, tree: Any) -> "_Nodes":
        left = tree.get_field("cleft").astype(np.int64)
        leaf, vectors = left < 0, tree.get_field("leaf_vector")
        width = int((tree.get_field("leaf_vector_end") - tree.get_field("leaf_vector_begin")).max(initial=0))
        leaves = np.zeros((len(left), max(width, 1)))
        leaves[leaf] = vectors.reshape(-1, width) if width else tree.get_field("leaf_value")[leaf, np.newaxis]
        return cls(
            column=np.where(leaf, -1, tree.get_field("split_index")).astype(np.int64),
            threshold=tree.get_field("threshold").astype(np.float64),
            left=np.maximum(left, 0),
            right=np.maximum(tree.get_field("cright"), 0).astype(np.int64),
            missing_left=tree.get_field("default_left").astype(bool),
            leaves=leaves,
            operators=set(tree.get_field("cmp")[~leaf].tolist()),
            by_set=bool((tree.get_field("node_type")[~leaf] != NUMERICAL).any()),
        )


def predictor(data: bytes, *, single: bool, classes: int) -> Callable[[Matrix], Matrix]:
    """Answers of such bytes: (n, d) to (n, classes) probabilities, or (n, 1) values for no classes.

    `single`: the trees read rows in single precision, as in scikit-learn except for histogram gradient boosting.
    """
    import treelite

    model = treelite.Model.deserialize_bytes(data)

    # Values near the largest double overflow; the caller checks the answers.
    @np.errstate(all="ignore")
    def run(rows: Matrix) -> Matrix:
        seen = rows.astype(np.float32).astype(np.float64) if single else np.ascontiguousarray(rows)
        # One thread, as for ONNX: workers must not fight the trainer for cores.
        margins = np.asarray(treelite.gtil.predict(model, seen, nthread=1), dtype=np.float64).reshape(len(rows), -1)
        # For two classes it returns only the probability of the second.
        return np.hstack([1.0 - margins, margins]) if classes == 2 and margins.shape[1] == 1 else margins

    return run
