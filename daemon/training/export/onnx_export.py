"""The export to ONNX: a fitted estimator as a graph, by skl2onnx, or by hand if skl2onnx is not exact or does not support it.

The only module that knows skl2onnx. A graph takes one matrix in schema order; its last output is what is served:
(n, classes) probabilities, or (n, 1) values.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType
from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes
from skl2onnx.operator_converters.linear_regressor import convert_sklearn_linear_regressor
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline

from daemon.artifacts.manifest import Kind
from daemon.encoding import Encoding
from daemon.model import FLOOR, Calibrated, Design, LeastSquares, LeastSquaresClassifier
from daemon.training.export import onnx_encoding, onnx_trees

OPSET = {"": 18, "ai.onnx.ml": 3}
CALIBRATION = ("told", "raised", "floor", "slope", "classes", "total")


def convert(estimator: Any, width: int) -> tuple[bytes, Kind]:
    """The graph and the type of its input; raises what skl2onnx raises."""
    if isinstance(estimator, Calibrated):
        data, kind = convert(estimator.estimator, width)
        return _corrected(data, estimator), kind
    if isinstance(estimator, Pipeline) and isinstance(estimator[0], Encoding):
        model = onnx.load_model_from_string(convert(*_behind(estimator))[0])
        return onnx_encoding.before(model, estimator[0]), "float64"
    grown = onnx_trees.graph(estimator)
    if grown is not None:
        kind = grown.graph.input[0].type.tensor_type.elem_type
        return grown.SerializeToString(), "float64" if kind == TensorProto.DOUBLE else "float32"
    double = isinstance(estimator, Pipeline)
    types = [("rows", (DoubleTensorType if double else FloatTensorType)([None, width]))]
    options = None if is_regressor(estimator) else {"zipmap": False}
    converted = to_onnx(estimator, initial_types=types, options=options, target_opset=OPSET)
    return converted.SerializeToString(), "float64" if double else "float32"


def around(estimator: Any, width: int) -> tuple[Any, dict[str, bytes]]:
    """The ensemble within an estimator, and as graphs of float64 what goes `before` and `after` it, if anything does."""
    steps: dict[str, bytes] = {}
    if isinstance(estimator, Calibrated):
        model = _unchanged("told", len(estimator.classes_))
        steps["after"] = _corrected(model.SerializeToString(), estimator)
        estimator = estimator.estimator
    encoding = estimator[0] if isinstance(estimator, Pipeline) and isinstance(estimator[0], Encoding) else None
    if encoding is not None:
        estimator, width = _behind(estimator)
    if isinstance(estimator, Pipeline) and len(estimator) == 2 and isinstance(estimator[0], Design):
        types = [("rows", DoubleTensorType([None, width]))]
        steps["before"] = to_onnx(estimator[0], initial_types=types, target_opset=OPSET).SerializeToString()
        estimator = estimator[1]
    if encoding is not None:
        model = onnx.load_model_from_string(steps["before"]) if "before" in steps else _unchanged("rows", width)
        steps["before"] = onnx_encoding.before(model, encoding)
    return estimator, steps


def _behind(estimator: Pipeline) -> tuple[Any, int]:
    """What stands behind the encoding of a pipeline, and the width of its rows."""
    encoding = estimator[0]
    width = len(encoding.kept) + encoding.outputs * (len(encoding.categories) + len(encoding.texts))
    return (estimator[1:] if len(estimator) > 2 else estimator[1]), width


def _unchanged(name: str, width: int) -> onnx.ModelProto:
    """A graph that gives its rows (n, width) as they are."""
    first = helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, width])
    last = helper.make_tensor_value_info("kept", TensorProto.DOUBLE, [None, width])
    graph = helper.make_graph([helper.make_node("Identity", [name], ["kept"])], "rows", [first], [last])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET[""])], ir_version=onnx_trees.IR)


def _corrected(data: bytes, estimator: Calibrated) -> bytes:
    """The graph of the classifier with the correction of its probabilities behind it, in double precision."""
    model = onnx.load_model_from_string(data)
    graph, proba = model.graph, model.graph.output[-1]
    # Names of their own: the classifier's graph has some that are as plain as these.
    told, raised, floor, slope, classes, total = (f"calibration_{name}" for name in CALIBRATION)
    for name, value in ((floor, FLOOR), (slope, estimator.slope), (classes, [1])):
        kind = np.int64 if name == classes else np.float64
        graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=kind), name))
    graph.node.extend(
        [
            helper.make_node("Cast", [proba.name], [told], to=TensorProto.DOUBLE),
            helper.make_node("Max", [told, floor], [f"{told}_at_least"]),
            helper.make_node("Pow", [f"{told}_at_least", slope], [raised]),
            helper.make_node("ReduceSum", [raised, classes], [total], keepdims=1),
            helper.make_node("Div", [raised, total], ["calibrated"]),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("calibrated", TensorProto.DOUBLE, [None, None]))
    return bytes(model.SerializeToString())


def _design_shape(operator: Any) -> None:
    fitted = operator.raw_operator
    width = len(fitted._numbers()) + sum(fitted._sizes(fitted.n_features_in_))
    operator.outputs[0].type = DoubleTensorType([None, width])


def _design_graph(scope: Any, operator: Any, container: Any) -> None:
    fitted = operator.raw_operator
    rows, output = operator.inputs[0].full_name, operator.outputs[0].full_name

    def constant(name: str, kind: int, values: Any) -> str:
        unique = scope.get_unique_variable_name(name)
        array = np.asarray(values)
        container.add_initializer(unique, kind, list(array.shape), array.ravel().tolist())
        return str(unique)

    def node(op: str, inputs: list[str], **attributes: Any) -> str:
        unique = scope.get_unique_variable_name(op.lower())
        container.add_node(op, inputs, unique, name=scope.get_unique_operator_name(op), **attributes)
        return str(unique)

    blocks = []
    if fitted._numbers():
        picked = node("Gather", [rows, constant("numbers", TensorProto.INT64, fitted._numbers())], axis=1)
        filled = node("Where", [node("IsNaN", [picked]), constant("mean", TensorProto.DOUBLE, fitted.mean_), picked])
        centred = node("Sub", [filled, constant("centre", TensorProto.DOUBLE, fitted.mean_)])
        blocks.append(node("Div", [centred, constant("scale", TensorProto.DOUBLE, fitted.scale_)]))
    for index, size in enumerate(fitted._sizes(fitted.n_features_in_)):
        if size:
            picked = node("Gather", [rows, constant("column", TensorProto.INT64, [index])], axis=1)
            hot = node("Equal", [picked, constant("codes", TensorProto.DOUBLE, np.arange(size, dtype=float))])
            blocks.append(node("Cast", [hot], to=TensorProto.DOUBLE))
    container.add_node("Concat", blocks, output, name=scope.get_unique_operator_name("Concat"), axis=1)


def _least_squares_shape(operator: Any) -> None:
    operator.outputs[0].type = Int64TensorType([None])
    operator.outputs[1].type = DoubleTensorType([None, len(operator.raw_operator.classes_)])


def _least_squares_graph(scope: Any, operator: Any, container: Any) -> None:
    fitted = operator.raw_operator
    label, proba = (output.full_name for output in operator.outputs)

    def constant(name: str, values: Any) -> str:
        unique = scope.get_unique_variable_name(name)
        array = np.asarray(values, dtype=np.float64)
        container.add_initializer(unique, TensorProto.DOUBLE, list(array.shape), array.ravel().tolist())
        return str(unique)

    def node(op: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        unique = output or scope.get_unique_variable_name(op.lower())
        container.add_node(op, inputs, unique, name=scope.get_unique_operator_name(op), **attributes)
        return str(unique)

    product = node("MatMul", [operator.inputs[0].full_name, constant("coef", fitted.coef_.T)])
    summed = node("Add", [product, constant("intercept", fitted.intercept_)])
    clipped = node("Clip", [summed, constant("low", 1e-6), constant("high", 1.0)])
    axes = scope.get_unique_variable_name("axes")
    container.add_initializer(axes, TensorProto.INT64, [1], [1])
    total = node("ReduceSum", [clipped, axes], keepdims=1)
    node("Div", [clipped, total], proba)
    node("ArgMax", [proba], label, axis=1, keepdims=0)


update_registered_converter(Design, "RetraindDesign", _design_shape, _design_graph)
update_registered_converter(
    LeastSquares, "RetraindLinear", calculate_linear_regressor_output_shapes, convert_sklearn_linear_regressor
)
update_registered_converter(
    LeastSquaresClassifier,
    "RetraindLeastSquares",
    _least_squares_shape,
    _least_squares_graph,
    options={"zipmap": [True, False, "columns"], "nocl": [True, False]},
)
