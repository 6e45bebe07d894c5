"""The three formats of an export, and what their folders have in common."""

import io
import pickle
import tempfile
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
from sklearn.pipeline import Pipeline

from retraind.daemon.core import durable
from retraind.daemon.export import estimator, onnx_graph, parity, portable_package, readme, table_columns
from retraind.daemon.export.exported_version import ExportedVersion
from retraind.daemon.export.parity import Checked
from retraind.daemon.export.portable import answers, columns, mlflow_example, onnx_example, pickle_example
from retraind.daemon.schema import text_words
from retraind.daemon.schema.costs import TIE


class Format(StrEnum):
    """A form in which a version can be taken away."""

    ONNX = "onnx"
    MLFLOW = "mlflow"
    PICKLE = "pickle"


GRAPH = "model.onnx"
PICKLE = "model.pkl"
REQUIREMENTS = "requirements.txt"

BASE = ("numpy", "pandas", "scikit-learn", "scipy")
"""Packages that a pipeline needs."""


def write_onnx(exported: ExportedVersion, folder: Path) -> None:
    """An ONNX graph, for ONNX Runtime in any language."""
    (folder / GRAPH).write_bytes(onnx_graph.build(exported).SerializeToString(deterministic=True))
    if exported.schema.texts:
        _copy(text_words, folder / "text_words.py")
    _copy(onnx_example, folder / parity.EXAMPLE)
    _require(folder, ["numpy", "onnxruntime"])


def write_pickle(exported: ExportedVersion, folder: Path) -> None:
    """A scikit-learn pipeline as a pickle, and the package with retraind's estimators."""
    fitted = estimator.load(exported)
    portable_package.write(folder, _own(fitted))
    with portable_package.importable(folder):
        (folder / PICKLE).write_bytes(_pickled(pipeline(exported, fitted)))
    _copy(pickle_example, folder / parity.EXAMPLE)
    _require(folder, [*BASE, *_distributions(fitted)])


def write_mlflow(exported: ExportedVersion, folder: Path) -> None:
    """An MLflow model of the flavours python_function and sklearn."""
    # Imported here, because MLflow takes seconds.
    from retraind.daemon.registry import saved_model

    fitted = estimator.load(exported)
    needs = _pinned([*BASE, "mlflow", "skops", *_distributions(fitted)])
    examples = parity.expected(exported).rows[: parity.SHOWN]
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=durable.MARK, suffix=durable.TMP) as scratch:
        portable_package.write(Path(scratch), _own(fitted))
        code = Path(scratch) / portable_package.NAME
        with portable_package.importable(Path(scratch)):
            parts = pipeline(exported, fitted), table_columns.described(exported.schema), exported.schema.task
            made = saved_model.Pipeline(*parts, needs, code)
            saved_model.save(made, folder, examples, exported.manifest.created, exported.model.sha256)
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
    wanted = parity.expected(exported)
    WRITERS[form](exported, folder)
    checked = parity.check(exported, folder, wanted)
    example = {"rows": checked.rows[: parity.SHOWN], "answers": checked.answers[: parity.SHOWN]}
    (folder / "example.json").write_bytes(orjson.dumps(example, option=orjson.OPT_INDENT_2))
    (folder / "README.md").write_text(readme.text(exported, form, checked), encoding="utf-8")
    return checked


def pipeline(exported: ExportedVersion, fitted: Any) -> Pipeline:
    """Columns of a table to answers, of the classes in the exported package, which must be importable."""
    table = portable_package.imported(columns.__name__).Columns(table_columns.described(exported.schema))
    last, costs = estimator.ported(fitted), exported.model.costs
    if exported.schema.task == "classification":
        named = portable_package.imported(answers.__name__).NamedClassifier
        last = named(last, list(exported.schema.classes), None if costs is None else costs.matrix.tolist(), TIE)
    return Pipeline([("columns", table), ("model", last)])


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


def _own(fitted: Any) -> set[str]:
    return estimator.modules(fitted) & portable_package.MODULES.keys()


def _copy(module: ModuleType, path: Path) -> None:
    path.write_text(portable_package.text_of(module), encoding="utf-8")


def _distributions(fitted: Any) -> list[str]:
    """Packages of other estimators."""
    roots = {name.partition(".")[0] for name in estimator.modules(fitted) - portable_package.MODULES.keys()}
    known = packages_distributions()
    return sorted({known[root][0] for root in roots if root in known} - set(BASE))


def _require(folder: Path, names: Iterable[str]) -> None:
    (folder / REQUIREMENTS).write_text("\n".join(_pinned(names)) + "\n", encoding="utf-8")


def _pinned(names: Iterable[str]) -> Sequence[str]:
    return [f"{name}=={version(name)}" for name in names]
