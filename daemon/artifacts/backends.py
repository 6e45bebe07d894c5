"""The backends: they turn the bytes of a bundle into a function that answers rows.

Shared with `web`: needs numpy and ONNX Runtime only. treelite and scikit-learn are imported only for a bundle that uses
them, because ONNX does not reproduce its estimator.
"""

import importlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.artifacts import class_names
from retraind.daemon.artifacts import treelite_model as groves
from retraind.daemon.artifacts.manifest import Kind
from retraind.daemon.schema.schema import Schema

Matrix = NDArray[np.float64]

PIECEWISE = "rows_to_encode"
"""Input name of a graph that expands each row into many numbers. It gets PIECE_ROWS at a time to bound memory."""

PIECE_ROWS = 1024

MANY_ROWS = 4096
"""Rows at a time for other graphs; their intermediate results take up to 4 KB per row (500 landmarks of a kernel)."""

MOST = float(np.finfo(np.float32).max)
"""The largest number of single precision."""

# A fixed list, never the types that the file itself names: skops would otherwise load whatever the file asks for.
TRUSTED = [
    "retraind.daemon.blend.BlendClassifier",
    "retraind.daemon.blend.BlendRegressor",
    "retraind.daemon.encoding.Encoding",
    "retraind.daemon.kernel.KernelClassifier",
    "retraind.daemon.kernel.KernelRegressor",
    "retraind.daemon.model.Calibrated",
    "retraind.daemon.model.Design",
    "retraind.daemon.model.LeastSquares",
    "retraind.daemon.model.LeastSquaresClassifier",
    "retraind.daemon.model.NativeBoostingClassifier",
    "retraind.daemon.model.NativeBoostingRegressor",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


def import_runtime() -> None:
    """Import ONNX Runtime in a worker, whose next version may need it. This blocks all threads for 0.1 to 0.2 s."""
    importlib.import_module("onnxruntime")


class OnnxModel:
    """A graph in ONNX Runtime; its last output is the answer.

    `kind` is the type of its input. Errors of ONNX Runtime are passed on.
    """

    def __init__(self, graph: bytes, kind: Kind) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One thread: one-row requests gain nothing from more, and workers must not fight the trainer for cores.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._input, self._output = self._session.get_inputs()[0].name, self._session.get_outputs()[-1].name
        self._cast = _single if kind == "float32" else np.asarray
        self._bound: _Bound | None = None
        self._bound_kind, self._binding = np.dtype(kind), threading.Lock()

    def answers(self, rows: Matrix) -> Matrix:
        """(n, d) to (n, classes) probabilities or (n, 1) values."""
        most = PIECE_ROWS if self._input == PIECEWISE else MANY_ROWS
        if len(rows) <= most:
            return self._run(rows)
        return np.vstack([self._run(rows[start : start + most]) for start in range(0, len(rows), most)])

    def row(self, values: Sequence[float]) -> list[float]:
        """The same for one row, using memory bound to the session once. It takes less than half the time."""
        # Values that single precision lacks would warn, and a second thread must not write into the memory of the first.
        if not (min(values) >= -MOST and max(values) <= MOST and self._binding.acquire(blocking=False)):
            return list(self._run(np.array([values], dtype=np.float64))[0].tolist())
        try:
            if self._bound is None:
                self._bound = self._bind(len(values))
            binding, row, answers = self._bound
            row[0] = values
            self._session.run_with_iobinding(binding)
            return list(answers.ravel().tolist())
        finally:
            self._binding.release()

    def _run(self, rows: Matrix) -> Matrix:
        answers: Matrix = self._session.run([self._output], {self._input: self._cast(rows)})[0]
        return answers.astype(np.float64, copy=False).reshape(len(rows), -1)

    def _bind(self, width: int) -> "_Bound":
        row = np.zeros((1, width), dtype=self._bound_kind)
        answers = np.zeros_like(self._session.run([self._output], {self._input: row})[0])
        binding = self._session.io_binding()
        for bind, name, array in (
            (binding.bind_input, self._input, row),
            (binding.bind_output, self._output, answers),
        ):
            bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return _Bound(binding, row, answers)


class _Bound(NamedTuple):
    """ONNX Runtime's binding and its arrays: a row (1, d) as input, and its answer."""

    binding: Any
    row: NDArray[Any]
    answers: NDArray[Any]


@np.errstate(over="ignore")
def _single(rows: Matrix) -> NDArray[np.float32]:
    # Values near the largest double become infinite; the caller checks the answers.
    return rows.astype(np.float32)


def treelite_model(
    trees: bytes, kind: Kind, schema: Schema, before: bytes | None = None, after: bytes | None = None
) -> Callable[[Matrix], Matrix]:
    """Answers by treelite, between the optional graphs `before` and `after`. `kind` is the input type of the trees."""
    steps = [groves.predictor(trees, single=kind == "float32", classes=len(schema.classes))]
    if before is not None:
        steps.insert(0, OnnxModel(before, "float64").answers)
    if after is not None:
        steps.append(OnnxModel(after, "float64").answers)

    def run(rows: Matrix) -> Matrix:
        for step in steps:
            rows = step(rows)
        return rows

    return run


def skops_model(data: bytes, schema: Schema) -> Callable[[Matrix], Matrix]:
    """Answers by scikit-learn itself; passes on errors of skops, mainly for a type that is not in TRUSTED."""
    import skops.io

    estimator = skops.io.loads(class_names.imported(data), trusted=TRUSTED)

    # Values near the largest double overflow inside the model; the caller checks the answers.
    @np.errstate(all="ignore")
    def values(rows: Matrix) -> Matrix:
        return np.asarray(estimator.predict(rows), dtype=np.float64).reshape(-1, 1)

    @np.errstate(all="ignore")
    def probabilities(rows: Matrix) -> Matrix:
        # A class that had no rows yet has no column in scikit-learn's answer.
        shares = np.zeros((len(rows), len(schema.classes)))
        shares[:, estimator.classes_] = estimator.predict_proba(rows)
        return shares

    return values if schema.task == "regression" else probabilities
