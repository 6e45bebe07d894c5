"""The pipeline of a version: from a table with its columns to the names of its classes, or to values."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from retraind.daemon.artifacts import backends
from retraind.daemon.portable import answers, columns, package
from retraind.daemon.registry.table_model import TableModel
from retraind.daemon.schema.costs import TIE, Costs
from retraind.daemon.schema.schema import Schema

BASE = ("numpy", "pandas", "scikit-learn", "scipy")
"""Packages that every pipeline needs."""


def described(schema: Schema) -> list[dict[str, Any]]:
    """What `retraind.daemon.portable.columns.Columns` needs to know of each column."""
    return [
        {
            "name": column.name,
            "kind": column.kind,
            "missing": column.missing,
            "categories": list(column.categories),
            "markers": list(schema.markers[column.name]),
        }
        for column in schema.columns
    ]


@contextmanager
def table_model(schema: Schema, fitted: Any, costs: Costs | None, strange: Sequence[str] = ()) -> Iterator[TableModel]:
    """The pipeline of a fitted estimator, while its package is importable. `strange`: types of other packages in it."""
    with tempfile.TemporaryDirectory(prefix="retraind-") as folder:
        package.write(Path(folder))
        with package.importable(Path(folder)):
            yield TableModel(
                build(schema, fitted, costs),
                described(schema),
                schema.task,
                pinned([*BASE, "mlflow", "skops", *distributions(fitted)]),
                Path(folder) / package.NAME,
                [*_trusted(), *strange],
            )


def build(schema: Schema, fitted: Any, costs: Costs | None) -> Pipeline:
    """Columns of a table to answers, of the classes in the package, which must be importable."""
    table = package.imported(columns.__name__).Columns(described(schema))
    last = ported(fitted)
    if schema.task == "classification":
        named = package.imported(answers.__name__).NamedClassifier
        last = named(last, list(schema.classes), None if costs is None else costs.matrix.tolist(), TIE)
    return Pipeline([("columns", table), ("model", last)])


def _trusted() -> list[str]:
    """The types of the package that a pipeline may have, and those that bundles may have."""
    own = [name for name in backends.TRUSTED if name.rpartition(".")[0] in package.MODULES]
    own += [f"{columns.__name__}.Columns", f"{answers.__name__}.NamedClassifier"]
    parts = (name.rpartition(".") for name in own)
    return [*backends.TRUSTED, *(f"{package.NAME}.{package.short(module)}.{kind}" for module, _, kind in parts)]


def distributions(fitted: Any) -> list[str]:
    """Packages of the index that estimators of others come from."""
    roots = {name.partition(".")[0] for name in _modules(fitted) - package.MODULES.keys()} - {"sklearn"}
    if not roots:
        return []  # the search reads the metadata of every installed package, which takes half a second
    known = packages_distributions()
    return sorted({known[root][0] for root in roots if root in known} - set(BASE))


def pinned(names: Sequence[str]) -> list[str]:
    """Requirements with the installed versions."""
    return [f"{name}=={version(name)}" for name in names]


def _modules(value: Any) -> set[str]:
    return {type(each).__module__ for each in _parts(value)}


def _parts(value: Any) -> Iterator[Any]:
    """An estimator, and those within it as far as classes of ours may be among them."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from _parts(each)
    elif isinstance(value, BaseEstimator):
        yield value
        if _is_open(value):
            yield from _parts(list(vars(value).values()))


def _is_open(value: Any) -> bool:
    return isinstance(value, Pipeline) or type(value).__module__ in package.MODULES


def ported(value: Any) -> Any:
    """A copy with the classes of the package, which must be importable."""
    if isinstance(value, list | tuple):
        return type(value)(ported(each) for each in value)
    if not (isinstance(value, BaseEstimator) and _is_open(value)):
        return value
    kind: Any = type(value)
    module = kind.__module__
    if module in package.MODULES:
        kind = getattr(package.imported(module), kind.__name__)
    made = kind.__new__(kind)
    vars(made).update({name: ported(each) for name, each in vars(value).items()})
    return made


def estimator_of(value: Any) -> Any:
    """The estimator of codes within a pipeline; an earlier release's model is the estimator itself."""
    if isinstance(value, Pipeline) and isinstance(value[0], columns.Columns):
        last = value[-1]
        return last.estimator if isinstance(last, answers.NamedClassifier) else last
    return value
