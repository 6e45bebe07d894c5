"""The beginning of an exported graph: an input for each column, and the encoding of the columns as the model's rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from retraind.daemon.schema.column import DAY, UNKNOWN, Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.text_words import SLOTS
from retraind.daemon.training.export.onnx_nodes import Nodes

LABELS = "ai.onnx.ml"


def of(column: Column) -> ValueInfoProto:
    """The input of a column: (n, 1), for a text (n, 1 + SLOTS) with its words as numbers."""
    return helper.make_tensor_value_info(
        column.name, tensor_type(column), [None, 1 + SLOTS if column.kind == "text" else 1]
    )


def tensor_type(column: Column) -> int:
    """Texts for a category; doubles wherever NaN must say that a value is missing."""
    if column.kind == "category":
        return int(TensorProto.STRING)
    if column.missing or column.kind not in ("integer", "boolean"):
        return int(TensorProto.DOUBLE)
    return int(TensorProto.INT64 if column.kind == "integer" else TensorProto.BOOL)


def encoded(nodes: Nodes, schema: Schema) -> str:
    """Add the encoding of all columns; returns the name of the rows, (n, width) in double precision."""
    parts = [_encoded(nodes, column) for column in schema.columns]
    words = [nodes.picked(schema.columns[place].name, range(1, 1 + SLOTS)) for place in schema.texts]
    return nodes.node("Concat", *parts, *words, axis=1)


def _encoded(nodes: Nodes, column: Column) -> str:
    """The number of a column, (n, 1)."""
    if column.kind == "text":
        return nodes.picked(column.name, [0])
    if column.kind == "date":
        return nodes.node("Div", column.name, nodes.constant(DAY))
    name = _code(nodes, column) if column.kind == "category" else column.name
    return nodes.node("Cast", name, to=TensorProto.DOUBLE)


def _code(nodes: Nodes, column: Column) -> str:
    names = column.categories or [""]
    codes = list(range(len(column.categories))) or [int(UNKNOWN)]
    return nodes.node(
        "LabelEncoder",
        column.name,
        domain=LABELS,
        keys_strings=names,
        values_int64s=codes,
        default_int64=int(UNKNOWN),
    )


def label(nodes: Nodes, codes: str, classes: Sequence[str], output: str) -> None:
    """Add the names of classes for their codes (n,)."""
    numbers: Any = list(range(len(classes)))
    nodes.node(
        "LabelEncoder",
        codes,
        output=output,
        domain=LABELS,
        keys_int64s=numbers,
        values_strings=list(classes),
        default_string="",
    )


def decided(nodes: Nodes, shares: str, matrix: Any, tie: float) -> str:
    """Add the class of each row (n,): the likeliest, or with costs (classes, classes) the one with the lowest expected cost."""
    if matrix is None:
        return nodes.node("ArgMax", shares, axis=1, keepdims=0)
    expected = nodes.node("MatMul", shares, nodes.constant(matrix))
    least = nodes.node("ReduceMin", expected, nodes.constant([1], np.int64), keepdims=1)
    bound = nodes.node("Mul", least, nodes.constant(1 + tie))
    cheap = nodes.node("Cast", nodes.node("LessOrEqual", expected, bound), to=TensorProto.INT64)
    return nodes.node("ArgMax", cheap, axis=1, keepdims=0)
