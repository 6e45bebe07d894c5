"""ONNX graphs in double precision of the design matrix, and of the linear and kernel models after it.

skl2onnx also has linear models, but its import loads nearly all of scikit-learn, at each start of the trainer.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline

from retraind.daemon.kernel import KernelClassifier, KernelRegressor
from retraind.daemon.model import LEAST, Design, LeastSquares, LeastSquaresClassifier
from retraind.daemon.training.export.onnx_nodes import Nodes

ROWS = "rows"
"""Name of these graphs' input."""

NAME = "linear"


def graph(estimator: Any) -> ModelProto | None:
    """The graph of Design and a fitted linear model: (n, d) to (n, 1) or (n, classes); None for another estimator."""
    if not (isinstance(estimator, Pipeline) and len(estimator) == 2 and type(estimator[0]) is Design):
        return None
    design, linear = estimator
    answer = ANSWERS.get(type(linear))
    if answer is None:
        return None
    nodes = Nodes(NAME)
    answers = answer(nodes, _matrix(nodes, design), linear)
    columns = len(linear.classes_) if hasattr(linear, "classes_") else 1
    return nodes.model(ROWS, design.n_features_in_, answers, columns)


def design(fitted: Design) -> ModelProto:
    """The graph of the design matrix alone, (n, d) to (n, numbers + codes)."""
    nodes = Nodes(NAME)
    return nodes.model(ROWS, fitted.n_features_in_, _matrix(nodes, fitted))


def behind_design(fitted: Design, model: ModelProto) -> ModelProto:
    """The graph of the design matrix followed by an estimator."""
    nodes = Nodes(NAME)
    source = f"{NAME}_{ROWS}"  # the graph's own input keeps its name
    return nodes.before(model, source, fitted.n_features_in_, _matrix(nodes, fitted, source))


def _matrix(nodes: Nodes, fitted: Design, rows: str = ROWS) -> str:
    """The design matrix of `rows`: standardised numbers first, then a column for each code of each category."""
    sizes, numbers, blocks = fitted._sizes(fitted.n_features_in_), fitted._numbers(), []
    if numbers:
        picked = rows if len(numbers) == len(sizes) else nodes.picked(rows, numbers)
        mean = nodes.constant(fitted.mean_)
        filled = nodes.node("Where", nodes.node("IsNaN", picked), mean, picked)
        blocks.append(nodes.node("Div", nodes.node("Sub", filled, mean), nodes.constant(fitted.scale_)))
    if any(sizes):
        codes = np.concatenate([np.arange(size) for size in sizes])
        picked = nodes.picked(rows, np.repeat(np.arange(len(sizes)), sizes))
        blocks.append(nodes.node("Cast", nodes.node("Equal", picked, nodes.constant(codes)), to=TensorProto.DOUBLE))
    return blocks[0] if len(blocks) == 1 else nodes.node("Concat", *blocks, axis=1)


def _scores(nodes: Nodes, matrix: str, linear: Any) -> str:
    """The product of the design matrix with the coefficients (outputs, d)."""
    coefficients = np.atleast_2d(linear.coef_)
    intercepts = np.broadcast_to(linear.intercept_, len(coefficients))
    return nodes.node("Gemm", matrix, nodes.constant(coefficients), nodes.constant(intercepts), transB=1)


def _logistic(nodes: Nodes, matrix: str, linear: LogisticRegression) -> str:
    scores = _scores(nodes, matrix, linear)
    if len(linear.classes_) > 2:
        return nodes.node("Softmax", scores, axis=1)
    second = nodes.node("Sigmoid", scores)
    return nodes.node("Concat", nodes.node("Sub", nodes.constant([[1.0]]), second), second, axis=1)


def _shares(nodes: Nodes, matrix: str, linear: LeastSquaresClassifier) -> str:
    clipped = nodes.node("Clip", _scores(nodes, matrix, linear), nodes.constant(LEAST), nodes.constant(1.0))
    return nodes.node("Div", clipped, nodes.node("ReduceSum", clipped, nodes.constant([1], np.int64), keepdims=1))


def _near(nodes: Nodes, matrix: str, kernel: Any) -> str:
    """The product of the rows' nearness to each landmark with the weights (landmarks, outputs)."""
    squares = nodes.node("ReduceSum", nodes.node("Mul", matrix, matrix), nodes.constant([1], np.int64), keepdims=1)
    both = nodes.node("Add", squares, nodes.constant((kernel.landmarks_**2).sum(axis=1).reshape(1, -1)))
    product = nodes.node("MatMul", matrix, nodes.constant(2.0 * kernel.landmarks_.T))
    distance = nodes.node("Max", nodes.node("Sub", both, product), nodes.constant(0.0))
    near = nodes.node("Exp", nodes.node("Mul", distance, nodes.constant(-kernel.gamma_)))
    weighed = nodes.node("MatMul", near, nodes.constant(kernel.weights_))
    return nodes.node("Add", weighed, nodes.constant(kernel.intercept_.reshape(1, -1)))


def _kernel_shares(nodes: Nodes, matrix: str, kernel: KernelClassifier) -> str:
    sums = _near(nodes, matrix, kernel)
    if len(kernel.classes_) == 2:
        sums = nodes.node("Concat", nodes.node("Sub", sums, sums), sums, axis=1)
    return nodes.node("Softmax", sums, axis=1)


ANSWERS: dict[type, Callable[[Nodes, str, Any], str]] = {
    LeastSquares: _scores,
    LinearRegression: _scores,
    Ridge: _scores,
    LogisticRegression: _logistic,
    LeastSquaresClassifier: _shares,
    KernelRegressor: _near,
    KernelClassifier: _kernel_shares,
}
"""The supported estimators after the design matrix. Their subclasses may answer differently, so they don't count."""
