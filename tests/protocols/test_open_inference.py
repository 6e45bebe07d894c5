"""web.protocols.open_inference and web.protocols.tensors: the Open Inference Protocol V2."""

import json
import struct
from pathlib import Path
from typing import Any

import bundles
import logged
import numpy as np
import pytest
from example_counts import some
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from numpy.typing import NDArray
from sites import Client, Site

from daemon.core.errors import InvalidFeatures
from daemon.core.home import Home
from daemon.schema.column import Column
from daemon.schema.schema import Schema
from web.http.payload import MOST_ROWS
from web.protocols import tensors

INFER = "/v2/models/retraind/infer"
ROWS = [bundles.SETOSA, [6.9, 3.1, 5.4, 2.1]]
FLAT = [value for row in ROWS for value in row]
MATRIX = {"name": "x", "shape": [2, 4], "datatype": "FP64", "data": FLAT}


def infer(client: Client, request: Any, tail: bytes = b"", path: str = INFER) -> tuple[int, dict[str, Any], bytes]:
    """Status, JSON and what follows it."""
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    length = {"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": str(len(text))} if tail else {}
    status, headers, body = client.ask("POST", path, text + tail, CONTENT_TYPE="", **length)
    end = int(headers.get("inference-header-content-length", len(body)))
    assert headers["content-type"] == ("application/octet-stream" if end < len(body) else "application/json")
    return status, json.loads(body[:end]), body[end:]


def outputs(answer: dict[str, Any]) -> dict[str, Any]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def column(name: str, datatype: str, data: list[Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data, **more}


HOUSE = [
    column("size", "FP64", [100.0]),
    column("rooms", "INT32", [4]),
    column("garden", "BOOL", [True]),
    column("built", "BYTES", ["2026-01-31"], parameters={"content_type": "datetime"}),
    column("town", "BYTES", ["Zürich"], parameters={"content_type": "str"}),
]


@pytest.mark.parametrize(
    "inputs",
    [
        [MATRIX],
        [{**MATRIX, "data": ROWS}],
        [{**MATRIX, "datatype": "FP32"}],
        [column(name, "FP64", [row[place] for row in ROWS]) for place, name in enumerate(bundles.NAMES)],
        [
            {**column(name, "FP64", [row[place] for row in ROWS]), "shape": [2, 1]}
            for place, name in reversed([*enumerate(bundles.NAMES)])
        ],
    ],
)
def test_rows_come_as_a_matrix_or_by_columns(flowers: Client, inputs: list[Any]) -> None:
    status, answer, _ = infer(flowers, {"id": "mine", "parameters": {"content_type": "pd"}, "inputs": inputs})
    assert (status, answer["id"], answer["model_name"], answer["model_version"]) == (200, "mine", "retraind", "1")
    assert [(one["name"], one["shape"], one["datatype"]) for one in answer["outputs"]] == [
        ("predict", [2], "BYTES"),
        ("prediction_id", [2], "BYTES"),
    ]
    assert outputs(answer)["predict"] == ["setosa", "setosa"]


def test_outputs_come_as_they_are_asked_for(flowers: Client) -> None:
    names = ["prediction_id", "predict_code", "predict_proba", "predict"]
    status, answer, _ = infer(flowers, {"inputs": [MATRIX], "outputs": [{"name": name} for name in names]})
    assert (status, [one["name"] for one in answer["outputs"]]) == (200, names)
    tensors_by_name = outputs(answer)
    assert (tensors_by_name["predict"], tensors_by_name["predict_code"]) == (["setosa"] * 2, [0, 0])
    assert answer["outputs"][2]["shape"] == [2, 3]
    assert [sum(tensors_by_name["predict_proba"][at : at + 3]) for at in (0, 3)] == pytest.approx([1, 1])
    ids = {row["prediction_id"] for row in logged.predictions(flowers.worker.home)}
    assert ids >= set(tensors_by_name["prediction_id"])


def test_columns_of_every_kind(prices: Client) -> None:
    status, answer, _ = infer(prices, {"inputs": HOUSE})
    assert (status, outputs(answer)["predict"]) == (200, [pytest.approx(bundles.HOUSE_PRICE)])
    assert answer["outputs"][0]["datatype"] == "FP64"


def test_metadata_names_columns_types_and_outputs(flowers: Client, prices: Client) -> None:
    for path in ("/v2/models/retraind", "/v2/models/retraind/versions/1"):
        answer = json.loads(flowers.ask("GET", path)[2])
        assert answer["versions"] == ["1"]
        assert answer["inputs"] == [{"name": name, "datatype": "FP64", "shape": [-1]} for name in bundles.NAMES]
        assert [(one["name"], one["shape"]) for one in answer["outputs"]] == [
            ("predict", [-1]),
            ("predict_proba", [-1, 3]),
            ("predict_code", [-1]),
            ("prediction_id", [-1]),
        ]
    answer = json.loads(prices.ask("GET", "/v2/models/retraind")[2])
    assert [one["datatype"] for one in answer["inputs"]] == ["FP64", "INT64", "BOOL", "BYTES", "BYTES"]
    assert [one["name"] for one in answer["outputs"]] == ["predict", "prediction_id"]


def test_an_empty_server_lives_and_is_not_ready(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    empty = Client(home)
    assert empty.ask("GET", "/v2/health/live")[::2] == (200, b'{"live":true}')
    status, _, body = empty.ask("GET", "/v2/health/ready")
    assert (status, json.loads(body)["ready"]) == (503, False)
    assert empty.ask("POST", "/v2/repository/index")[::2] == (200, b"[]")
    for path in ("/v2/models/retraind", "/v2/models/retraind/ready"):
        status, _, body = empty.ask("GET", path)
        assert (status, json.loads(body)) == (
            503,
            {
                "error": "No model is loaded. No version has been promoted yet, or it can't be loaded; GET /health has the reason."
            },
        )
    assert infer(empty, {"inputs": [MATRIX]})[0] == 503


def test_another_version_answers_where_the_path_names_it(own: Site) -> None:
    bundles.record(own.home, bundles.make(own.home, 2, favourite=2))
    status, answer = own.post("/v2/models/retraind/versions/2/infer", {"inputs": [MATRIX]})
    assert (status, answer["model_version"], answer["outputs"][0]["data"]) == (200, "2", ["virginica"] * 2)
    assert own.get("/v2/models/retraind")[1]["versions"] == ["1", "2"]
    assert own.get("/v2/models/retraind/versions/2")[1]["versions"] == ["2"]
    assert [one["version"] for one in own.post("/v2/repository/index", b"")[1]] == ["1", "2"]
    status, answer = own.post("/v1/models/retraind/versions/2:predict", {"instances": ROWS})
    assert (status, answer["predictions"], answer["model_version"]) == (200, ["virginica"] * 2, 2)
    status, answer = own.post("/invocations?version=2", {"inputs": ROWS})
    assert (status, answer["predictions"], answer["model_version"]) == (200, ["virginica"] * 2, 2)
    for path in (
        "/v2/models/retraind/versions/3/infer",
        "/v1/models/retraind/versions/3:predict",
        "/invocations?version=3",
    ):
        status, answer = own.post(path, {"inputs": [MATRIX]})
        assert (status, bool(set(answer) & {"error", "message"})) == (404, True)


# Binary tensors


def packed(texts: list[str]) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def binary(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


@pytest.mark.parametrize(
    ("datatype", "code"), [("FP64", "<f8"), ("FP32", "<f4"), ("FP16", "<f2"), ("INT64", "<i8"), ("UINT8", "u1")]
)
def test_numbers_come_in_binary(flowers: Client, datatype: str, code: str) -> None:
    tail = np.array(ROWS).astype(code).tobytes()
    status, answer, rest = infer(flowers, {"inputs": [binary("x", datatype, [2, 4], len(tail))]}, tail)
    assert (status, len(outputs(answer)["predict"]), rest) == (200, 2, b"")


def test_every_kind_comes_and_goes_in_binary(prices: Client) -> None:
    parts = [
        np.array([100.0]).tobytes(),
        np.array([4], "<i8").tobytes(),
        b"\x01",
        packed(["2026-01-31"]),
        packed(["Zürich"]),
    ]
    kinds = ["FP64", "INT64", "BOOL", "BYTES", "BYTES"]
    inputs = [
        binary(name, kind, [1], len(part))
        for name, kind, part in zip(bundles.PRICES.features, kinds, parts, strict=True)
    ]
    # One of them may be JSON nevertheless.
    inputs[1] = HOUSE[1]
    request = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    status, answer, rest = infer(prices, request, b"".join(parts[:1] + parts[2:]))
    assert status == 200
    sizes = [one["parameters"]["binary_data_size"] for one in answer["outputs"]]
    assert np.frombuffer(rest[: sizes[0]], "<f8") == pytest.approx(bundles.HOUSE_PRICE)
    assert rest[sizes[0] :] == packed([rest[sizes[0] + 4 :].decode()])


def test_one_output_may_be_binary_and_another_not(flowers: Client) -> None:
    requested = [{"name": "predict"}, {"name": "predict_proba", "parameters": {"binary_data": True}}]
    status, answer, rest = infer(flowers, {"inputs": [MATRIX], "outputs": requested})
    labels, shares = answer["outputs"]
    assert (status, labels["data"], "data" in shares, len(rest)) == (200, ["setosa", "setosa"], False, 48)
    assert np.frombuffer(rest, "<f8").reshape(2, 3).sum(axis=1) == pytest.approx([1, 1])


def test_classification_gives_the_likeliest_classes(flowers: Client) -> None:
    requested = [{"name": "predict_proba", "parameters": {"classification": 2}}]
    _, answer, _ = infer(flowers, {"inputs": [MATRIX], "outputs": requested})
    assert answer["outputs"][0]["shape"] == [2, 2]
    assert [text.split(":")[1:] for text in answer["outputs"][0]["data"]] == [
        ["0", "setosa"],
        ["1", "versicolor"],
        ["0", "setosa"],
        ["2", "virginica"],
    ]


GAPS = Schema(
    task="regression",
    target="y",
    columns=[Column(name="x", kind="number", missing=True), Column(name="c", kind="category", missing=True)],
)


def test_null_and_nan_are_missing_values() -> None:
    declared = [
        tensors.Tensor(name="x", shape=[2], datatype="FP32", parameters={"binary_data_size": 8}),
        tensors.Tensor(name="c", shape=[2], datatype="BYTES", data=[None, "a"]),
    ]
    matrix = tensors.read(GAPS, declared, memoryview(np.array([np.nan, 1], "<f4").tobytes()))
    assert matrix.values == [[None, None], [1.0, "a"]]
    declared[0] = tensors.Tensor(name="x", shape=[2], datatype="FP64", data=[None, 1])
    assert tensors.read(GAPS, declared, memoryview(b"")).values == [[None, None], [1, "a"]]


MAYBE = Schema(
    task="regression",
    target="y",
    columns=[Column(name="b", kind="boolean", missing=True), Column(name="i", kind="integer", missing=True)],
)
"""Kinds whose data types, BOOL and INT64, have no number for a missing value."""


@pytest.mark.parametrize(
    ("datatypes", "data"),
    [
        (("BOOL", "INT64"), ([True, False, None], [4, 0, None])),
        (("UINT8", "UINT64"), ([1, 0, None], [4, 0, None])),
        (("FP64", "FP64"), ([1.0, 0.0, None], [4.0, 0.0, None])),
    ],
)
def test_booleans_and_whole_numbers_may_be_missing_in_any_data_type(
    datatypes: tuple[str, str], data: tuple[list[Any], list[Any]]
) -> None:
    """By column, as in a matrix; booleans are 0 and 1 where the data type is a number's."""
    given_ = [
        tensors.Tensor(name=name, shape=[3], datatype=datatype, data=values)
        for name, datatype, values in zip("bi", datatypes, data, strict=True)
    ]
    matrix = tensors.read(MAYBE, given_, memoryview(b""))
    assert matrix.values == [[True, 4], [False, 0], [None, None]]
    assert [type(row[0]) for row in matrix.values] == [bool, bool, type(None)], "the log keeps what /predict takes"
    assert np.array_equal(matrix.matrix, np.array([[1, 4], [0, 0], [np.nan, np.nan]]), equal_nan=True)


def test_booleans_and_whole_numbers_are_nan_where_missing_in_binary() -> None:
    given_ = [
        tensors.Tensor(name=name, shape=[3], datatype="FP64", parameters={"binary_data_size": 24}) for name in "bi"
    ]
    tail = np.array([1, 0, np.nan, 4, 0, np.nan]).tobytes()
    assert tensors.read(MAYBE, given_, memoryview(tail)).values == [[True, 4], [False, 0], [None, None]]


@pytest.mark.parametrize(("datatype", "data"), [("BOOL", [True, None]), ("INT64", [1, None]), ("UINT8", [0, None])])
def test_a_matrix_of_whole_numbers_or_booleans_has_no_missing_values(datatype: str, data: list[Any]) -> None:
    matrix = tensors.Tensor(name="x", shape=[1, 2], datatype=datatype, data=data)
    with pytest.raises(InvalidFeatures, match=f"has a null, which a matrix of {datatype} can't hold; send FP64"):
        tensors.read(MAYBE, [matrix], memoryview(b""))


# What is wrong


def wrong(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**MATRIX, **changes}]}


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "not valid"),
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": [MATRIX], "id": 7}, "id"),
        ({"inputs": [MATRIX], "parameters": []}, "parameters"),
        ({"inputs": [MATRIX], "parameters": {"binary_data_output": 1}}, "true or false"),
        (wrong(name=""), "name"),
        (wrong(shape=[]), "shape"),
        (wrong(shape=[2, 4, 1]), "shape"),
        (wrong(shape=[-2, -4]), "shape"),
        (wrong(shape=[2.0, 4]), "shape"),
        (wrong(shape=[True, 8]), "shape"),
        (wrong(shape="24"), "shape"),
        (wrong(shape=[2**62, 2**62]), "shape"),
        (wrong(shape=[10**30, 4]), "shape"),
        (wrong(shape=[2**32, 4], data=[]), "0 values and the shape"),
        (wrong(shape=[MOST_ROWS + 1, 4]), "8 values and the shape"),
        (wrong(shape=[4, 2]), "takes [n, 4]"),
        (wrong(shape=[8]), "no column 'x'"),
        (wrong(shape=[0, 4], data=[]), "no rows"),
        (wrong(data=FLAT[:7]), "7 values and the shape [2, 4]"),
        (wrong(data=[ROWS[0], ROWS[1][:3]]), "nested data"),
        (wrong(data=[ROWS[0], 3]), "nested data"),
        (wrong(data=[[ROWS]]), "nested data"),
        (wrong(data="AAAA"), "data"),
        (wrong(data=None), "neither 'data'"),
        (wrong(data=[*FLAT[:7], True]), "another type than FP64"),
        (wrong(data=[*FLAT[:7], "1"]), "another type than FP64"),
        (wrong(data=[*FLAT[:7], {}]), "another type than FP64"),
        (wrong(data=[*FLAT[:7], None]), "must not be null"),
        (wrong(datatype="FP16", data=[*FLAT[:7], 1e6]), "outside the range of FP16"),
        (wrong(datatype="INT64"), "another type than INT64"),
        (wrong(datatype="UINT8", data=[-1] * 8), "outside the range of UINT8"),
        (wrong(datatype="INT8", data=[128] * 8), "outside the range of INT8"),
        (wrong(datatype="BOOL", data=[1] * 8), "another type than BOOL"),
        (wrong(datatype="BYTES"), "another type than BYTES"),
        (wrong(datatype="BYTES", data=["1"] * 8), "is a number"),
        (wrong(datatype="FP8"), "datatype 'FP8'"),
        (wrong(datatype=None), "datatype"),
        (wrong(parameters={"content_type": "base64"}), "content type 'base64'"),
        (wrong(parameters={"content_type": ["x"]}), "content type"),
        (wrong(parameters={"binary_data_size": 0}), "binary_data_size"),
        ({"inputs": [column("sepal_width", "FP64", [1.0])] * 2}, "twice"),
        ({"inputs": [column("sepal_length", "INT64", [None])]}, "'sepal_width' is missing"),
        ({"inputs": [column(name, "UINT8", [None]) for name in bundles.NAMES]}, "'sepal_length' must not be null"),
        ({"inputs": [MATRIX, {**MATRIX, "name": "y"}]}, "a column has [n]"),
        ({"inputs": HOUSE[:1]}, "no column 'size'"),
        ({"inputs": [column(bundles.NAMES[0], "FP64", [1.0])]}, "'sepal_width' is missing"),
        ({"inputs": [MATRIX], "outputs": [{"name": "logits"}]}, "no output 'logits'"),
        ({"inputs": [MATRIX], "outputs": [{"name": "predict"}] * 2}, "twice"),
        ({"inputs": [MATRIX], "outputs": [{}]}, "name"),
        ({"inputs": [MATRIX], "outputs": [{"name": "predict", "parameters": {"binary_data": "yes"}}]}, "true or false"),
        ({"inputs": [MATRIX], "outputs": [{"name": "predict", "parameters": {"classification": 2}}]}, "no classes"),
        ({"inputs": [MATRIX], "outputs": [{"name": "predict_proba", "parameters": {"classification": -1}}]}, "number"),
    ],
)
def test_errors_have_the_form_of_the_protocol(flowers: Client, request_: Any, complaint: str) -> None:
    before = flowers.worker.log.written
    status, answer, _ = infer(flowers, request_)
    assert (status, set(answer)) == (400, {"error"})
    assert complaint in answer["error"]
    assert flowers.worker.log.written == before


NUMBERS = np.array(ROWS).tobytes()


@pytest.mark.parametrize(
    ("inputs", "tail", "complaint"),
    [
        ([binary("x", "FP64", [2, 4], 63)], NUMBERS, "63 bytes; 8 values of FP64 are 64"),
        ([binary("x", "FP64", [2, 4], 64)], NUMBERS + b"x", "1 bytes after the tensors"),
        ([binary("x", "FP64", [2, 4], 65)], NUMBERS, "64 bytes are left"),
        ([binary("x", "FP64", [2, 4], -1)], NUMBERS, "binary_data_size"),
        ([binary("x", "FP64", [2, 4], 2**70)], NUMBERS, "binary_data_size"),
        ([binary("x", "FP64", [2**40, 2**40], 64)], NUMBERS, "values of FP64 are"),
        ([binary("x", "FP32", [2, 4], 64)], NUMBERS, "are 32"),
        ([{**binary("x", "FP64", [2, 4], 64), "data": FLAT}], NUMBERS, "binary_data_size"),
        ([{**MATRIX, "parameters": {"binary_data_size": True}}], NUMBERS, "binary_data_size"),
        ([MATRIX], NUMBERS, "64 bytes after the tensors"),
        ([binary("x", "FP64", [1, 4], 32)], np.array([np.inf, 1, 1, 1]).tobytes(), "between"),
        ([binary("x", "BYTES", [1, 4], 8)], b"\xff" * 8, "after its length"),
        ([binary("x", "BYTES", [1, 4], 20)], packed(["\xff", "1", "1", "1"])[:20], "after its length"),
        ([binary("x", "BYTES", [1, 4], 5)], b"\x01\0\0\0\xff", "not UTF-8"),
        ([binary("x", "BYTES", [1, 4], 20)], packed(["1"] * 4), "is a number"),
        ([binary("x", "BYTES", [1, 4], 25)], packed(["1"] * 5), "after its length"),
    ],
)
def test_wrong_binary_tensors_are_the_clients_fault(flowers: Client, inputs: Any, tail: bytes, complaint: str) -> None:
    status, answer, _ = infer(flowers, {"inputs": inputs}, tail)
    assert (status, set(answer)) == (400, {"error"})
    assert complaint in answer["error"]


@pytest.mark.parametrize("length", ["-1", "x", "1e2", "99999", "9" * 30, "²"])
def test_a_wrong_length_of_the_json_is_refused(flowers: Client, length: str) -> None:
    status, _, body = flowers.ask("POST", INFER, b"{}", HTTP_INFERENCE_HEADER_CONTENT_LENGTH=length)
    assert (status, "Inference-Header-Content-Length" in json.loads(body)["error"]) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/retraind/versions/x/ready", 404),
        ("GET", "/v2/models/retraind/versions/0", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/retraind/versions/7.0/infer", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/retraind/infer", 405),
        ("PUT", "/v2", 405),
    ],
)
def test_paths_that_lead_nowhere_tell_so_in_the_protocols_shape(
    flowers: Client, method: str, path: str, status: int
) -> None:
    answered, headers, body = flowers.ask(method, path, json.dumps({"inputs": [MATRIX]}).encode())
    assert (answered, headers["content-type"], set(json.loads(body))) == (status, "application/json", {"error"})


# Anything at all


NAMES = st.sampled_from([*bundles.PRICES.features, "x"])
DATATYPES = st.sampled_from([*tensors.JSON_TYPES, "FP8"])
SHAPES = st.lists(st.sampled_from([0, 1, 2, 4, 5, -1, 2**40]), max_size=3)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
TENSORS = st.fixed_dictionaries(
    {"name": NAMES, "shape": SHAPES, "datatype": DATATYPES},
    optional={
        "data": st.lists(SCALARS | st.lists(SCALARS, max_size=5), max_size=6),
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "content_type"]), st.integers(-1, 50) | SCALARS, max_size=2
        ),
    },
)


@profile(deadline=None, max_examples=some(120))
@given(inputs=st.lists(TENSORS, min_size=1, max_size=5), tail=st.binary(max_size=50))
def test_no_tensors_break_inference(inputs: list[Any], tail: bytes) -> None:
    try:
        given_ = [tensors.Tensor.model_validate(tensor) for tensor in inputs]
        matrix = tensors.read(bundles.PRICES, given_, memoryview(tail))
    except (InvalidFeatures, ValueError) as error:
        assert str(error)
    else:
        assert matrix.matrix.shape[1] == 5


@given(
    rows=st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4), min_size=1
    )
)
def test_json_and_binary_mean_the_same(rows: list[list[float]]) -> None:
    def read(**more: Any) -> NDArray[np.float64]:
        tensor = tensors.Tensor(name="x", shape=[len(rows), 4], datatype="FP32", **more)
        return tensors.read(bundles.SCHEMA, [tensor], memoryview(tail if "parameters" in more else b"")).matrix

    tail = np.array(rows, "<f4").tobytes()
    expected = np.array(rows)
    assert (read(parameters={"binary_data_size": len(tail)}) == expected).all()
    assert (read(data=rows) == expected).all()
