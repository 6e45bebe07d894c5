"""The backends: bytes of a bundle to the function that answers rows.

Shared with `web`: needs numpy and ONNX Runtime only. treelite and scikit-learn are imported solely for a bundle
whose backend they are, because ONNX does not reproduce the estimator.
"""

import importlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from daemon.artifacts import treelite_model as groves
from daemon.artifacts.manifest import Kind
from daemon.schema.schema import Schema

Matrix = NDArray[np.float64]

PIECEWISE = "rows_to_encode"
"""The input of a graph that makes many numbers of a row: it is given PIECE_ROWS at a time, so that memory is bounded."""

PIECE_ROWS = 1024

# A fixed list, never the one that the file names itself: skops would otherwise load whatever the file asks for.
TRUSTED = [
    "daemon.encoding.Encoding",
    "daemon.kernel.KernelClassifier",
    "daemon.kernel.KernelRegressor",
    "daemon.model.Calibrated",
    "daemon.model.Design",
    "daemon.model.LeastSquares",
    "daemon.model.LeastSquaresClassifier",
    "daemon.model.NativeBoostingClassifier",
    "daemon.model.NativeBoostingRegressor",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


def import_runtime() -> None:
    """Import ONNX Runtime, which holds up all threads for 0.1 to 0.2 s; for workers, whose next version may need it."""
    importlib.import_module("onnxruntime")


def onnx_model(graph: bytes, kind: Kind) -> Callable[[Matrix], Matrix]:
    """Answers by ONNX Runtime: the graph's last output. `kind` is the type of its input. Raises what ONNX Runtime raises."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread: one-row requests gain nothing from more, and workers must not fight the trainer for cores.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[-1].name
    cast = _single if kind == "float32" else np.asarray

    def run(rows: Matrix) -> Matrix:
        answers: Matrix = session.run([output], {name: cast(rows)})[0]
        return answers.astype(np.float64, copy=False).reshape(len(rows), -1)

    def run_pieces(rows: Matrix) -> Matrix:
        if len(rows) <= PIECE_ROWS:
            return run(rows)
        return np.vstack([run(rows[start : start + PIECE_ROWS]) for start in range(0, len(rows), PIECE_ROWS)])

    return run_pieces if name == PIECEWISE else run


@np.errstate(over="ignore")
def _single(rows: Matrix) -> NDArray[np.float32]:
    # Values near the largest double become infinite; whoever asks looks at the answers.
    return rows.astype(np.float32)


def treelite_model(
    trees: bytes, kind: Kind, schema: Schema, before: bytes | None = None, after: bytes | None = None
) -> Callable[[Matrix], Matrix]:
    """Answers by treelite, between the graphs `before` and `after` where there are any. `kind` is what the trees look at."""
    steps = [groves.predictor(trees, single=kind == "float32", classes=len(schema.classes))]
    if before is not None:
        steps.insert(0, onnx_model(before, "float64"))
    if after is not None:
        steps.append(onnx_model(after, "float64"))

    def run(rows: Matrix) -> Matrix:
        for step in steps:
            rows = step(rows)
        return rows

    return run


def skops_model(data: bytes, schema: Schema) -> Callable[[Matrix], Matrix]:
    """Answers by scikit-learn itself; raises what skops raises, above all for a type that is not in TRUSTED."""
    import skops.io

    estimator = skops.io.loads(data, trusted=TRUSTED)

    # Values near the largest double overflow inside the model; whoever asks looks at the answers.
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
