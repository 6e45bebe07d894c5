"""A graph under construction: uniquely named nodes and constants, alone or before the graph of another estimator."""

from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = {"": 18, "ai.onnx.ml": 3}
IR = 9


class Nodes:
    """Collects nodes and constants; all names begin with `name`, so that no other graph has them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, values: Any, kind: Any = np.float64) -> str:
        """Add a constant; returns its name."""
        name = f"{self._name}_number_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=kind), name))
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add an operator; returns the name of its output."""
        output = output or f"{self._name}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def add(self, node: NodeProto) -> None:
        """Add a finished operator, whose names must be unique."""
        self.nodes.append(node)

    def extend(self, graph: GraphProto) -> None:
        """Add all of another graph, which must have unique names."""
        self.nodes.extend(graph.node)
        self.constants.extend(graph.initializer)

    def picked(self, source: str, places: Any) -> str:
        """Some columns of a matrix."""
        return self.node("Gather", source, self.constant(places, np.int64), axis=1)

    def model(self, source: str, width: int, answers: str, columns: int | None = None) -> ModelProto:
        """The whole graph: from `source` (n, width) to `answers` (n, columns), in double precision."""
        first = helper.make_tensor_value_info(source, TensorProto.DOUBLE, [None, width])
        last = helper.make_tensor_value_info(answers, TensorProto.DOUBLE, [None, columns])
        graph = helper.make_graph(self.nodes, self._name, [first], [last], self.constants)
        opsets = [helper.make_opsetid(*opset) for opset in OPSET.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR)

    def before(self, model: ModelProto, source: str, width: int, answers: str) -> ModelProto:
        """`model` after these nodes: the whole takes rows (n, width) as `source` in double precision.

        `answers` are the model's input.
        """
        graph, rows = model.graph, model.graph.input[0]
        self.node("Cast", answers, output=rows.name, to=rows.type.tensor_type.elem_type)
        whole = helper.make_graph(
            [*self.nodes, *graph.node],
            "model",
            [helper.make_tensor_value_info(source, TensorProto.DOUBLE, [None, width])],
            list(graph.output),
            [*self.constants, *graph.initializer],
        )
        return helper.make_model(whole, opset_imports=list(model.opset_import), ir_version=model.ir_version)
