"""Treelite's trees as an ONNX graph, for boosting that our own graphs and skl2onnx do not reproduce."""

import json
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto

from retraind.daemon.artifacts import treelite_model
from retraind.daemon.core.errors import NotExportable
from retraind.daemon.training.export.onnx_nodes import Nodes
from retraind.daemon.training.export.onnx_trees import VALUES_OPSET, Ensemble, Tree

ROWS = "rows"

FORMAT = "Use --format pickle or --format mlflow."


def graph(data: bytes, classes: int, *, single: bool) -> ModelProto:
    """The graph of treelite's bytes: rows (n, width) to probabilities (n, classes), or values (n, 1) for no classes.

    `single`: the trees read rows in single precision. Raises NotExportable for trees with splits by sets of categories.
    """
    facts: dict[str, Any] = json.loads(treelite_model.as_json(data))
    ensemble, outputs = Ensemble(), max(1, *facts["num_class"])
    for number, tree in enumerate(facts["trees"]):
        target = facts["class_id"][number] if outputs > 1 else 0
        if tree["has_categorical_split"] or target < 0:
            raise NotExportable("Its trees split by sets of categories, or have several values in a leaf.", hint=FORMAT)
        ensemble.add(_tree(tree["nodes"], single=single), target)
    nodes, rows = Nodes("treelite"), ROWS
    if single:
        rows = nodes.node("Cast", nodes.node("Cast", rows, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)
    nodes.add(ensemble.node(rows, summed := "treelite_sum"))
    if facts["average_tree_output"]:
        summed = nodes.node("Div", summed, nodes.constant(float(len(facts["trees"]))))
    margins = nodes.node("Add", summed, nodes.constant(np.reshape(facts["base_scores"], (1, -1))))
    made = nodes.model(ROWS, facts["num_feature"], _answers(nodes, margins, facts, classes), max(classes, 1))
    for opset in made.opset_import:
        opset.version = max(opset.version, VALUES_OPSET[opset.domain])
    return made


def _tree(nodes: list[dict[str, Any]], *, single: bool) -> Tree:
    """A tree of treelite; a test for less than a number becomes one for at most the number before it."""
    places = {node["node_id"]: place for place, node in enumerate(nodes)}
    kind = np.float32 if single else np.float64

    def split(node: dict[str, Any]) -> float:
        threshold = node.get("threshold", 0.0)
        below = node.get("comparison_op") == "<"
        return float(np.nextafter(kind(threshold), kind(-np.inf))) if below else threshold

    if odd := {node.get("comparison_op", "<=") for node in nodes} - {"<", "<="}:
        raise NotExportable(f"Its trees compare by {', '.join(sorted(odd))}.", hint=FORMAT)
    columns = {
        "feature": [node.get("split_feature_id", 0) for node in nodes],
        "threshold": [split(node) for node in nodes],
        "left": [places.get(node.get("left_child"), -1) for node in nodes],
        "right": [places.get(node.get("right_child"), -1) for node in nodes],
        "missing_left": [node.get("default_left", False) for node in nodes],
        "value": [node.get("leaf_value", 0.0) for node in nodes],
        "leaf": ["leaf_value" in node for node in nodes],
    }
    return Tree(**{name: np.array(values) for name, values in columns.items()})


def _answers(nodes: Nodes, margins: str, facts: dict[str, Any], classes: int) -> str:
    """The answers for the sums over the trees."""
    match facts["postprocessor"]:
        case "identity":
            return margins
        case "exponential":
            return nodes.node("Exp", margins)
        case "softmax" if classes > 2:
            return nodes.node("Softmax", margins, axis=1)
        case "sigmoid" if classes == 2:
            second = nodes.node("Sigmoid", nodes.node("Mul", margins, nodes.constant(facts["sigmoid_alpha"])))
            return nodes.node("Concat", nodes.node("Sub", nodes.constant([[1.0]]), second), second, axis=1)
    raise NotExportable(f"Its answers are made by {facts['postprocessor']!r}, which has no graph here.", hint=FORMAT)
