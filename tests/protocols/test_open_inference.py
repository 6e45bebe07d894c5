"""retraind.web.protocols.open_inference: models, metadata and inference by the Open Inference Protocol V2."""

import json
from pathlib import Path
from typing import Any

import bundles
import logged
import pytest
from sites import Client, Site
from tensor_requests import HOUSE, MATRIX, ROWS, column, infer, outputs

from retraind.daemon.core.home import Home


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
