"""The encoding as ONNX nodes before an estimator's graph: encodes rows like `retraind.daemon.encoding`, in double precision."""

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto

from retraind.daemon.artifacts.backends import PIECEWISE
from retraind.daemon.schema.text_words import BITS, MASK, SLOTS
from retraind.daemon.training.export.onnx_nodes import Nodes

NAME = "encoded"
"""Prefix of the names of nodes and constants, so that no other graph has them."""


def before(model: ModelProto, encoding: Any) -> bytes:
    """The model with the encoding before it; it takes the encoding's input rows."""
    made = Nodes(NAME)
    blocks = [made.picked(PIECEWISE, encoding.kept)] if encoding.kept else []
    for place, size, table in zip(encoding.categories, encoding.sizes, encoding.means_, strict=True):
        blocks.append(_category(made, place, size, table))
    for number, (table, middle) in enumerate(zip(encoding.tables_, encoding.middles_, strict=True)):
        blocks.append(_text(made, encoding, number, table, middle))
    answers = made.node("Concat", *blocks, axis=1)
    return bytes(made.before(model, PIECEWISE, encoding.n_features_in_, answers).SerializeToString())


def _category(made: Nodes, place: int, size: int, table: Any) -> str:
    """The row of the table for the code of a category, (n, outputs)."""
    codes = made.node("Cast", made.picked(PIECEWISE, place), to=TensorProto.INT64)
    bounded = made.node("Min", made.node("Max", codes, made.constant(-1, np.int64)), made.constant(size - 1, np.int64))
    row = made.node("Add", bounded, made.constant(1, np.int64))
    return made.node("Gather", made.constant(table), row, axis=0)


def _text(made: Nodes, encoding: Any, number: int, table: Any, middle: Any) -> str:
    """The sum over the words of a text, (n, outputs)."""
    first = encoding.columns + SLOTS * number
    packed = made.node("Cast", made.picked(PIECEWISE, range(first, first + SLOTS)), to=TensorProto.INT64)
    shifted = [packed] + [made.node("Div", packed, made.constant(1 << bits, np.int64)) for bits in (BITS, 2 * BITS)]
    words = made.node("Concat", *shifted, axis=1)
    inside = made.node("Mod", words, made.constant(min(MASK + 1, encoding.buckets), np.int64))
    sums = made.node("Gather", made.constant(table, np.float32), inside, axis=0)
    summed = made.node(
        "ReduceSum", made.node("Cast", sums, to=TensorProto.DOUBLE), made.constant([1], np.int64), keepdims=0
    )
    outputs = encoding.outputs
    length = made.node("Sqrt", made.node("Max", made.picked(summed, [outputs]), made.constant(1e-12)))
    said = made.node("Div", made.picked(summed, range(outputs)), length)
    return made.node("Add", said, made.constant(middle))
