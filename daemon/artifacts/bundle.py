"""The bundle: the files that serve one version, a manifest with their sha256, and the model they load to.

Shared with `web`; its backends are those of `daemon/artifacts/backends.py`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, ValidationError

from daemon.artifacts import backends
from daemon.artifacts.backends import Kind
from daemon.core import durable
from daemon.core.errors import BundleRefused
from daemon.schema.costs import Costs, named
from daemon.schema.schema import Schema
from daemon.schema.scores import Scores

Matrix = NDArray[np.float64]
Backend = Literal["onnx", "treelite", "sklearn"]

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
TWIN = "twin-"
"""How the names of the twin's files begin, which are otherwise those of the served model."""
ONNX = "model.onnx"
TREELITE = "model.treelite"
BEFORE, AFTER = "rows.onnx", "answers.onnx"
"""Beside treelite's trees, if they are needed: what makes their rows of ours, and what corrects their probabilities."""
SKOPS = "model.skops"


Unvalidated = GetPydanticSchema(lambda _source, handler: handler(dict[str, object]))
"""Any JSON object is read and written as it is: a manifest of another release may have other keys, and its sha256 vouches for it."""


class Twin(BaseModel):
    """The estimator of a version fitted without the held-out rows: what its scores are of, and what later versions are compared with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Backend
    input: Kind
    difference: float
    trained_rows: int


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
    """Rows in the revision; `trained_rows` of them taught the served model."""
    trained_rows: int
    data_schema: Schema
    backend: Backend
    input: Kind
    difference: float
    """Largest difference from scikit-learn on the rows of the revision, in the sense of PARITY."""
    files: dict[str, str]
    """File name to sha256."""
    twin: Twin | None = None
    """Whose the scores are if the served model was fitted once more, on the held-out rows as well; None: its own."""
    refit_problem: str = ""
    """Why the served model was not fitted on all rows although `train.refit` asks for it."""
    scores: Annotated[Scores, Unvalidated] = Field(default_factory=Scores)
    """`challenger` and `champion` on the same held-out rows, `importance` by feature, and more."""
    reason: str
    """Why the training started."""
    seed: int
    settings: dict[str, Any] = Field(default_factory=dict)
    """The `[train]` settings, with which the training can be repeated; empty in bundles of earlier times."""
    first_rows: int = 0
    """So many rows began the dataset: the held-out ones among them are the reference holdout."""
    libraries: dict[str, str]
    created: str

    @property
    def scored(self) -> str:
        """Whose the scores are, for people, where it is not simply the served model; empty where it is."""
        if self.twin is None:
            return self.refit_problem
        return f"scores are of its twin, fitted on {self.twin.trained_rows:,} rows without the held-out ones"


class Probe(TypedDict, total=False):
    """Rows (n, d) and what scikit-learn answers for them: (n, classes) probabilities or (n, 1) values; null is NaN."""

    rows: Required[list[list[float | None]]]
    probabilities: list[list[float]]
    values: list[list[float]]
    scale: float
    """The range of the values, by which differences are measured."""


class Summary(TypedDict):
    """What a bundle is, how it was trained, and whose the scores are; `files` None: they are not as recorded, `problem` says why."""

    sha256: str
    files: dict[str, str] | None
    problem: str | None
    seed: NotRequired[int]
    settings: NotRequired[Mapping[str, object]]
    libraries: NotRequired[dict[str, str]]
    backend: NotRequired[Backend]
    estimator: NotRequired[str]
    scored: NotRequired[str]


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


def answered(schema: Schema) -> Literal["values", "probabilities"]:
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


def summary(folder: Path, sha256: str) -> Summary:
    """A version's bundle for its lineage."""
    try:
        manifest = read_manifest(folder, sha256)
    except BundleRefused as error:
        return {"sha256": sha256, "files": None, "problem": str(error)}
    return {
        "sha256": sha256,
        "files": manifest.files,
        "seed": manifest.seed,
        "settings": manifest.settings,
        "libraries": manifest.libraries,
        "backend": manifest.backend,
        "estimator": manifest.estimator,
        "scored": manifest.scored,
        "problem": None,
    }


def cleared(folder: Path) -> bool:
    """Whether the files of a bundle have been removed, all but those of KEPT (`promote.keep_versions`)."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return MANIFEST in names and names <= KEPT


def load(folder: Path, sha256: str) -> Model:
    """Verify the files that serve against their sha256, load those very bytes, compare with the probe; raises BundleRefused.

    Those of the twin are not read: a version whose twin is damaged goes on serving. `load_judged` looks at these.
    """
    return _load(folder, sha256, "")


def load_judged(folder: Path, sha256: str) -> Model:
    """As `load`, but the model that the scores are of: the twin, if there is one, because the served model has seen every holdout.

    Its `manifest` is that of the version, whose settings and revision say which rows the twin was trained on.
    """
    return _load(folder, sha256, TWIN)


def _load(folder: Path, sha256: str, prefix: str) -> Model:
    manifest = read_manifest(folder, sha256)
    made: Twin | Manifest = manifest
    if prefix and manifest.twin is not None:
        made = manifest.twin
    else:
        prefix = ""
    files = _read(folder, manifest, prefix)
    try:
        model = Model(manifest, sha256, _backend(made.backend, made.input, files, manifest.data_schema))
        probe(model, orjson.loads(files[PROBE]))
    except BundleRefused:
        raise
    except Exception as error:
        raise BundleRefused(f"{folder}: the {made.backend} model does not load and predict: {error}") from error
    return model


def _backend(backend: Backend, kind: Kind, files: dict[str, bytes], schema: Schema) -> Callable[[Matrix], Matrix]:
    if backend == "onnx":
        return backends.onnx_model(files[ONNX], kind)
    if backend == "treelite":
        return backends.treelite_model(files[TREELITE], kind, schema, files.get(BEFORE), files.get(AFTER))
    return backends.skops_model(files[SKOPS], schema)


def _read(folder: Path, manifest: Manifest, prefix: str) -> dict[str, bytes]:
    """The files of the served model (`prefix` empty) or of its twin, by the names that both have; raises BundleRefused.

    Each is read once, so that what was verified is what is loaded. Those of the other one are not looked at.
    """
    files: dict[str, bytes] = {}
    for name, expected in manifest.files.items():
        if name.startswith(TWIN) != bool(prefix):
            continue
        try:
            files[name.removeprefix(prefix)] = data = (folder / Path(name).name).read_bytes()
        except OSError as error:
            raise BundleRefused(f"{folder} is not a readable bundle: {error}") from error
        if durable.sha256(data) != expected:
            raise BundleRefused(f"{folder / name} is not the file that was recorded ({expected[:12]}…).")
    return files


def probe(model: Model, expected: Probe) -> None:
    """Predict the probe rows and compare with scikit-learn's stored answers; raises BundleRefused."""
    rows = np.array(expected["rows"], dtype=np.float64)  # null is NaN
    answered_with = answered(model.manifest.data_schema)
    expected_answers = np.array(expected[answered_with], dtype=np.float64)
    got = model.answers(rows)
    if got.shape != expected_answers.shape or not np.isfinite(got).all():
        raise BundleRefused(
            f"The probe gave {got.shape} {answered_with}, some maybe not finite; expected {expected_answers.shape}."
        )
    difference = float(np.abs(got - expected_answers).max()) / expected.get("scale", 1.0)
    if difference > PARITY or (named(got, model.costs) != named(expected_answers, model.costs)).any():
        raise BundleRefused(f"The probe differs from scikit-learn by {difference:.2g}; allowed is {PARITY:g}.")
