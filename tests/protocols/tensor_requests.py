"""Requests of the Open Inference Protocol, in JSON and with binary tensors."""

import json
import struct
from typing import Any

import bundles
from sites import Client

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


def packed(texts: list[str]) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def binary(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
