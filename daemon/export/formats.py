"""The three formats of an export, and what their folders have in common."""

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from retraind.daemon.export import onnx_graph, parity, readme
from retraind.daemon.export.exported_version import ExportedVersion
from retraind.daemon.export.format_names import Format
from retraind.daemon.export.parity import Checked
from retraind.daemon.export.scripts import onnx_example, pickle_example
from retraind.daemon.portable import package, pipeline
from retraind.daemon.schema import text_words

GRAPH = "model.onnx"
PICKLE = "model.pkl"
REQUIREMENTS = "requirements.txt"


def write_onnx(exported: ExportedVersion, folder: Path) -> None:
    """An ONNX graph, for ONNX Runtime in any language."""
    (folder / GRAPH).write_bytes(onnx_graph.build(exported).SerializeToString(deterministic=True))
    if exported.schema.texts:
        _copy(text_words, folder / "text_words.py")
    _copy(onnx_example, folder / parity.EXAMPLE)
    _require(folder, ["numpy", "onnxruntime"])


def write_pickle(exported: ExportedVersion, folder: Path) -> None:
    """A scikit-learn pipeline as a pickle, and the package with retraind's estimators."""
    from retraind.daemon.export import estimator  # a graph needs no skops

    fitted = estimator.load(exported)
    package.write(folder)
    with package.importable(folder):
        (folder / PICKLE).write_bytes(_pickled(pipeline.build(exported.schema, fitted, exported.model.costs)))
    _copy(pickle_example, folder / parity.EXAMPLE)
    _require(folder, [*pipeline.BASE, *pipeline.distributions(fitted)])


def write_mlflow(exported: ExportedVersion, folder: Path) -> None:
    """An MLflow model of the flavours python_function and sklearn."""
    # Imported here, because MLflow takes seconds.
    from retraind.daemon.export import estimator
    from retraind.daemon.export.scripts import mlflow_example
    from retraind.daemon.registry import saved_model

    fitted, examples = estimator.load(exported), parity.expected(exported).rows[: parity.SHOWN]
    with pipeline.table_model(exported.schema, fitted, exported.model.costs) as model:
        saved_model.save(model, folder, examples, exported.manifest.created, exported.model.sha256)
    _copy(mlflow_example, folder / parity.EXAMPLE)


WRITERS: dict[Format, Callable[[ExportedVersion, Path], None]] = {
    Format.ONNX: write_onnx,
    Format.PICKLE: write_pickle,
    Format.MLFLOW: write_mlflow,
}


def write(exported: ExportedVersion, form: Format, folder: Path) -> Checked:
    """Write the files of a format into an empty folder, and check that they answer as the version does.

    Raises NotExportable, BundleRefused.
    """
    expected = parity.expected(exported)
    WRITERS[form](exported, folder)
    checked = parity.check(exported, folder, expected)
    example = {"rows": checked.rows[: parity.SHOWN], "answers": checked.answers[: parity.SHOWN]}
    (folder / "example.json").write_bytes(orjson.dumps(example, option=orjson.OPT_INDENT_2))
    (folder / "README.md").write_text(readme.text(exported, form, checked), encoding="utf-8")
    return checked


def _pickled(value: Any) -> bytes:
    """The value without references from one part to another: which equal texts are one object differs from process to process."""
    written = io.BytesIO()
    pickler = pickle.Pickler(written, protocol=5)
    pickler.fast = True
    try:
        pickler.dump(value)
    except (RecursionError, ValueError):  # an estimator of another package that refers to itself
        return pickle.dumps(value, protocol=5)
    return written.getvalue()


def _copy(module: ModuleType, path: Path) -> None:
    path.write_text(package.text_of(module), encoding="utf-8")


def _require(folder: Path, names: Sequence[str]) -> None:
    (folder / REQUIREMENTS).write_text("\n".join(pipeline.pinned(names)) + "\n", encoding="utf-8")
