"""retraind.web.protocols.open_inference: wrong requests, and random tensors."""

import json
from typing import Any

import bundles
import numpy as np
import pytest
from sites import Client
from tensor_requests import FLAT, HOUSE, INFER, MATRIX, ROWS, binary, column, infer, packed

from retraind.web.http.payload import MOST_ROWS


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
