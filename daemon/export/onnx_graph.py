"""The exported graph: named and typed inputs, the version's own graphs, and its answers by name."""

import json
from collections.abc import Sequence

import onnx
from onnx import ModelProto, TensorProto, compose, helper

from retraind.daemon.artifacts.bundle import AFTER, BEFORE, ONNX, TREELITE
from retraind.daemon.core.errors import NotExportable
from retraind.daemon.export import onnx_inputs, onnx_treelite
from retraind.daemon.export.exported_version import ExportedVersion
from retraind.daemon.portable import pipeline
from retraind.daemon.schema.costs import TIE
from retraind.daemon.training.export.onnx_nodes import IR, OPSET, Nodes

PREFIX = "retraind/"
"""Begins all names inside of the graph, so that no column has one."""


def build(version: ExportedVersion) -> ModelProto:
    """The whole graph of a version; raises NotExportable if its model is no graph."""
    schema, models = version.schema, _models(version)
    prefix = _unused(PREFIX, schema.features)
    nodes = Nodes(f"{prefix}encoding")
    answers = _chained(nodes, models, onnx_inputs.encoded(nodes, schema), prefix)
    outputs = _outputs(nodes, version, answers)
    inputs = [onnx_inputs.of(column) for column in schema.columns]
    graph = helper.make_graph(nodes.nodes, "retraind", inputs, outputs, nodes.constants)
    made = helper.make_model(
        graph, opset_imports=_opsets(models), ir_version=max(IR, *(model.ir_version for model in models))
    )
    made.producer_name, made.model_version = "retraind", version.number
    helper.set_model_props(made, _facts(version))
    return made


def _models(version: ExportedVersion) -> list[ModelProto]:
    """The graphs that answer one after the other."""
    backend = version.manifest.backend
    if backend == "onnx":
        return [onnx.load_model_from_string(version.read(ONNX))]
    if backend == "treelite":
        before, after = (
            [onnx.load_model_from_string(version.read(name))] if version.has(name) else [] for name in (BEFORE, AFTER)
        )
        single = version.manifest.input == "float32"
        return [
            *before,
            onnx_treelite.graph(version.read(TREELITE), len(version.schema.classes), single=single),
            *after,
        ]
    raise NotExportable(
        f"The model of version {version.number} ({version.manifest.candidate}) is no ONNX graph: scikit-learn itself serves it.",
        hint="Use --format pickle or --format mlflow.",
    )


def _chained(nodes: Nodes, models: Sequence[ModelProto], rows: str, prefix: str) -> str:
    """Add the graphs, each on the answers of the one before; returns the name of the last answers."""
    for number, model in enumerate(models):
        part = compose.add_prefix(model, f"{prefix}model_{number}/")
        source = part.graph.input[0]
        nodes.node("Cast", rows, output=source.name, to=source.type.tensor_type.elem_type)
        nodes.extend(part.graph)
        rows = part.graph.output[-1].name
    return rows


def _outputs(nodes: Nodes, version: ExportedVersion, answers: str) -> list[onnx.ValueInfoProto]:
    schema, names = version.schema, output_names(version)
    if schema.task == "regression":
        nodes.node("Cast", answers, output=names[0], to=TensorProto.DOUBLE)
        return [helper.make_tensor_value_info(names[0], TensorProto.DOUBLE, [None, 1])]
    shares = nodes.node("Cast", answers, output=names[1], to=TensorProto.DOUBLE)
    costs = version.model.costs
    codes = onnx_inputs.decided(nodes, shares, None if costs is None else costs.matrix, TIE)
    onnx_inputs.label(nodes, codes, schema.classes, names[0])
    return [
        helper.make_tensor_value_info(names[0], TensorProto.STRING, [None]),
        helper.make_tensor_value_info(names[1], TensorProto.DOUBLE, [None, len(schema.classes)]),
    ]


def output_names(version: ExportedVersion) -> list[str]:
    """`label` and `probabilities`, or `value`; with an underscore if a column has that name."""
    names = ["value"] if version.schema.task == "regression" else ["label", "probabilities"]
    return [_unused(name, version.schema.features) for name in names]


def _unused(name: str, taken: Sequence[str]) -> str:
    while any(each.startswith(name) if name.endswith("/") else each == name for each in taken):
        name = f"{name[:-1]}_/" if name.endswith("/") else f"{name}_"
    return name


def _opsets(models: Sequence[ModelProto]) -> list[onnx.OperatorSetIdProto]:
    versions = dict(OPSET)
    for opset in (each for model in models for each in model.opset_import):
        versions[opset.domain] = max(versions.get(opset.domain, 1), opset.version)
    return [helper.make_opsetid(*opset) for opset in versions.items()]


def _facts(version: ExportedVersion) -> dict[str, str]:
    """Metadata for programs: the example script reads columns and classes from it."""
    columns = [
        {key: each[key] for key in ("name", "kind", "missing", "markers")}
        for each in pipeline.described(version.schema)
    ]
    facts: dict[str, object] = {
        "columns": columns,
        "classes": version.schema.classes,
        "target": version.schema.target,
        "version": version.number,
        "bundle_sha256": version.model.sha256,
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in facts.items()}
