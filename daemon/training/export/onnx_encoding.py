"""The encoding as ONNX nodes before the graph of an estimator: rows as `daemon.encoding` encodes them, in double precision."""

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from daemon.artifacts.backends import PIECEWISE
from daemon.schema.text_words import BITS, MASK, SLOTS

NAME = "encoded"
"""How the names of nodes and numbers begin, so that no other graph has them."""


class _Nodes:
    """Nodes and numbers as they are added."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.numbers: list[TensorProto] = []

    def number(self, values: Any, kind: Any = np.float64) -> str:
        name = f"{NAME}_number_{len(self.numbers)}"
        self.numbers.append(numpy_helper.from_array(np.asarray(values, dtype=kind), name))
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{NAME}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def picked(self, source: str, places: Any) -> str:
        return self.node("Gather", source, self.number(places, np.int64), axis=1)


def before(model: ModelProto, encoding: Any) -> bytes:
    """The model behind the encoding: it takes rows as the encoding does."""
    graph, made = model.graph, _Nodes()
    blocks = [made.picked(PIECEWISE, encoding.kept)] if encoding.kept else []
    for place, size, table in zip(encoding.categories, encoding.sizes, encoding.means_, strict=True):
        blocks.append(_category(made, place, size, table))
    for number, (table, middle) in enumerate(zip(encoding.tables_, encoding.middles_, strict=True)):
        blocks.append(_text(made, encoding, number, table, middle))
    source = graph.input[0]
    kind = source.type.tensor_type.elem_type
    made.node("Cast", made.node("Concat", *blocks, axis=1), output=source.name, to=kind)
    whole = helper.make_graph(
        [*made.nodes, *graph.node],
        "model",
        [helper.make_tensor_value_info(PIECEWISE, TensorProto.DOUBLE, [None, encoding.n_features_in_])],
        list(graph.output),
        [*made.numbers, *graph.initializer],
    )
    imports = list(model.opset_import)
    return bytes(helper.make_model(whole, opset_imports=imports, ir_version=model.ir_version).SerializeToString())


def _category(made: _Nodes, place: int, size: int, table: Any) -> str:
    """The row of the table for the code of a category, (n, outputs)."""
    codes = made.node("Cast", made.picked(PIECEWISE, place), to=TensorProto.INT64)
    bounded = made.node("Min", made.node("Max", codes, made.number(-1, np.int64)), made.number(size - 1, np.int64))
    row = made.node("Add", bounded, made.number(1, np.int64))
    return made.node("Gather", made.number(table), row, axis=0)


def _text(made: _Nodes, encoding: Any, number: int, table: Any, middle: Any) -> str:
    """What the words of a text sum up to, (n, outputs)."""
    first = encoding.columns + SLOTS * number
    packed = made.node("Cast", made.picked(PIECEWISE, range(first, first + SLOTS)), to=TensorProto.INT64)
    shifted = [packed] + [made.node("Div", packed, made.number(1 << bits, np.int64)) for bits in (BITS, 2 * BITS)]
    words = made.node("Concat", *shifted, axis=1)
    inside = made.node("Mod", words, made.number(min(MASK + 1, encoding.buckets), np.int64))
    sums = made.node("Gather", made.number(table, np.float32), inside, axis=0)
    summed = made.node(
        "ReduceSum", made.node("Cast", sums, to=TensorProto.DOUBLE), made.number([1], np.int64), keepdims=0
    )
    outputs = encoding.outputs
    length = made.node("Sqrt", made.node("Max", made.picked(summed, [outputs]), made.number(1e-12)))
    said = made.node("Div", made.picked(summed, range(outputs)), length)
    return made.node("Add", said, made.number(middle))
