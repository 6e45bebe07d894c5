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
from daemon.kernel import KernelClassifier, KernelRegressor
from daemon.model import FLOOR, LEAST, Calibrated, Design, LeastSquares, LeastSquaresClassifier
from daemon.training.export import onnx_encoding, onnx_trees

OPSET = {"": 18, "ai.onnx.ml": 3}
CLASSIFIER_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
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


class _Nodes:
    """What a converter adds to the graph that skl2onnx builds: constants and operators, each under a name of its own."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def constant(self, name: str, values: Any, kind: int = TensorProto.DOUBLE) -> str:
        """An array of numbers."""
        unique, array = self._scope.get_unique_variable_name(name), np.asarray(values)
        self._container.add_initializer(unique, kind, list(array.shape), array.ravel().tolist())
        return str(unique)

    def add(self, operator: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """An operator; returns the name of its output."""
        unique = output or self._scope.get_unique_variable_name(operator.lower())
        name = self._scope.get_unique_operator_name(operator)
        self._container.add_node(operator, inputs, unique, name=name, **attributes)
        return str(unique)

    def columns(self, name: str, places: Any) -> str:
        """Places of columns."""
        return self.constant(name, places, TensorProto.INT64)


def _design_shape(operator: Any) -> None:
    fitted = operator.raw_operator
    width = len(fitted._numbers()) + sum(fitted._sizes(fitted.n_features_in_))
    operator.outputs[0].type = DoubleTensorType([None, width])


def _design_graph(scope: Any, operator: Any, container: Any) -> None:
    fitted, nodes = operator.raw_operator, _Nodes(scope, container)
    rows = operator.inputs[0].full_name
    blocks = []
    if fitted._numbers():
        picked = nodes.add("Gather", [rows, nodes.columns("numbers", fitted._numbers())], axis=1)
        mean = nodes.constant("mean", fitted.mean_)
        filled = nodes.add("Where", [nodes.add("IsNaN", [picked]), mean, picked])
        centred = nodes.add("Sub", [filled, nodes.constant("centre", fitted.mean_)])
        blocks.append(nodes.add("Div", [centred, nodes.constant("scale", fitted.scale_)]))
    for index, size in enumerate(fitted._sizes(fitted.n_features_in_)):
        if size:
            picked = nodes.add("Gather", [rows, nodes.columns("column", [index])], axis=1)
            hot = nodes.add("Equal", [picked, nodes.constant("codes", np.arange(size, dtype=float))])
            blocks.append(nodes.add("Cast", [hot], to=TensorProto.DOUBLE))
    nodes.add("Concat", blocks, operator.outputs[0].full_name, axis=1)


def _values_shape(operator: Any) -> None:
    operator.outputs[0].type = DoubleTensorType([None, 1])


def _classes_shape(operator: Any) -> None:
    operator.outputs[0].type = Int64TensorType([None])
    operator.outputs[1].type = DoubleTensorType([None, len(operator.raw_operator.classes_)])


def _least_squares_graph(scope: Any, operator: Any, container: Any) -> None:
    fitted, nodes = operator.raw_operator, _Nodes(scope, container)
    label, proba = (output.full_name for output in operator.outputs)
    product = nodes.add("MatMul", [operator.inputs[0].full_name, nodes.constant("coef", fitted.coef_.T)])
    summed = nodes.add("Add", [product, nodes.constant("intercept", fitted.intercept_)])
    clipped = nodes.add("Clip", [summed, nodes.constant("low", LEAST), nodes.constant("high", 1.0)])
    total = nodes.add("ReduceSum", [clipped, nodes.columns("axes", [1])], keepdims=1)
    nodes.add("Div", [clipped, total], proba)
    nodes.add("ArgMax", [proba], label, axis=1, keepdims=0)


def _kernel_graph(scope: Any, operator: Any, container: Any) -> None:
    fitted, nodes = operator.raw_operator, _Nodes(scope, container)
    rows, last = operator.inputs[0].full_name, operator.outputs[-1].full_name
    there = (fitted.landmarks_**2).sum(axis=1)
    here = nodes.add("ReduceSum", [nodes.add("Mul", [rows, rows]), nodes.columns("axes", [1])], keepdims=1)
    both = nodes.add("Add", [here, nodes.constant("landmarks_squared", there.reshape(1, -1))])
    product = nodes.add("MatMul", [rows, nodes.constant("landmarks", 2.0 * fitted.landmarks_.T)])
    distance = nodes.add("Max", [nodes.add("Sub", [both, product]), nodes.constant("nought", 0.0)])
    near = nodes.add("Exp", [nodes.add("Mul", [distance, nodes.constant("gamma", -fitted.gamma_)])])
    weighed = nodes.add("MatMul", [near, nodes.constant("weights", fitted.weights_)])
    intercept = nodes.constant("intercept", fitted.intercept_.reshape(1, -1))
    if isinstance(fitted, KernelRegressor):
        nodes.add("Add", [weighed, intercept], last)
        return
    sums = nodes.add("Add", [weighed, intercept])
    if len(fitted.classes_) == 2:
        sums = nodes.add("Concat", [nodes.add("Sub", [sums, sums]), sums], axis=1)
    nodes.add("Softmax", [sums], last, axis=1)
    nodes.add("ArgMax", [last], operator.outputs[0].full_name, axis=1, keepdims=0)


update_registered_converter(Design, "RetraindDesign", _design_shape, _design_graph)
update_registered_converter(
    LeastSquares, "RetraindLinear", calculate_linear_regressor_output_shapes, convert_sklearn_linear_regressor
)
update_registered_converter(
    LeastSquaresClassifier,
    "RetraindLeastSquares",
    _classes_shape,
    _least_squares_graph,
    options=CLASSIFIER_OPTIONS,
)
update_registered_converter(KernelRegressor, "RetraindKernelRegressor", _values_shape, _kernel_graph)
update_registered_converter(
    KernelClassifier, "RetraindKernelClassifier", _classes_shape, _kernel_graph, options=CLASSIFIER_OPTIONS
)
