"""Exports a fitted estimator to a bundle's files: ONNX, else treelite, if they reproduce scikit-learn.

Else scikit-learn.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import orjson
import skops.io
from numpy.typing import NDArray

from retraind.daemon.artifacts import backends, bundle, class_names, treelite_model
from retraind.daemon.artifacts.linear_model import LinearModel
from retraind.daemon.artifacts.manifest import Backend, Kind
from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import NotServable
from retraind.daemon.model import answers
from retraind.daemon.schema.column import UNKNOWN
from retraind.daemon.schema.costs import Costs, named
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.export import linear_export, onnx_export

log = logs.Logger()

Matrix = NDArray[np.float64]
PROBE_ROWS = 64
PIECE_ROWS = 16_384
DOUBLE = ("_predictors", "booster_")
"""Attributes of ensembles with trees in double precision: scikit-learn's histogram boosting, LightGBM's."""


class Exported(TypedDict):
    """Entries of a manifest: the backend, its input type, its difference from scikit-learn, the sha256 of each file."""

    backend: Backend
    input: Kind
    difference: float
    files: dict[str, str]


def write(estimator: Any, rows: Matrix, schema: Schema, folder: Path, costs: Costs | None = None) -> Exported:
    """Write the model and its probe into `folder`; returns their manifest entries.

    Raises NotServable for an estimator that neither ONNX nor treelite reproduces and that no bundle may load.

    `rows` (n, d) are real rows: parity with scikit-learn is required on all of them, the first ones become the probe.
    For values, parity is a share of their range, so it does not depend on the target's unit. `costs` decide which
    classes must agree.
    """
    first = np.vstack([_gaps(rows, schema), rows[:PROBE_ROWS]])
    backend, comparison = _exact(estimator, first, rows, schema, costs)
    made, difference = backend.files, comparison.difference
    if backend.name == "onnx" and (linear := _linear(estimator, first, rows, schema, costs)) is not None:
        made, difference = made | linear[0].files, max(difference, linear[1].difference)
    for name, data in made.items():
        (folder / name).write_bytes(data)
    answered = answers(estimator, first, schema)
    probe = {"rows": _without_nan(first), bundle.answered(schema): answered, "scale": comparison.scale}
    (folder / bundle.PROBE).write_bytes(orjson.dumps(probe, option=orjson.OPT_SERIALIZE_NUMPY))
    files = {name: durable.sha256_file(folder / name) for name in (*made, bundle.PROBE)}
    return {"backend": backend.name, "input": backend.kind, "difference": difference, "files": files}


def _exact(
    estimator: Any, first: Matrix, rows: Matrix, schema: Schema, costs: Costs | None
) -> tuple["_Backend", "_Parity"]:
    """The fastest backend that reproduces the estimator; scikit-learn itself if there is none."""
    for convert in (_onnx, _treelite):
        backend = convert(estimator, rows.shape[1], schema)
        if backend is not None:
            comparison = _compare(estimator, backend, _parts(first, rows), schema, costs)
            if comparison.same and comparison.difference <= bundle.PARITY:
                return backend, comparison
            log.info(
                "not_exact", backend=backend.name, estimator=type(estimator).__name__, difference=comparison.difference
            )
    comparison = _compare(estimator, None, _parts(first, rows), schema, costs)
    return _Backend("sklearn", "float64", {bundle.SKOPS: _trusted(estimator)}), comparison


def _linear(
    estimator: Any, first: Matrix, rows: Matrix, schema: Schema, costs: Costs | None
) -> tuple["_Backend", "_Parity"] | None:
    """A linear model as data, which answers instead of its graph; None if it is another model, or not exact."""
    try:
        form = linear_export.form_of(estimator, rows.shape[1])
    except ValueError as error:  # a weight that is not finite
        log.warning("linear_refused", estimator=type(estimator).__name__, error=str(error)[:200])
        return None
    if form is None:
        return None
    backend = _Backend("onnx", "float64", {bundle.LINEAR: form.model_dump_json().encode()}, LinearModel(form).answers)
    comparison = _compare(estimator, backend, _parts(first, rows), schema, costs)
    if comparison.same and comparison.difference <= bundle.PARITY:
        return backend, comparison
    log.info("linear_not_exact", estimator=type(estimator).__name__, difference=comparison.difference)
    return None


def _parts(first: Matrix, rows: Matrix) -> Iterator[Matrix]:
    """All rows in pieces, because answering copies them, and copies need not be as large as a revision."""
    yield first
    yield from (rows[start : start + PIECE_ROWS] for start in range(0, len(rows), PIECE_ROWS))


def _trusted(estimator: Any) -> bytes:
    """The estimator as written by skops; raises NotServable if it holds types that no bundle may load."""
    unknown = untrusted_types(estimator)
    if unknown:
        raise NotServable(
            f"Neither ONNX nor treelite reproduces it, and no bundle may load {', '.join(unknown)[:200]}."
        )
    return class_names.stored(skops.io.dumps(estimator))


def untrusted_types(estimator: Any) -> list[str]:
    """The types in an estimator that neither skops nor `backends.TRUSTED` trusts; raises NotServable if it can't be written."""
    try:
        data = skops.io.dumps(estimator)
    except Exception as error:
        raise NotServable(f"skops can't write it: {type(error).__name__}: {error}") from error
    return sorted(set(skops.io.get_untrusted_types(data=data)) - set(backends.TRUSTED))


def _gaps(rows: Matrix, schema: Schema) -> Matrix:
    """Copies of real rows without each value that may be missing or unlisted, even if no real row lacks it yet."""
    gaps = [rows[:0]]
    for index, column in enumerate(schema.columns):
        if column.missing or column.kind == "category":
            copies = rows[:8].copy()
            if index in schema.texts:
                copies[:, len(schema.columns) :] = 0.0  # the words of all texts
            copies[:, index] = UNKNOWN if column.kind == "category" else np.nan
            gaps.append(copies)
    return np.vstack(gaps)


def _without_nan(rows: Matrix) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in rows.tolist()]


@dataclass(frozen=True)
class _Parity:
    """Whether a backend gives the same labels as its estimator, and the largest difference as a share of `scale`."""

    same: bool
    difference: float
    scale: float


@dataclass(frozen=True)
class _Backend:
    name: Literal["onnx", "treelite", "sklearn"]
    kind: Kind
    files: dict[str, bytes]
    run: Callable[[Matrix], Matrix] | None = None


def _onnx(estimator: Any, width: int, schema: Schema) -> _Backend | None:
    """The estimator as a loadable graph; None if there is none."""
    if _lacks_a_class(estimator, schema):
        return None
    try:
        graph, kind = onnx_export.convert(estimator, width)
        return _Backend("onnx", kind, {bundle.ONNX: graph}, backends.OnnxModel(graph, kind).answers)
    except Exception as error:  # noqa: BLE001 - skl2onnx and ONNX Runtime raise a score of types: not in ONNX
        log.warning("onnx_refused", estimator=type(estimator).__name__, error=str(error)[:200])
        return None


def _treelite(estimator: Any, width: int, schema: Schema) -> _Backend | None:
    """The tree ensemble within the estimator, with graphs around it; None if it has none that treelite supports."""
    if _lacks_a_class(estimator, schema):
        return None
    try:
        ensemble, steps = onnx_export.around(estimator, width)
        kind: Kind = "float64" if any(hasattr(ensemble, name) for name in DOUBLE) else "float32"
        files = {{"before": bundle.BEFORE, "after": bundle.AFTER}[step]: graph for step, graph in steps.items()}
        files[bundle.TREELITE] = treelite_model.dumps(ensemble)
        run = backends.treelite_model(
            files[bundle.TREELITE], kind, schema, files.get(bundle.BEFORE), files.get(bundle.AFTER)
        )
        return _Backend("treelite", kind, files, run)
    except Exception as error:  # noqa: BLE001 - whatever treelite does not know
        log.info("treelite_refused", estimator=type(estimator).__name__, error=str(error)[:200])
        return None


def _lacks_a_class(estimator: Any, schema: Schema) -> bool:
    """Whether a class has no rows, so that a graph would return fewer columns than the schema has classes."""
    return bool(schema.classes) and list(estimator.classes_) != list(range(len(schema.classes)))


def _compare(
    estimator: Any, backend: _Backend | None, parts: Iterable[Matrix], schema: Schema, costs: Costs | None
) -> _Parity:
    """Compare estimator and backend on all rows, a few at a time.

    Differences of values are divided by their range, if any.
    """
    low, high, worst, same = np.inf, -np.inf, 0.0, backend is not None
    for part in parts:
        expected = answers(estimator, part, schema)
        low, high = min(low, float(expected.min())), max(high, float(expected.max()))
        if backend is not None and same:
            got = _run(backend, part)
            same = got.shape == expected.shape and bool(np.isfinite(got).all())
            same = same and bool((named(got, costs) == named(expected, costs)).all())
            worst = max(worst, float(np.abs(got - expected).max())) if same else worst
    scale = (high - low or max(abs(low), abs(high)) or 1.0) if schema.task == "regression" else 1.0
    return _Parity(same, worst / scale, scale)


def _run(backend: _Backend, rows: Matrix) -> Matrix:
    """The backend's answers; empty if it fails."""
    try:
        return backend.run(rows) if backend.run else np.empty((0, 0))
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a score of types
        log.warning("backend_refused", backend=backend.name, error=str(error)[:200])
        return np.empty((0, 0))
