"""The manifest of a bundle: its files and their origin; and the pointer to the served bundle.

Shared with `web` and the commands. It needs no numpy, so commands that only read records do not wait for its import.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import orjson
from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, ValidationError

from retraind.daemon.core import durable
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.schema.column import is_nothing
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.scores import Scores

Backend = Literal["onnx", "treelite", "sklearn"]
Kind = Literal["float32", "float64"]
"""The type of the rows that a backend is given."""

MODEL = "retraind"
"""Name of the model, in the registry and in the paths of the protocols that name one."""

MANIFEST = "manifest.json"
REMEMBERED = "remembered.npz"
EVALUATION = "evaluation.json"
KEPT = frozenset({MANIFEST, REMEMBERED, EVALUATION})
"""Files that stay when a version is cleared: later versions are measured against its answers, and people look up how
it scored."""
PROBE = "probe.json"
TWIN = "twin-"
"""Prefix of the judged model's files; the rest of each name is that of the served model's file."""
ONNX = "model.onnx"
TREELITE = "model.treelite"
BEFORE, AFTER = "rows.onnx", "answers.onnx"
"""Graphs beside treelite's trees, if needed: one prepares their rows, one corrects their probabilities."""
SKOPS = "model.skops"
LINEAR = "linear.json"
"""A linear model as data, beside its graph; it answers instead of the graph (`daemon/artifacts/linear_model.py`)."""


Unvalidated = GetPydanticSchema(lambda _source, handler: handler(dict[str, object]))
"""Any JSON object is read and written unchanged: a manifest of another release may have other keys, and its sha256
vouches for it."""


class Twin(BaseModel):
    """A version's estimator fitted without the held-out rows. It is scored, and compared with later versions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Backend
    input: Kind
    difference: float
    trained_rows: int


class Manifest(BaseModel):
    """The content and origin of a bundle; the journal and the pointer hold the sha256 of the manifest itself."""

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
    """Rows in the revision; `trained_rows` of them trained the served model."""
    trained_rows: int
    data_schema: Schema
    backend: Backend
    input: Kind
    difference: float
    """Largest difference from scikit-learn on the rows of the revision, in the sense of PARITY."""
    files: dict[str, str]
    """File name to sha256."""
    twin: Twin | None = None
    """The scored model, if the served one was fitted again on the held-out rows as well; None: the served model was
    scored."""
    refit_problem: str = ""
    """Why the served model was not fitted on all rows although `train.refit` asks for it."""
    scores: Annotated[Scores, Unvalidated] = Field(default_factory=Scores)
    """`challenger` and `champion` on the same held-out rows, `importance` by feature, and more."""
    reason: str
    """Why the training started."""
    seed: int
    settings: dict[str, Any] = Field(default_factory=dict)
    """The `[train]` settings, with which the training can be repeated; empty in bundles of earlier releases."""
    first_rows: int = 0
    """Number of rows in the first revision; the held-out ones among them are the reference holdout."""
    early_rows: int = Field(default=0, exclude_if=is_nothing)
    """Number of rows accepted next that belong to the reference as well, because the first revision is small."""
    libraries: dict[str, str]
    created: str

    @property
    def compared_rows(self) -> int:
        """The number of training rows on which the candidates were compared."""
        judged = self.trained_rows if self.twin is None else self.twin.trained_rows
        return self.scores.get("compared_rows", judged)

    @property
    def scored(self) -> str:
        """A note for people on which model was scored, if it is not simply the served one; otherwise empty."""
        if self.twin is None:
            return self.refit_problem
        return f"scores are of its judged model, fitted on {self.twin.trained_rows:,} rows without the held-out ones"


class Summary(TypedDict):
    """A bundle's content and training, and which model was scored.

    `files` is None if they differ from the record; `problem` says why.
    """

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
    """`champion.json` names the bundle to serve, by version and sha256 of its manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    manifest: str
    since: str
    """UTC, ISO 8601: when the version became the served one."""


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
    """Whether all files of a bundle except those in KEPT have been removed (`promote.keep_versions`)."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return MANIFEST in names and names <= KEPT
