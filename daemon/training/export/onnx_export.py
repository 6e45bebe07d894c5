"""Exports a fitted estimator to ONNX: by our own code for the candidates, by skl2onnx for estimators of other packages.

A graph takes one matrix in schema order; its last output is served: (n, classes) probabilities, or (n, 1) values.
"""

from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper
from sklearn.pipeline import Pipeline

from retraind.daemon.artifacts.manifest import Kind
from retraind.daemon.blend import Blend
from retraind.daemon.encoding import Encoding
from retraind.daemon.model import FLOOR, Calibrated, Design
from retraind.daemon.training.export import onnx_blend, onnx_encoding, onnx_linear, onnx_trees
from retraind.daemon.training.export.onnx_nodes import Nodes

CALIBRATION = ("told", "raised", "floor", "slope", "classes", "total")


def convert(estimator: Any, width: int, *, joined: bool = False) -> tuple[bytes, Kind]:
    """The graph and the type of its input; passes on errors of skl2onnx. `joined`: it becomes part of a blend's graph."""
    if isinstance(estimator, Calibrated):
        data, kind = convert(estimator.estimator, width, joined=joined)
        return _corrected(data, estimator), kind
    if isinstance(estimator, Blend):
        members = [onnx.load_model_from_string(convert(each, width, joined=True)[0]) for each in estimator.members_]
        return onnx_blend.graph(members, estimator.shares, width).SerializeToString(), "float64"
    if isinstance(estimator, Pipeline) and isinstance(estimator[0], Encoding):
        model = onnx.load_model_from_string(convert(*_behind(estimator), joined=joined)[0])
        return onnx_encoding.before(model, estimator[0]), "float64"
    made = onnx_linear.graph(estimator) or onnx_trees.graph(estimator, joined=joined) or _foreign(estimator, width)
    kind = made.graph.input[0].type.tensor_type.elem_type
    return made.SerializeToString(), "float64" if kind == TensorProto.DOUBLE else "float32"


def _foreign(estimator: Any, width: int) -> ModelProto:
    """The graph made by skl2onnx; estimators after Design, or in another pipeline, get rows in double precision."""
    # Imported here, because it takes as long as all imports that our own candidates need.
    from retraind.daemon.training.export import skl2onnx_graph

    if not (isinstance(estimator, Pipeline) and isinstance(estimator[0], Design)):
        return skl2onnx_graph.convert(estimator, width, double=isinstance(estimator, Pipeline))
    design, rest = estimator[0], estimator[1:] if len(estimator) > 2 else estimator[1]
    wide = len(design.mean_) + sum(design._sizes(width))
    return onnx_linear.behind_design(design, skl2onnx_graph.convert(rest, wide, double=True))


def around(estimator: Any, width: int) -> tuple[Any, dict[str, bytes]]:
    """The ensemble within an estimator, and the float64 graphs of the steps `before` and `after` it, if any."""
    steps: dict[str, bytes] = {}
    if isinstance(estimator, Calibrated):
        model = _unchanged("told", len(estimator.classes_))
        steps["after"] = _corrected(model.SerializeToString(), estimator)
        estimator = estimator.estimator
    encoding = estimator[0] if isinstance(estimator, Pipeline) and isinstance(estimator[0], Encoding) else None
    if encoding is not None:
        estimator, width = _behind(estimator)
    if isinstance(estimator, Pipeline) and len(estimator) == 2 and isinstance(estimator[0], Design):
        steps["before"] = onnx_linear.design(estimator[0]).SerializeToString()
        estimator = estimator[1]
    if encoding is not None:
        model = onnx.load_model_from_string(steps["before"]) if "before" in steps else _unchanged("rows", width)
        steps["before"] = onnx_encoding.before(model, encoding)
    return estimator, steps


def _behind(estimator: Pipeline) -> tuple[Any, int]:
    """The step after a pipeline's encoding, and the width of its rows."""
    encoding = estimator[0]
    width = len(encoding.kept) + encoding.outputs * (len(encoding.categories) + len(encoding.texts))
    return (estimator[1:] if len(estimator) > 2 else estimator[1]), width


def _unchanged(name: str, width: int) -> ModelProto:
    """A graph that returns its rows (n, width) unchanged."""
    nodes = Nodes("kept")
    return nodes.model(name, width, nodes.node("Identity", name), width)


def _corrected(data: bytes, estimator: Calibrated) -> bytes:
    """The graph of the classifier, followed by the correction of its probabilities, in double precision."""
    model = onnx.load_model_from_string(data)
    graph, proba = model.graph, model.graph.output[-1]
    # Distinct names, because the classifier's graph has plain names, too.
    stated, raised, floor, slope, classes, total = (f"calibration_{name}" for name in CALIBRATION)
    for name, value in ((floor, FLOOR), (slope, estimator.slope), (classes, [1])):
        kind = np.int64 if name == classes else np.float64
        graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=kind), name))
    graph.node.extend(
        [
            helper.make_node("Cast", [proba.name], [stated], to=TensorProto.DOUBLE),
            helper.make_node("Max", [stated, floor], [f"{stated}_at_least"]),
            helper.make_node("Pow", [f"{stated}_at_least", slope], [raised]),
            helper.make_node("ReduceSum", [raised, classes], [total], keepdims=1),
            helper.make_node("Div", [raised, total], ["calibrated"]),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("calibrated", TensorProto.DOUBLE, [None, None]))
    return bytes(model.SerializeToString())
