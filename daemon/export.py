"""Export: a fitted estimator to the files of a bundle, ONNX if it reproduces scikit-learn, else scikit-learn itself.

Level 3, the only module that knows skl2onnx. The graph takes one matrix in schema order; its last output is what is
served: (n, classes) probabilities, or (n, 1) values.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import orjson
import skops.io
import structlog
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline

from daemon import bundle, durable, trees
from daemon.errors import NotServable
from daemon.model import FLOOR, Calibrated, Design, LeastSquaresClassifier, answers
from daemon.schema import UNKNOWN, Schema

log = structlog.get_logger()

Matrix = NDArray[np.float64]
Kind = Literal["float32", "float64"]
OPSET = {"": 18, "ai.onnx.ml": 3}
PROBE_ROWS = 64
PIECE_ROWS = 16_384
CALIBRATION = ("told", "raised", "floor", "slope", "classes", "total")


def write(estimator: Any, rows: Matrix, schema: Schema, folder: Path) -> dict[str, Any]:
    """Write the model and its probe into `folder`; returns the manifest's backend, input, difference and files.

    Raises NotServable for an estimator that neither ONNX reproduces nor a bundle may load.

    `rows` (n, d) are real rows: parity with scikit-learn is required on all of them, the first ones become the probe. For
    values, parity is a share of their range, so it does not depend on the target's unit.
    """
    first = np.vstack([_gaps(rows, schema), rows[:PROBE_ROWS]])
    wanted = np.vstack([answers(estimator, part, schema) for part in _parts(first, rows)])
    scale = _scale(wanted) if schema.task == "regression" else 1.0
    exported = _export(estimator, first, rows, wanted, scale, schema)
    if exported is None:
        name, facts = bundle.SKOPS, {"backend": "sklearn", "input": "float64", "difference": 0.0}
        (folder / name).write_bytes(_trusted(estimator))
    else:
        data, kind, difference = exported
        name, facts = bundle.ONNX, {"backend": "onnx", "input": kind, "difference": difference}
        (folder / name).write_bytes(data)
    probe = {"rows": _without_nan(first), bundle.answered(schema): wanted[: len(first)], "scale": scale}
    (folder / bundle.PROBE).write_bytes(orjson.dumps(probe, option=orjson.OPT_SERIALIZE_NUMPY))
    files = {name: durable.sha256_file(folder / name), bundle.PROBE: durable.sha256_file(folder / bundle.PROBE)}
    return {**facts, "files": files}


def _parts(first: Matrix, rows: Matrix) -> Iterator[Matrix]:
    """All rows in pieces: answering is done in copies of them, which need not be as large as a revision."""
    yield first
    yield from (rows[start : start + PIECE_ROWS] for start in range(0, len(rows), PIECE_ROWS))


def _trusted(estimator: Any) -> bytes:
    """The estimator as skops writes it; raises NotServable if it holds what no bundle may load."""
    unknown = strange(estimator)
    if unknown:
        raise NotServable(f"ONNX does not reproduce it, and no bundle may load {', '.join(unknown)[:200]}.")
    return bytes(skops.io.dumps(estimator))


def strange(estimator: Any) -> list[str]:
    """The types in an estimator that neither skops nor `bundle.TRUSTED` trusts; raises NotServable if it can't be written."""
    try:
        data = skops.io.dumps(estimator)
    except Exception as error:
        raise NotServable(f"skops can't write it: {type(error).__name__}: {error}") from error
    return sorted(set(skops.io.get_untrusted_types(data=data)) - set(bundle.TRUSTED))


def _gaps(rows: Matrix, schema: Schema) -> Matrix:
    """Copies of real rows with each value that may be missing or unlisted taken away, even if no row lacks it yet."""
    gaps = [rows[:0]]
    for index, column in enumerate(schema.columns):
        if column.missing or column.kind == "category":
            copies = rows[:8].copy()
            copies[:, index] = UNKNOWN if column.kind == "category" else np.nan
            gaps.append(copies)
    return np.vstack(gaps)


def _without_nan(rows: Matrix) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in rows.tolist()]


def _scale(values: Matrix) -> float:
    """What a difference of values is measured by: their range; where they are all equal, their size."""
    return float(np.ptp(values)) or float(np.abs(values).max()) or 1.0


def _export(
    estimator: Any, first: Matrix, rows: Matrix, wanted: Matrix, scale: float, schema: Schema
) -> tuple[bytes, str, float] | None:
    """ONNX bytes, input type and largest difference; None when the graph does not reproduce the estimator."""
    if schema.classes and list(estimator.classes_) != list(range(len(schema.classes))):
        return None  # a class without rows: the graph would give fewer columns than the schema has classes
    try:
        graph, kind = _convert(estimator, rows.shape[1])
        run = bundle.onnx_model(graph, kind)
        got = np.vstack([run(part) for part in _parts(first, rows)])
    except Exception as error:  # noqa: BLE001 - skl2onnx and ONNX Runtime raise a score of types: not in ONNX
        log.warning("onnx_refused", estimator=type(estimator).__name__, error=str(error)[:200])
        return None
    difference = float(np.abs(got - wanted).max()) / scale
    same = bool((got.argmax(axis=1) == wanted.argmax(axis=1)).all())
    return (graph, kind, difference) if same and difference <= bundle.PARITY else None


def _convert(estimator: Any, width: int) -> tuple[bytes, Kind]:
    """The graph and the type of its input; raises what skl2onnx raises."""
    if isinstance(estimator, Calibrated):
        data, kind = _convert(estimator.estimator, width)
        return _corrected(data, estimator), kind
    grown = trees.graph(estimator)
    if grown is not None:
        kind = grown.graph.input[0].type.tensor_type.elem_type
        return grown.SerializeToString(), "float64" if kind == TensorProto.DOUBLE else "float32"
    double = isinstance(estimator, Pipeline)
    types = [("rows", (DoubleTensorType if double else FloatTensorType)([None, width]))]
    options = None if is_regressor(estimator) else {"zipmap": False}
    converted = to_onnx(estimator, initial_types=types, options=options, target_opset=OPSET)
    return converted.SerializeToString(), "float64" if double else "float32"


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
    LeastSquaresClassifier,
    "RetraindLeastSquares",
    _least_squares_shape,
    _least_squares_graph,
    options={"zipmap": [True, False, "columns"], "nocl": [True, False]},
)
