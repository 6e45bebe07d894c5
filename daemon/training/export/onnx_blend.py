"""A blend as one ONNX graph: the graphs of its members side by side on the same rows, and the weighted mean of their answers."""

from collections.abc import Sequence

from onnx import ModelProto, TensorProto, compose, helper

from retraind.daemon.artifacts.backends import PIECEWISE
from retraind.daemon.training.export.onnx_nodes import IR, OPSET, Nodes

ROWS = "rows"


def graph(members: Sequence[ModelProto], shares: Sequence[float], width: int) -> ModelProto:
    """The graph of the members' graphs, weighted by their shares: rows (n, width) in double precision to (n, answers)."""
    rows = PIECEWISE if any(each.graph.input[0].name == PIECEWISE for each in members) else ROWS
    nodes, parts = Nodes("blend"), []
    for number, (member, share) in enumerate(zip(members, shares, strict=True)):
        part = compose.add_prefix(member, f"member_{number}_")
        source = part.graph.input[0]
        nodes.node("Cast", rows, output=source.name, to=source.type.tensor_type.elem_type)
        nodes.extend(part.graph)
        answers = nodes.node("Cast", part.graph.output[-1].name, to=TensorProto.DOUBLE)
        parts.append(nodes.node("Mul", answers, nodes.constant(share)))
    whole = nodes.model(rows, width, nodes.node("Sum", *parts))
    versions = dict(OPSET)
    for opset in (each for member in members for each in member.opset_import):
        versions[opset.domain] = max(versions.get(opset.domain, 1), opset.version)
    opsets = [helper.make_opsetid(*version) for version in versions.items()]
    return helper.make_model(whole.graph, opset_imports=opsets, ir_version=IR)
