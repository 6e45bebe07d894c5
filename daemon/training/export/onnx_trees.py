"""Trees, forests and boosting as ONNX graphs in double precision.

skl2onnx supports trees only in float32: rows would cross thresholds, a large value with a small spread would lose the
spread, and the sum over a hundred trees would miss `bundle.PARITY`. TreeEnsemble (ai.onnx.ml 5) keeps scikit-learn's
float64 throughout, with one number per leaf; TreeEnsembleClassifier (ai.onnx.ml 3) does so for leaves with a share of
each class.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from retraind.daemon.training.export.category_sets import HALF, Memberships
from retraind.daemon.training.export.onnx_nodes import IR, OPSET

VALUES_OPSET = {**OPSET, "ai.onnx.ml": 5}
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
    """The attributes of TreeEnsemble; inner nodes and leaves have separate numbers."""

    roots: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    left_leaf: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    right_leaf: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)

    def add(self, tree: Tree, target: int = 0) -> None:
        """Append a tree that adds to one target; a single leaf becomes a node with that leaf on both sides."""
        inner = np.flatnonzero(~tree.leaf)
        number = np.where(tree.leaf, np.cumsum(tree.leaf) - 1 + len(self.weights), 0)
        number[inner] = len(self.features) + np.arange(len(inner))
        self.roots.append(len(self.features))
        self.weights += tree.value[tree.leaf].tolist()
        self.targets += [target] * (len(self.weights) - len(self.targets))
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
        """The operator that sums the leaves that a row reaches."""
        return helper.make_node(
            "TreeEnsemble",
            [source],
            [target],
            domain="ai.onnx.ml",
            aggregate_function=SUM,
            n_targets=1 + max(self.targets),
            leaf_targetids=self.targets,
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


def graph(estimator: Any, *, joined: bool = False) -> ModelProto | None:
    """The graph of a fitted tree, forest or boosting: (n, d) to (n, 1) or (n, classes), float64.

    None for another estimator. Trees and forests of scikit-learn read rows in float32, so their graphs have that input
    type. `joined`: the graph becomes part of a blend's graph, which may not hold both operators, so two classes use the
    same operator as more classes.
    """
    classes = len(getattr(estimator, "classes_", ()))
    if hasattr(estimator, "_predictors"):
        return _boosting(estimator, classes)
    fitted = [estimator] if hasattr(estimator, "tree_") else list(getattr(estimator, "estimators_", ()))
    weighted = any(hasattr(estimator, name) for name in ("estimator_weights_", "estimators_features_"))
    if not fitted or weighted or not all(hasattr(one, "tree_") for one in fitted):
        return None
    if joined and classes == 2:
        return _second_share(fitted)
    return _shares(fitted, classes) if classes else _values(fitted)


def _model(nodes: list[NodeProto], width: int, kind: int, answers: str, columns: int, **constants: Any) -> ModelProto:
    """A graph from `rows` (n, width) to `answers` (n, columns)."""
    source = helper.make_tensor_value_info("rows", kind, [None, width])
    target = helper.make_tensor_value_info(answers, TensorProto.DOUBLE, [None, columns])
    arrays = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    opset = VALUES_OPSET if any(node.op_type == "TreeEnsemble" for node in nodes) else OPSET
    made = helper.make_graph(nodes, "trees", [source], [target], arrays)
    return helper.make_model(made, opset_imports=[helper.make_opsetid(*one) for one in opset.items()], ir_version=IR)


def _values(fitted: list[Any]) -> ModelProto:
    """Trees of a regression: their mean."""
    return _model(_mean(fitted, "values"), fitted[0].n_features_in_, TensorProto.FLOAT, "values", 1)


def _second_share(fitted: list[Any]) -> ModelProto:
    """Trees of two classes: the mean share of the second class, and the rest for the first."""
    nodes, constants = _with_first("second", "probabilities")
    # A hundred shares of 1/100 add up to slightly more than 1, which would leave the first class a negative share.
    limited = helper.make_node("Min", ["sum", "one"], ["second"])
    nodes = [*_mean(fitted, "sum"), limited, *nodes]
    return _model(nodes, fitted[0].n_features_in_, TensorProto.FLOAT, "probabilities", 2, **constants)


def _mean(fitted: list[Any], answers: str) -> list[NodeProto]:
    """The mean over the trees of their single value, or of the second class's share."""
    ensemble = Ensemble()
    for tree in fitted:
        ensemble.add(_grown(tree.tree_, len(fitted)))
    return [helper.make_node("Cast", ["rows"], ["wide"], to=TensorProto.DOUBLE), ensemble.node("wide", answers)]


def _with_first(second: str, answers: str) -> tuple[list[NodeProto], dict[str, Any]]:
    """The probabilities of both classes, from that of the second, and the constants of these nodes."""
    nodes = [
        helper.make_node("Sub", ["one", second], ["first"]),
        helper.make_node("Concat", ["first", second], [answers], axis=1),
    ]
    return nodes, {"one": np.ones((1, 1))}


def _boosting(estimator: Any, classes: int) -> ModelProto:
    """Each stage adds a tree to the value, or to the log odds of each class (with two classes, only of the second)."""
    ensemble, memberships = Ensemble(), Memberships.of(estimator)
    for stage in estimator._predictors:
        for target, predictor in enumerate(stage):
            ensemble.add(_stage(predictor, memberships), target)
    before, constants = memberships.nodes("rows", "wide") if memberships.columns else ([], {})
    seen = "wide" if memberships.columns else "rows"
    nodes = [*before, ensemble.node(seen, "sum"), helper.make_node("Add", ["sum", "base"], ["raw"])]
    answers, constants = "raw", {**constants, "base": estimator._baseline_prediction.reshape(1, -1)}
    if classes == 2:
        answers = "probabilities"
        before_first, one = _with_first("second", answers)
        nodes += [helper.make_node("Sigmoid", ["raw"], ["second"]), *before_first]
        constants |= one
    elif classes:
        answers = "probabilities"
        nodes.append(helper.make_node("Softmax", ["raw"], [answers], axis=1))
    return _model(nodes, estimator.n_features_in_, TensorProto.DOUBLE, answers, max(classes, 1), **constants)


def _shares(fitted: list[Any], classes: int) -> ModelProto:
    """Trees of a classification: the mean of the classes' shares in the leaves."""
    grown = [one.tree_ for one in fitted]
    sizes = [one.node_count for one in grown]
    numbers = np.concatenate([np.arange(size) for size in sizes])
    trees, leaf = np.repeat(np.arange(len(grown)), sizes), np.concatenate([one.children_left < 0 for one in grown])
    weights = np.concatenate([one.value[:, 0, :] for one in grown])[leaf] / len(grown)
    nodes = {
        "nodes_treeids": trees,
        "nodes_nodeids": numbers,
        "nodes_featureids": np.concatenate([np.maximum(one.feature, 0) for one in grown]),
        "nodes_truenodeids": np.concatenate([np.maximum(one.children_left, 0) for one in grown]),
        "nodes_falsenodeids": np.concatenate([np.maximum(one.children_right, 0) for one in grown]),
        "nodes_missing_value_tracks_true": np.concatenate([one.missing_go_to_left for one in grown]).astype(np.int64),
        "class_treeids": np.repeat(trees[leaf], classes),
        "class_nodeids": np.repeat(numbers[leaf], classes),
        "class_ids": np.tile(np.arange(classes), int(leaf.sum())),
    }
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["wide"],
        ["label", "shares"],
        domain="ai.onnx.ml",
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_values_as_tensor=_tensor(np.concatenate([one.threshold for one in grown])),
        class_weights_as_tensor=_tensor(weights.ravel()),
        classlabels_int64s=list(range(classes)),
        post_transform="NONE",
        **{name: values.tolist() for name, values in nodes.items()},
    )
    steps = [
        helper.make_node("Cast", ["rows"], ["wide"], to=TensorProto.DOUBLE),
        node,
        helper.make_node("Cast", ["shares"], ["probabilities"], to=TensorProto.DOUBLE),
    ]
    return _model(steps, fitted[0].n_features_in_, TensorProto.FLOAT, "probabilities", classes)


def _grown(tree: Any, count: int) -> Tree:
    """A tree of scikit-learn as one of `count` trees that are averaged."""
    leaf = tree.children_left < 0
    sides = tree.children_left, tree.children_right, tree.missing_go_to_left
    return Tree(tree.feature, tree.threshold, *sides, tree.value[:, 0, -1] / count, leaf)


def _stage(predictor: Any, memberships: Memberships) -> Tree:
    """A tree of scikit-learn's boosting; a split by a set of categories compares a membership."""
    nodes = predictor.nodes
    feature, threshold = nodes["feature_idx"].copy(), nodes["num_threshold"].copy()
    for index in np.flatnonzero((nodes["is_categorical"] == 1) & (nodes["is_leaf"] == 0)):
        bitset = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][index]]
        feature[index], threshold[index] = memberships.place(int(feature[index]), bitset), HALF
    sides = nodes["left"], nodes["right"], nodes["missing_go_to_left"]
    return Tree(feature, threshold, *sides, nodes["value"], nodes["is_leaf"].astype(bool))


def _tensor(values: Any) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=np.float64))
