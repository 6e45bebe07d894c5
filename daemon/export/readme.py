"""README.md of an export: about ten lines, and the columns."""

import sys
from typing import TYPE_CHECKING

from retraind.daemon.export import onnx_graph, table_columns
from retraind.daemon.export.exported_version import ExportedVersion
from retraind.daemon.export.parity import Checked
from retraind.daemon.portable import package
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.text_words import SLOTS

if TYPE_CHECKING:
    from retraind.daemon.export.format_names import Format

GIVEN = {
    "onnx": {
        "number": "tensor(double) [N, 1]",
        "integer": "tensor(int64) [N, 1]",
        "boolean": "tensor(bool) [N, 1]",
        "date": "tensor(double) [N, 1]: seconds since 1970-01-01 UTC",
        "category": "tensor(string) [N, 1]",
        "text": f"tensor(double) [N, {1 + SLOTS}]: the numbers that text_words.py makes of it",
    },
    "table": {
        "number": "float",
        "integer": "int",
        "boolean": "bool",
        "date": "ISO 8601 text; without a time zone it is UTC",
        "category": "text",
        "text": "text",
    },
}

GAP = {
    "onnx": {"category": 'missing: ""', "": "missing: NaN"},
    "table": {"": "missing: None or NaN"},
}

START = {
    "onnx": "`model.onnx` is a graph for ONNX Runtime in any language: an input for each column, and the outputs {outputs}. In Python:",
    "pickle": "`model.pkl` is a scikit-learn pipeline for a pandas DataFrame; the folder `{package}` must be importable. Load pickles only from people whom you trust, with the versions in requirements.txt:",
    "mlflow": "This folder is an MLflow model (`mlflow.pyfunc.load_model`, `mlflow.sklearn.load_model`, `mlflow models serve -m .`) for a pandas DataFrame:",
}


def text(version: ExportedVersion, form: "Format", checked: Checked) -> str:
    """The whole file, in Markdown."""
    schema, kind = version.schema, "onnx" if form == "onnx" else "table"
    outputs = " and ".join(f"`{name}`" for name in onnx_graph.output_names(version))
    answer = f"one of the classes {_classes(version)}" if schema.classes else "a number"
    return f"""# {table_columns.cell(schema.target)}, version {version.number}

{START[form.value].format(outputs=outputs, package=package.NAME)}

    pip install -r requirements.txt
    python example.py

The answer is {answer}. `example.py` predicts the rows of `example.json`, which also has the service's answers to them. {len(checked.rows)} rows
were compared with the service when this folder was written: the same labels, and a largest difference of {checked.difference:.1g}.
Categories that are not listed count as missing. Values are not checked here: the service refuses numbers beyond 1e100, for example.
Made with Python {sys.version_info[0]}.{sys.version_info[1]}. MODEL_CARD.md has data, scores and limits.

{table_columns.as_table(schema, {column.name: _given(column, kind) for column in schema.columns})}
"""


def _given(column: Column, kind: str) -> str:
    note = GIVEN[kind][column.kind]
    if kind == "onnx" and column.missing and column.kind in ("integer", "boolean"):
        note = GIVEN[kind]["number"] + (": 0 or 1" if column.kind == "boolean" else "")
    if kind == "onnx" and column.kind == "text":
        return note
    if column.missing or column.kind == "category":
        note += f"; {GAP[kind].get(column.kind, GAP[kind][''])}"
    return note


def _classes(version: ExportedVersion) -> str:
    names = [table_columns.code(name) for name in version.schema.classes]
    return ", ".join(names[:20]) + (
        f" and {len(names) - 20} more, in this order" if len(names) > 20 else ", in this order"
    )
