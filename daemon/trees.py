"""Trees of a fitted regressor as an ONNX graph in double precision.

Level 2. skl2onnx knows regression trees in float32 only: its rows would cross thresholds, and a large value with a small
spread would lose the spread. The operator TreeEnsemble (ai.onnx.ml 5) keeps scikit-learn's float64 all the way.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = {"": 18, "ai.onnx.ml": 5}
IR = 9
SUM, LESS_OR_EQUAL = 1, 0


@dataclass(frozen=True)
class Tree:
    """One tree as arrays over its nodes; `left` is where a value up to the threshold goes."""

    feature: NDArray[Any]
    threshold: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    missing_left: NDArray[Any]
    value: NDArray[Any]
    leaf: NDArray[Any]


@dataclass
class Ensemble:
    """The attributes of TreeEnsemble: inner nodes and leaves are numbered apart from each other."""

    roots: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    left_leaf: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    right_leaf: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, tree: Tree) -> None:
        """Append a tree; one that is a single leaf becomes a node with that leaf on both sides."""
        inner = np.flatnonzero(~tree.leaf)
        number = np.where(tree.leaf, np.cumsum(tree.leaf) - 1 + len(self.weights), 0)
        number[inner] = len(self.features) + np.arange(len(inner))
        self.roots.append(len(self.features))
        self.weights += tree.value[tree.leaf].tolist()
        if len(inner) == 0:
            self._node(0, 0.0, 0, (int(number[0]), 1), (int(number[0]), 1))
        for index in inner:
            sides = [(int(number[side[index]]), int(tree.leaf[side[index]])) for side in (tree.left, tree.right)]
            self._node(int(tree.feature[index]), float(tree.threshold[index]), int(tree.missing_left[index]), *sides)

    def _node(self, feature: int, split: float, missing: int, left: tuple[int, int], right: tuple[int, int]) -> None:
        self.features.append(feature)
        self.splits.append(split)
        self.missing.append(missing)
        for side, numbers, leaves in ((left, self.left, self.left_leaf), (right, self.right, self.right_leaf)):
            numbers.append(side[0])
            leaves.append(side[1])

    def node(self, source: str, target: str) -> NodeProto:
        """The operator that adds up the leaves which a row reaches."""
        return helper.make_node(
            "TreeEnsemble",
            [source],
            [target],
            domain="ai.onnx.ml",
            aggregate_function=SUM,
            n_targets=1,
            leaf_targetids=[0] * len(self.weights),
            leaf_weights=_tensor(self.weights),
            nodes_featureids=self.features,
            nodes_modes=numpy_helper.from_array(np.full(len(self.features), LESS_OR_EQUAL, dtype=np.uint8)),
            nodes_splits=_tensor(self.splits),
            nodes_truenodeids=self.left,
            nodes_trueleafs=self.left_leaf,
            nodes_falsenodeids=self.right,
            nodes_falseleafs=self.right_leaf,
            nodes_missing_value_tracks_true=self.missing,
            tree_roots=self.roots,
        )


def graph(estimator: Any) -> ModelProto | None:
    """The graph of a tree, forest or boosting regressor: (n, d) to float64 (n, 1); None for another estimator.

    Trees and forests of scikit-learn look at rows in float32, so that is the type of their graph's input.
    """
    boosted = hasattr(estimator, "_predictors")
    trees = _boosted(estimator) if boosted else _grown(estimator)
    if not trees:
        return None
    ensemble = Ensemble()
    for tree in trees:
        ensemble.add(tree)
    base = float(estimator._baseline_prediction.item()) if boosted else 0.0
    nodes = [
        helper.make_node("Cast", ["rows"], ["wide"], to=TensorProto.DOUBLE),
        ensemble.node("wide", "sum"),
        helper.make_node("Add", ["sum", "base"], ["values"]),
    ]
    kind = TensorProto.DOUBLE if boosted else TensorProto.FLOAT
    source = helper.make_tensor_value_info("rows", kind, [None, estimator.n_features_in_])
    target = helper.make_tensor_value_info("values", TensorProto.DOUBLE, [None, 1])
    made = helper.make_graph(nodes, "trees", [source], [target], [numpy_helper.from_array(np.array([base]), "base")])
    return helper.make_model(made, opset_imports=[helper.make_opsetid(*one) for one in OPSET.items()], ir_version=IR)


def _grown(estimator: Any) -> list[Tree]:
    fitted = [estimator] if hasattr(estimator, "tree_") else list(getattr(estimator, "estimators_", []))
    found = [one.tree_ for one in fitted]
    return [
        Tree(
            one.feature,
            one.threshold,
            one.children_left,
            one.children_right,
            one.missing_go_to_left,
            one.value[:, 0, 0] / len(found),
            one.children_left < 0,
        )
        for one in found
    ]


def _boosted(estimator: Any) -> list[Tree]:
    found = [stage[0].nodes for stage in estimator._predictors]
    return [
        Tree(
            nodes["feature_idx"],
            nodes["num_threshold"],
            nodes["left"],
            nodes["right"],
            nodes["missing_go_to_left"],
            nodes["value"],
            nodes["is_leaf"].astype(bool),
        )
        for nodes in found
    ]


def _tensor(values: list[float]) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=np.float64))
