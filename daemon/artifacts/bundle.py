"""The bundle: the files that serve one version, a manifest with their sha256, and the model they load to.

Shared with `web`: needs numpy and ONNX Runtime only. treelite and scikit-learn are imported solely for a bundle
whose backend they are, because ONNX does not reproduce the estimator.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.artifacts import treelite_model as groves
from daemon.core import durable
from daemon.core.errors import BundleRefused
from daemon.schema.costs import Costs, named
from daemon.schema.schema import Schema

Matrix = NDArray[np.float64]

PARITY = 1e-6
"""Largest difference between scikit-learn and the backend: of a probability, or of a value as a share of the probe's
`scale`, the range of the values that the model gives for the rows of its revision (docs/architecture.md, Serving)."""

MODEL = "retraind"
"""Name of the model, in the registry and in the paths of the protocols that name one."""

MANIFEST = "manifest.json"
REMEMBERED = "remembered.npz"
KEPT = frozenset({MANIFEST, REMEMBERED})
"""What stays of a bundle whose version is cleared: later versions are measured by what it answered."""
PROBE = "probe.json"
ONNX = "model.onnx"
TREELITE = "model.treelite"
BEFORE, AFTER = "rows.onnx", "answers.onnx"
"""Beside treelite's trees, if they are needed: what makes their rows of ours, and what corrects their probabilities."""
SKOPS = "model.skops"

PIECEWISE = "rows_to_encode"
"""The input of a graph that makes many numbers of a row: it is given PIECE_ROWS at a time, so that memory is bounded."""

PIECE_ROWS = 1024

# A fixed list, never the one that the file names itself: skops would otherwise load whatever the file asks for.
TRUSTED = [
    "daemon.encoding.Encoding",
    "daemon.model.Calibrated",
    "daemon.model.Design",
    "daemon.model.LeastSquares",
    "daemon.model.LeastSquaresClassifier",
    "daemon.model.NativeBoostingClassifier",
    "daemon.model.NativeBoostingRegressor",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


class Manifest(BaseModel):
    """What a bundle is made of and where it came from; its own sha256 stands in the journal and the pointer."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    format: Literal["retraind-bundle/1"] = "retraind-bundle/1"
    run: str
    """MLflow run id."""
    candidate: str
    """Name of the candidate that won, for example `forest`."""
    estimator: str
    revision: str
    """Git commit of the data."""
    dvc_md5: str
    rows: int
    """Rows in the revision; `trained_rows` of them taught the model."""
    trained_rows: int
    data_schema: Schema
    backend: Literal["onnx", "treelite", "sklearn"]
    input: Literal["float32", "float64"]
    difference: float
    """Largest difference from scikit-learn on the rows of the revision, in the sense of PARITY."""
    files: dict[str, str]
    """File name to sha256."""
    scores: dict[str, Any] = Field(default_factory=dict)
    """`challenger` and `champion` on the same held-out rows, `importance` by feature; see docs/architecture.md."""
    reason: str
    """Why the training started."""
    seed: int
    settings: dict[str, Any] = Field(default_factory=dict)
    """The `[train]` settings, with which the training can be repeated; empty in bundles of earlier times."""
    first_rows: int = 0
    """So many rows began the dataset: the held-out ones among them are the reference holdout."""
    libraries: dict[str, str]
    created: str


class Pointer(BaseModel):
    """`champion.json`: which bundle is to be served, by version and sha256 of its manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    manifest: str
    since: str
    """UTC, ISO 8601: when the version became the served one."""


class Model:
    """A loaded bundle; immutable. `answers` takes rows in schema order."""

    def __init__(self, manifest: Manifest, sha256: str, run: Callable[[Matrix], Matrix]) -> None:
        self.manifest = manifest
        self.sha256 = sha256
        self.costs = Costs.of(manifest.settings.get("costs"), manifest.data_schema.classes)
        """What decides which class it answers; None: the likeliest."""
        self._run = run

    def answers(self, rows: Matrix) -> Matrix:
        """Float64 (n, d) to float64: (n, classes) probabilities or (n, 1) values; NaN is a missing number."""
        return self._run(rows)


def answered(schema: Schema) -> str:
    """What a model of this schema answers, and so the probe's key for it."""
    return "values" if schema.task == "regression" else "probabilities"


def read_pointer(path: Path) -> Pointer | None:
    """The pointer at `path`; None if nothing has been promoted yet; raises BundleRefused if it is not readable."""
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise BundleRefused(f"{path} is not a pointer: {error.error_count()} problems.") from None


def seal(folder: Path, manifest: Manifest) -> str:
    """Write the manifest of a finished bundle and make the folder durable; returns the manifest's sha256."""
    data = orjson.dumps(manifest.model_dump(), option=orjson.OPT_INDENT_2)
    for name in manifest.files:
        durable.fsync_file(folder / name)
    durable.write(folder / MANIFEST, data)
    durable.fsync_dir(folder.parent)
    return durable.sha256(data)


def read_manifest(folder: Path, sha256: str) -> Manifest:
    """The manifest of a bundle, verified against its recorded sha256, without loading the model; raises BundleRefused."""
    try:
        data = (folder / MANIFEST).read_bytes()
        if durable.sha256(data) != sha256:
            raise BundleRefused(f"{folder / MANIFEST} is not the manifest that was recorded ({sha256[:12]}…).")
        return Manifest.model_validate_json(data)
    except (OSError, ValidationError) as error:
        raise BundleRefused(f"{folder} is not a readable bundle: {error}") from error


def cleared(folder: Path) -> bool:
    """Whether the files of a bundle have been removed, all but those of KEPT (`promote.keep_versions`)."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return MANIFEST in names and names <= KEPT


def load(folder: Path, sha256: str) -> Model:
    """Verify every file against its sha256, load those very bytes, compare with the probe; raises BundleRefused."""
    manifest, files = _read(folder, sha256)
    try:
        model = Model(manifest, sha256, _backend(manifest, files))
        probe(model, orjson.loads(files[PROBE]))
    except BundleRefused:
        raise
    except Exception as error:
        raise BundleRefused(f"{folder}: the {manifest.backend} model does not load and predict: {error}") from error
    return model


def _backend(manifest: Manifest, files: dict[str, bytes]) -> Callable[[Matrix], Matrix]:
    if manifest.backend == "onnx":
        return onnx_model(files[ONNX], manifest.input)
    if manifest.backend == "treelite":
        return treelite_model(files, manifest.input, manifest.data_schema)
    return _sklearn(files[SKOPS], manifest.data_schema)


def _read(folder: Path, sha256: str) -> tuple[Manifest, dict[str, bytes]]:
    """Manifest and files, each read once, so that what was verified is what is loaded; raises BundleRefused."""
    manifest = read_manifest(folder, sha256)
    try:
        files = {name: (folder / Path(name).name).read_bytes() for name in manifest.files}
    except OSError as error:
        raise BundleRefused(f"{folder} is not a readable bundle: {error}") from error
    for name, expected in manifest.files.items():
        if durable.sha256(files[name]) != expected:
            raise BundleRefused(f"{folder / name} is not the file that was recorded ({expected[:12]}…).")
    return manifest, files


def probe(model: Model, expected: dict[str, Any]) -> None:
    """Predict the probe rows and compare with scikit-learn's stored answers; raises BundleRefused."""
    rows = np.array(expected["rows"], dtype=np.float64)  # null is NaN
    answered_with = answered(model.manifest.data_schema)
    wanted = np.array(expected[answered_with], dtype=np.float64)
    got = model.answers(rows)
    if got.shape != wanted.shape or not np.isfinite(got).all():
        raise BundleRefused(
            f"The probe gave {got.shape} {answered_with}, some maybe not finite; expected {wanted.shape}."
        )
    difference = float(np.abs(got - wanted).max()) / expected.get("scale", 1.0)
    if difference > PARITY or (named(got, model.costs) != named(wanted, model.costs)).any():
        raise BundleRefused(f"The probe differs from scikit-learn by {difference:.2g}; allowed is {PARITY:g}.")


def onnx_model(graph: bytes, kind: Literal["float32", "float64"]) -> Callable[[Matrix], Matrix]:
    """Answers by ONNX Runtime: the graph's last output. `kind` is the type of its input. Raises what ONNX Runtime raises."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread: one-row requests gain nothing from more, and workers must not fight the trainer for cores.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[-1].name
    dtype = np.dtype(kind)

    def run(rows: Matrix) -> Matrix:
        answers: Matrix = session.run([output], {name: rows.astype(dtype, copy=False)})[0]
        return answers.astype(np.float64, copy=False).reshape(len(rows), -1)

    def run_pieces(rows: Matrix) -> Matrix:
        if len(rows) <= PIECE_ROWS:
            return run(rows)
        return np.vstack([run(rows[start : start + PIECE_ROWS]) for start in range(0, len(rows), PIECE_ROWS)])

    return run_pieces if name == PIECEWISE else run


def treelite_model(
    files: dict[str, bytes], kind: Literal["float32", "float64"], schema: Schema
) -> Callable[[Matrix], Matrix]:
    """Answers by treelite, between the graphs BEFORE and AFTER where `files` has them. `kind` is what the trees look at."""
    steps = [groves.grove(files[TREELITE], single=kind == "float32", classes=len(schema.classes))]
    if BEFORE in files:
        steps.insert(0, onnx_model(files[BEFORE], "float64"))
    if AFTER in files:
        steps.append(onnx_model(files[AFTER], "float64"))

    def run(rows: Matrix) -> Matrix:
        for step in steps:
            rows = step(rows)
        return rows

    return run


def _sklearn(data: bytes, schema: Schema) -> Callable[[Matrix], Matrix]:
    import skops.io

    estimator = skops.io.loads(data, trusted=TRUSTED)

    def values(rows: Matrix) -> Matrix:
        return np.asarray(estimator.predict(rows), dtype=np.float64).reshape(-1, 1)

    def probabilities(rows: Matrix) -> Matrix:
        # A class that had no rows yet has no column in scikit-learn's answer.
        found = np.zeros((len(rows), len(schema.classes)))
        found[:, estimator.classes_] = estimator.predict_proba(rows)
        return found

    return values if schema.task == "regression" else probabilities
