"""retraind.web.protocols.tfserving: TensorFlow Serving's REST API and KServe's V1 protocol."""

import json
from pathlib import Path
from typing import Any

import bundles
import pytest
from sites import Client

from retraind.daemon.core.home import Home

MODEL = "/v1/models/retraind"
ROW = bundles.SETOSA
NAMED = dict(zip(bundles.NAMES, ROW, strict=True))


def post(client: Client, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, headers, answer = client.ask("POST", path, text, CONTENT_TYPE="")
    assert headers["content-type"] == "application/json"
    return status, json.loads(answer)


def get(client: Client, path: str) -> tuple[int, dict[str, Any]]:
    status, _, answer = client.ask("GET", path)
    return status, json.loads(answer)


@pytest.mark.parametrize("where", ["", "/versions/1", "/labels/champion"])
@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"instances": [ROW]}, "predictions"),
        ({"instances": [NAMED], "signature_name": "serving_default"}, "predictions"),
        ({"inputs": {name: [value] for name, value in NAMED.items()}}, "outputs"),
        ({"inputs": [ROW], "signature_name": ""}, "outputs"),
        (b'{"inputs":[[5.1,3.5,1.4,0.2]],"signature_name":"predict"}', "outputs"),
    ],
)
def test_rows_give_predictions_and_columns_give_outputs(flowers: Client, where: str, body: Any, key: str) -> None:
    status, answer = post(flowers, f"{MODEL}{where}:predict", body)
    assert (status, answer[key], answer["model_version"]) == (200, ["setosa"], 1)
    assert set(answer) == {key, "model_version", "prediction_ids"}


def test_a_signature_gives_probabilities(flowers: Client) -> None:
    _, answer = post(flowers, f"{MODEL}:predict", {"instances": [ROW], "signature_name": "predict_proba"})
    assert sum(answer["predictions"][0]) == pytest.approx(1)


def test_classify_names_every_class_with_its_probability(flowers: Client) -> None:
    petals = {name: NAMED[name] for name in bundles.NAMES[2:]}
    sepals = {name: NAMED[name] for name in bundles.NAMES[:2]}
    status, answer = post(flowers, f"{MODEL}:classify", {"examples": [petals, petals], "context": sepals})
    assert (status, answer["result"]) == (200, answer["results"])
    assert [label for label, _ in answer["result"][1]] == ["setosa", "versicolor", "virginica"]


def test_regress_gives_a_number_for_each_example(prices: Client) -> None:
    example = dict(zip(bundles.PRICES.features, bundles.HOUSE, strict=True))
    status, answer = post(prices, f"{MODEL}:regress", {"examples": [example]})
    assert (status, answer["results"]) == (200, [pytest.approx(bundles.HOUSE_PRICE)])
    assert post(prices, f"{MODEL}:classify", {"examples": [example]})[0] == 400


@pytest.mark.parametrize("where", ["", "/versions/1", "/labels/champion"])
def test_the_status_is_that_of_both_protocols(flowers: Client, where: str) -> None:
    status, answer = get(flowers, MODEL + where)
    assert (status, answer["name"], answer["ready"]) == (200, "retraind", True)
    available = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert answer["model_version_status"] == [available]
    assert get(flowers, "/v1/models") == (200, {"models": ["retraind"]})


def test_metadata_are_signatures(flowers: Client, prices: Client) -> None:
    status, answer = get(flowers, f"{MODEL}/metadata")
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert (status, answer["model_spec"]["version"], set(signatures)) == (
        200,
        "1",
        {"serving_default", "predict_proba"},
    )
    assert list(signatures["serving_default"]["inputs"]) == bundles.NAMES
    assert signatures["predict_proba"]["outputs"]["predictions"]["tensor_shape"]["dim"][1]["size"] == "3"
    signatures = get(prices, f"{MODEL}/versions/1/metadata")[1]["metadata"]["signature_def"]["signature_def"]
    kinds = [tensor["dtype"] for tensor in signatures["serving_default"]["inputs"].values()]
    assert kinds == ["DT_DOUBLE", "DT_INT64", "DT_BOOL", "DT_STRING", "DT_STRING"]


def test_kserve_asks_at_the_root_whether_the_server_lives(flowers: Client) -> None:
    status, _, body = flowers.ask("GET", "/", HTTP_ACCEPT="*/*")
    assert (status, json.loads(body)) == (200, {"status": "alive"})
    status, headers, _ = flowers.ask("GET", "/", HTTP_ACCEPT="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (status, headers["location"]) == (303, "dashboard")


@pytest.mark.parametrize(
    ("path", "body", "status", "complaint"),
    [
        (":predict", b"", 400, "not valid JSON"),
        (":predict", b"[]", 400, "JSON object"),
        (":predict", {}, 400, "either 'instances'"),
        (":predict", {"instances": [ROW], "inputs": [ROW]}, 400, "either 'instances'"),
        (":predict", {"instances": ROW}, 400, "Row 1"),
        (":predict", {"instances": {"a": 1}}, 400, "must be a list, not an object"),
        (":predict", {"instances": None}, 400, "must be a list, not null"),
        (":predict", {"instances": []}, 400, "no rows"),
        (":predict", {"instances": [{"b64": "AAAA"}]}, 400, "no column 'b64'"),
        (":predict", {"inputs": {"colour": ["red"]}}, 400, "no column 'colour'"),
        (":predict", {"inputs": {"sepal_length": [1], "sepal_width": [1, 2]}}, 400, "same number of rows"),
        (":predict", {"instances": [ROW], "signature_name": "other"}, 400, "no method 'other'"),
        (":predict", {"instances": [ROW], "signature_name": []}, 400, "no method"),
        (":predict", {"instances": [[1e999, 1, 1, 1]]}, 400, "not valid JSON"),
        (":classify", {"examples": ROW}, 400, "Every example"),
        (":classify", {"examples": [NAMED], "context": 1}, 400, "'context'"),
        (":classify", {}, 400, "'examples'"),
        (":regress", {"examples": [NAMED]}, 400, "classification"),
        (":explain", {"instances": [ROW]}, 404, "nothing at"),
        ("", {"instances": [ROW]}, 405, "allowed: GET"),
        ("/versions/x:predict", {"instances": [ROW]}, 404, "no version 'x'"),
        ("/labels/best:predict", {"instances": [ROW]}, 404, "no label 'best'"),
        ("/labels/challenger:predict", {"instances": [ROW]}, 404, "no challenger"),
        ("x:predict", {"instances": [ROW]}, 404, "no model 'retraindx'"),
        ("/nothing", {"instances": [ROW]}, 404, "nothing at"),
        ("/metadata", {"instances": [ROW]}, 405, "not allowed"),
    ],
)
def test_errors_have_the_form_of_tensorflow_serving(
    flowers: Client, path: str, body: Any, status: int, complaint: str
) -> None:
    answered, answer = post(flowers, MODEL + path, body)
    assert (answered, set(answer)) == (status, {"error"})
    assert complaint in answer["error"]


def test_an_empty_server_is_not_ready(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    assert get(Client(home), MODEL)[0] == 503
