"""Export: a fitted estimator to the files of a bundle, ONNX if it reproduces scikit-learn, else scikit-learn itself.

Level 4.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import skops.io
import structlog
from numpy.typing import NDArray

from daemon import bundle, durable, graphs
from daemon.errors import NotServable
from daemon.model import answers
from daemon.schema import UNKNOWN, Schema

log = structlog.get_logger()

Matrix = NDArray[np.float64]
PROBE_ROWS = 64
PIECE_ROWS = 16_384


def write(estimator: Any, rows: Matrix, schema: Schema, folder: Path) -> dict[str, Any]:
    """Write the model and its probe into `folder`; returns the manifest's backend, input, difference and files.

    Raises NotServable for an estimator that neither ONNX reproduces nor a bundle may load.

    `rows` (n, d) are real rows: parity with scikit-learn is required on all of them, the first ones become the probe. For
    values, parity is a share of their range, so it does not depend on the target's unit.
    """
    first = np.vstack([_gaps(rows, schema), rows[:PROBE_ROWS]])
    converted = _converted(estimator, rows.shape[1], schema)
    found = _compare(estimator, converted, _parts(first, rows), schema)
    if converted is None or not found.same or found.difference > bundle.PARITY:
        name, facts = bundle.SKOPS, {"backend": "sklearn", "input": "float64", "difference": 0.0}
        (folder / name).write_bytes(_trusted(estimator))
    else:
        name, facts = bundle.ONNX, {"backend": "onnx", "input": converted.kind, "difference": found.difference}
        (folder / name).write_bytes(converted.graph)
    answered = answers(estimator, first, schema)
    probe = {"rows": _without_nan(first), bundle.answered(schema): answered, "scale": found.scale}
    (folder / bundle.PROBE).write_bytes(orjson.dumps(probe, option=orjson.OPT_SERIALIZE_NUMPY))
    files = {name: durable.sha256_file(folder / name), bundle.PROBE: durable.sha256_file(folder / bundle.PROBE)}
    return {**facts, "files": files}


def _parts(first: Matrix, rows: Matrix) -> Iterator[Matrix]:
    """All rows in pieces: answering is done in copies of them, which need not be as large as a revision."""
    yield first
    yield from (rows[start : start + PIECE_ROWS] for start in range(0, len(rows), PIECE_ROWS))


def _trusted(estimator: Any) -> bytes:
    """The estimator as skops writes it; raises NotServable if it holds what no bundle may load."""
    unknown = strange(estimator)
    if unknown:
        raise NotServable(f"ONNX does not reproduce it, and no bundle may load {', '.join(unknown)[:200]}.")
    return bytes(skops.io.dumps(estimator))


def strange(estimator: Any) -> list[str]:
    """The types in an estimator that neither skops nor `bundle.TRUSTED` trusts; raises NotServable if it can't be written."""
    try:
        data = skops.io.dumps(estimator)
    except Exception as error:
        raise NotServable(f"skops can't write it: {type(error).__name__}: {error}") from error
    return sorted(set(skops.io.get_untrusted_types(data=data)) - set(bundle.TRUSTED))


def _gaps(rows: Matrix, schema: Schema) -> Matrix:
    """Copies of real rows with each value that may be missing or unlisted taken away, even if no row lacks it yet."""
    gaps = [rows[:0]]
    for index, column in enumerate(schema.columns):
        if column.missing or column.kind == "category":
            copies = rows[:8].copy()
            copies[:, index] = UNKNOWN if column.kind == "category" else np.nan
            gaps.append(copies)
    return np.vstack(gaps)


def _without_nan(rows: Matrix) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in rows.tolist()]


@dataclass(frozen=True)
class _Found:
    """Whether a graph gives the same labels as its estimator, and the largest difference as a share of `scale`."""

    same: bool
    difference: float
    scale: float


@dataclass(frozen=True)
class _Converted:
    graph: bytes
    kind: graphs.Kind
    run: Callable[[Matrix], Matrix]


def _converted(estimator: Any, width: int, schema: Schema) -> _Converted | None:
    """The estimator as a graph that loads; None if there is none."""
    if schema.classes and list(estimator.classes_) != list(range(len(schema.classes))):
        return None  # a class without rows: the graph would give fewer columns than the schema has classes
    try:
        graph, kind = graphs.convert(estimator, width)
        return _Converted(graph, kind, bundle.onnx_model(graph, kind))
    except Exception as error:  # noqa: BLE001 - skl2onnx and ONNX Runtime raise a score of types: not in ONNX
        log.warning("onnx_refused", estimator=type(estimator).__name__, error=str(error)[:200])
        return None


def _compare(estimator: Any, converted: _Converted | None, parts: Iterable[Matrix], schema: Schema) -> _Found:
    """Estimator and graph on all rows, a few at a time; values are measured by their range, if they have one."""
    low, high, worst, same = np.inf, -np.inf, 0.0, converted is not None
    for part in parts:
        wanted = answers(estimator, part, schema)
        low, high = min(low, float(wanted.min())), max(high, float(wanted.max()))
        if converted is not None and same:
            got = _run(converted, part)
            same = got.shape == wanted.shape and bool(np.isfinite(got).all())
            same = same and bool((got.argmax(axis=1) == wanted.argmax(axis=1)).all())
            worst = max(worst, float(np.abs(got - wanted).max())) if same else worst
    scale = (high - low or max(abs(low), abs(high)) or 1.0) if schema.task == "regression" else 1.0
    return _Found(same, worst / scale, scale)


def _run(converted: _Converted, rows: Matrix) -> Matrix:
    """The graph's answers; empty if it gives none."""
    try:
        return converted.run(rows)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a score of types
        log.warning("onnx_refused", error=str(error)[:200])
        return np.empty((0, 0))
