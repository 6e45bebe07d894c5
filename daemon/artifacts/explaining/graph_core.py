"""The core of a model that is one ONNX graph: its trees, or its linear scores, and the nodes around them.

It knows the graphs of `retraind.daemon.training.export`. A graph of another form has no core; a wrongly read one is noticed, because an
explanation compares the core's answers with those of the model.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from retraind.daemon.artifacts.backends import OnnxModel
from retraind.daemon.artifacts.explaining.cores import Core, Linear, Link, Shape
from retraind.daemon.artifacts.explaining.trees import Trees
from retraind.daemon.artifacts.manifest import Kind

CORES = ("TreeEnsemble", "TreeEnsembleClassifier", "Gemm")

SHAPES: dict[str, Shape] = {"Sigmoid": "logistic", "Softmax": "softmax", "Clip": "clipped"}

SLOPE, FLOOR = "calibration_slope", "calibration_floor"

BASE = "base"

LEAF = b"LEAF"


def core(graph: bytes, kind: Kind, classes: int) -> Core | None:
    """The core of a graph for rows of a type; None if it has none, or more than one (a blend)."""
    model = onnx.load_model_from_string(graph)
    cores = [node for node in model.graph.node if node.op_type in CORES]
    if len(cores) != 1:
        return None
    (node,) = cores
    constants = {each.name: each for each in model.graph.initializer}
    if not _is_ours(node, constants):
        return None
    before = _before(model, node.input[0])
    after = [each for each in model.graph.node if each is not node and each not in before]
    encode = OnnxModel(_graph(model, before, node.input[0]), kind).answers
    link = _link(after, constants, classes)
    if node.op_type == "Gemm":
        linear = _linear(node, constants)
        return Core("a linear model", encode, linear, link, linear.weights.size)
    trees = _values(node, constants) if node.op_type == "TreeEnsemble" else _shares(node)
    return Core("trees", encode, trees, link, trees.column.size * (6 + trees.leaves.shape[1]))


def _is_ours(node: NodeProto, constants: dict[str, Any]) -> bool:
    """Whether a core has the form that our export gives it, which is not that of skl2onnx."""
    attributes = {each.name: each for each in node.attribute}
    if node.op_type == "Gemm":
        return set(node.input[1:]) <= constants.keys() and len(node.input) == 3 and attributes.keys() == {"transB"}
    return ("leaf_weights" if node.op_type == "TreeEnsemble" else "class_weights_as_tensor") in attributes


def correction(graph: bytes) -> tuple[float | None, float]:
    """Slope and floor of the correction of probabilities in a graph; None without one."""
    return _correction({each.name: each for each in onnx.load_model_from_string(graph).graph.initializer})


def _correction(constants: dict[str, Any]) -> tuple[float | None, float]:
    if SLOPE not in constants:
        return None, 0.0
    return _number(constants[SLOPE]), _number(constants[FLOOR])


def _number(constant: Any) -> float:
    return float(numpy_helper.to_array(constant).ravel()[0])


def _before(model: ModelProto, name: str) -> list[NodeProto]:
    """The nodes that compute a value, in the order of the graph."""
    needed, chosen = {name}, []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            chosen.append(node)
    return chosen[::-1]


def _graph(model: ModelProto, nodes: Iterable[NodeProto], name: str) -> bytes:
    """The graph that answers a value within a graph."""
    kept = [*nodes, helper.make_node("Identity", [name], ["encoded_rows"])]
    used = {each for node in kept for each in node.input}
    constants = [each for each in model.graph.initializer if each.name in used]
    # Without a type: ONNX Runtime infers it.
    part = helper.make_graph(kept, "before", list(model.graph.input), [ValueInfoProto(name="encoded_rows")], constants)
    made = helper.make_model(part, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    return bytes(made.SerializeToString())


def _link(after: list[NodeProto], constants: dict[str, Any], classes: int) -> Link:
    shape: Shape = "identity"
    least = 0.0
    for node in after:
        shape = SHAPES.get(node.op_type, shape)
        if node.op_type == "Clip":
            least = _number(constants[node.input[1]])
    slope, floor = _correction(constants)
    return Link(shape, classes, slope, floor, least)


def _linear(node: NodeProto, constants: dict[str, Any]) -> Linear:
    weights, base = (numpy_helper.to_array(constants[name]).astype(np.float64) for name in node.input[1:3])
    return Linear(weights.T, base.ravel())


def _values(node: NodeProto, constants: dict[str, Any]) -> Trees:
    """The trees of TreeEnsemble, whose leaves add a number to one target; inner nodes come first, then leaves."""
    own = {each.name: each for each in node.attribute}
    column, inner = _ints(own["nodes_featureids"]), len(own["nodes_featureids"].ints)
    worth, target = numpy_helper.to_array(own["leaf_weights"].t), _ints(own["leaf_targetids"])
    count, zeros = len(worth), np.zeros(len(worth), np.int64)
    left, right = (
        _ints(own[f"nodes_{side}nodeids"]) + inner * _ints(own[f"nodes_{side}leafs"]) for side in ("true", "false")
    )
    base = numpy_helper.to_array(constants[BASE]).ravel() if BASE in constants else np.zeros(1 + int(target.max()))
    return Trees(
        roots=_ints(own["tree_roots"]),
        column=np.concatenate([column, zeros - 1]),
        threshold=np.concatenate([numpy_helper.to_array(own["nodes_splits"].t), np.zeros(count)]),
        left=np.concatenate([left, zeros]),
        right=np.concatenate([right, zeros]),
        missing_left=np.concatenate([_ints(own["nodes_missing_value_tracks_true"]), zeros]).astype(bool),
        leaves=np.concatenate([np.zeros(inner), worth])[:, np.newaxis],
        base=base.astype(np.float64),
        target=np.concatenate([np.zeros(inner, np.int64), target]),
    )


def _shares(node: NodeProto) -> Trees:
    """The trees of TreeEnsembleClassifier, whose leaves add a share to each class; nodes are numbered within their tree."""
    own = {each.name: each for each in node.attribute}
    tree, leaf = _ints(own["nodes_treeids"]), np.array([mode == LEAF for mode in own["nodes_modes"].strings])
    roots = np.flatnonzero(np.diff(tree, prepend=-1))
    first = roots[np.searchsorted(tree[roots], tree)]
    leaves = np.zeros((len(tree), len(own["classlabels_int64s"].ints)))
    at = roots[np.searchsorted(tree[roots], _ints(own["class_treeids"]))] + _ints(own["class_nodeids"])
    leaves[at, _ints(own["class_ids"])] = numpy_helper.to_array(own["class_weights_as_tensor"].t)
    return Trees(
        roots=roots,
        column=np.where(leaf, -1, _ints(own["nodes_featureids"])),
        threshold=numpy_helper.to_array(own["nodes_values_as_tensor"].t),
        left=first + _ints(own["nodes_truenodeids"]),
        right=first + _ints(own["nodes_falsenodeids"]),
        missing_left=_ints(own["nodes_missing_value_tracks_true"]).astype(bool),
        leaves=leaves,
        base=np.zeros(leaves.shape[1]),
    )


def _ints(attribute: Any) -> NDArray[np.int64]:
    return np.array(attribute.ints, dtype=np.int64)
