"""Small real bundles for tests, in double, as ONNX: softmax(X·W + b) over four columns, and a sum over five kinds."""

from contextlib import closing
from typing import Any

import numpy as np
import onnx
import orjson
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from retraind.daemon.artifacts import bundle, reference_sample
from retraind.daemon.artifacts.bundle import Manifest, Pointer
from retraind.daemon.artifacts.linear_model import Form
from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import VersionState
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal

Array = NDArray[np.float64]

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
CLASSES = ["setosa", "versicolor", "virginica"]
SCHEMA = Schema(target="species", classes=CLASSES, columns=[Column(name=name, kind="number") for name in NAMES])
SETOSA = [5.1, 3.5, 1.4, 0.2]
WEIGHTS = np.array([[0.4, 0.1, -0.5], [1.0, -0.2, -0.8], [-2.0, 0.3, 1.7], [-0.9, -0.4, 1.3]])


PRICES = Schema(
    task="regression",
    target="price",
    columns=[
        Column(name="size", kind="number", minimum=20.0, maximum=200.0),
        Column(name="rooms", kind="integer", minimum=1, maximum=8),
        Column(name="garden", kind="boolean"),
        Column(name="built", kind="date", missing=True, minimum=10957.0, maximum=20454.5),
        Column(name="town", kind="category", categories=["Aachen", "Zürich"]),
    ],
)
HOUSE: list[float | bool | str] = [100.0, 4, True, "2026-01-31", "Zürich"]
HOUSE_PRICE = 100.0 * 2 + 4 * 10 + 5 + 20484 * 0.01 + 50


def make(
    home: Home, version: int, favourite: int = 0, scores: dict[str, Any] | None = None, *, linear: bool = False
) -> Pointer:
    """Seal a bundle whose bias favours one class, and which has these scores; returns what the pointer would say.

    `linear`: the same model is there as data, too.
    """
    bias = np.zeros(3)
    bias[favourite] = 20.0
    rows = np.array([SETOSA, [6.0, 2.9, 4.5, 1.5], [6.9, 3.1, 5.4, 2.1]])
    weighed = np.exp(rows @ WEIGHTS + bias)
    answers = weighed / weighed.sum(axis=1, keepdims=True)
    return _seal(home, version, SCHEMA, _graph(bias), rows, answers, scores, _form(bias) if linear else None)


def add_twin(home: Home, version: int) -> str:
    """Give a bundle a twin, which is the same model, on 100 rows; returns its new sha256."""
    folder = home.bundle(version)
    manifest = Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
    for name in manifest.files:
        (folder / f"{bundle.TWIN}{name}").write_bytes((folder / name).read_bytes())
    files = manifest.files | {f"{bundle.TWIN}{name}": sha256 for name, sha256 in manifest.files.items()}
    twin = bundle.Twin(backend=manifest.backend, input=manifest.input, difference=0.0, trained_rows=100)
    return bundle.seal(folder, manifest.model_copy(update={"files": files, "twin": twin}))


def with_sample(home: Home, pointer: Pointer) -> Pointer:
    """Give a bundle a sample of training rows, as those of trainings have; returns what the pointer would say."""
    folder = home.bundle(pointer.version)
    rows = np.array(orjson.loads((folder / bundle.PROBE).read_bytes())["rows"], dtype=np.float64)
    files = reference_sample.write(folder, rows, rows, bundle.load(folder, pointer.manifest).answers, 0)
    manifest = Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
    sealed = bundle.seal(folder, manifest.model_copy(update={"files": manifest.files | files}))
    return pointer.model_copy(update={"manifest": sealed})


def make_prices(home: Home, version: int, schema: Schema = PRICES) -> Pointer:
    """Seal a bundle of a regression, with columns of these kinds; returns what the pointer would say."""
    weights = np.array([[2.0], [10.0], [5.0], [0.01], [50.0]])
    rows = np.array([encode(schema, HOUSE), [30.0, 1.0, 0.0, 12000.0, 0.0]])
    return _seal(home, version, schema, _sum(weights), rows, rows @ weights)


def _seal(
    home: Home,
    version: int,
    schema: Schema,
    graph: onnx.ModelProto,
    rows: Array,
    answers: Array,
    scores: dict[str, Any] | None = None,
    form: Form | None = None,
) -> Pointer:
    folder = home.bundle(version)
    folder.mkdir(parents=True)
    names = [bundle.ONNX, bundle.PROBE]
    if form is not None:
        (folder / bundle.LINEAR).write_text(form.model_dump_json())
        names.append(bundle.LINEAR)
    (folder / bundle.ONNX).write_bytes(graph.SerializeToString())
    probe = {"rows": rows.tolist(), bundle.answered(schema): answers.tolist()}
    (folder / bundle.PROBE).write_bytes(orjson.dumps(probe))
    manifest = Manifest(
        run=f"{version:032x}",
        candidate="logistic",
        estimator="LogisticRegression",
        revision="a" * 40,
        dvc_md5="b" * 32,
        rows=150,
        trained_rows=120,
        data_schema=schema,
        backend="onnx",
        input="float64",
        difference=0.0,
        files={name: durable.sha256_file(folder / name) for name in names},
        scores=scores or {},
        reason="test",
        seed=42,
        libraries={},
        created="2026-01-01T00:00:00.000Z",
    )
    return Pointer(version=version, manifest=bundle.seal(folder, manifest), since="2026-01-01T00:00:00.000Z")


def point(home: Home, pointer: Pointer) -> None:
    """Make it the version to serve, as the daemon does: the journal's row first, then the pointer."""
    record(home, pointer)
    durable.write(home.pointer, pointer.model_dump_json().encode())


def record(home: Home, pointer: Pointer, state: str = "promoted") -> None:
    """Write the journal's row of a version; this takes one event, too."""
    facts: Any = dict.fromkeys(("mlflow_run", "revision", "dvc_md5", "trigger"), "test")
    row: Any = {**facts, "candidate": "logistic", "backend": "onnx", "rows": 150, "trained_rows": 120, "scores": "{}"}
    with closing(Journal.open(home.journal)) as journal:
        journal.versions.judge(
            row | {"version": pointer.version, "bundle": pointer.manifest}, VersionState(state), "For a test."
        )


def _form(bias: Array) -> Form:
    return Form(
        width=4,
        numbers=[0, 1, 2, 3],
        means=[0.0] * 4,
        scales=[1.0] * 4,
        fills=False,
        weights=WEIGHTS.T.tolist(),
        intercepts=bias.tolist(),
        link="softmax",
    )


def _sum(weights: Array) -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("IsNaN", ["X"], ["missing"]),
            helper.make_node("Where", ["missing", "nothing", "X"], ["known"]),
            helper.make_node("MatMul", ["known", "W"], ["values"]),
        ],
        "sum",
        [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, len(weights)])],
        [helper.make_tensor_value_info("values", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(weights, "W"), numpy_helper.from_array(np.zeros(1), "nothing")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _graph(bias: Array) -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["X", "W"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "softmax",
        [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, 4])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, [None, 3]),
        ],
        [numpy_helper.from_array(WEIGHTS, "W"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
