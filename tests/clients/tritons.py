"""Clients of the Open Inference Protocol V2 ask servers on 127.0.0.1, and print as JSON what they understood.

Runs in the environment of `tritons.lock`: tritonclient (Triton, also what MLServer recommends), open-inference-openapi
(generated from the protocol's own OpenAPI text), pydantic-open-inference and MLServer's program `mlserver infer`. All in
one process, because their imports take seconds. Standard input says what to do: the addresses of two servers, the
example of the page, and the arguments of each run of `mlserver infer`.
"""

import asyncio
import contextlib
import io
import json
import sys
from typing import Annotated

import numpy as np
import tritonclient.http
import tritonclient.http.aio
from mlserver.cli.main import root as mlserver
from open_inference.openapi.client import InferenceRequest, OpenInferenceClient
from pydantic_open_inference import DatatypeOverride, InputsBaseModel, OutputsBaseModel, RemoteModel
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.9, 3.1, 5.4, 2.1]])
MODEL = "retraind"


def matrix(binary, dtype="FP64"):
    tensor = InferInput("x", list(ROWS.shape), dtype)
    tensor.set_data_from_numpy(ROWS.astype({"FP64": "f8", "FP32": "f4", "FP16": "f2"}[dtype]), binary_data=binary)
    return [tensor]


def columns(binary):
    tensors = [InferInput(name, [2], "FP64") for name in NAMES]
    for tensor, values in zip(tensors, ROWS.T, strict=True):
        tensor.set_data_from_numpy(np.ascontiguousarray(values), binary_data=binary)
    return tensors


def wanted(binary):
    names = ("predict", "predict_proba", "predict_code", "prediction_id")
    return [InferRequestedOutput(name, binary_data=binary) for name in names]


def plain(result, *names):
    arrays = {name: result.as_numpy(name) for name in names}
    return {
        name: [one.decode() if isinstance(one, bytes) else one for one in value.ravel().tolist()]
        for name, value in arrays.items()
    }


def everything(result):
    shape = list(result.as_numpy("predict_proba").shape)
    return {**plain(result, "predict", "predict_proba", "predict_code", "prediction_id"), "shape": shape}


def refused(call):
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return "not refused"


def sync(address):
    with tritonclient.http.InferenceServerClient(address) as client:
        best = client.infer(MODEL, matrix(True), outputs=[InferRequestedOutput("predict_proba", class_count=2)])
        return {
            "live": [client.is_server_live(), client.is_server_ready()],
            "ready": [client.is_model_ready(MODEL), client.is_model_ready(MODEL, "1"), client.is_model_ready("other")],
            "server": client.get_server_metadata(),
            "model": client.get_model_metadata(MODEL),
            "index": client.get_model_repository_index(),
            "binary": everything(client.infer(MODEL, matrix(True), outputs=wanted(True), model_version="1")),
            "json": everything(client.infer(MODEL, matrix(False), outputs=wanted(False))),
            "mixed": everything(client.infer(MODEL, columns(True), outputs=wanted(False))),
            "columns": everything(client.infer(MODEL, columns(False), outputs=wanted(True))),
            "single": plain(client.infer(MODEL, matrix(True, "FP32")), "predict", "prediction_id"),
            "half": plain(client.infer(MODEL, matrix(True, "FP16")), "predict"),
            "id": client.infer(MODEL, matrix(True), request_id="mine").get_response()["id"],
            "best": [text.decode() for text in best.as_numpy("predict_proba").ravel()],
            "refused": [
                refused(lambda: client.infer("other", matrix(True))),
                refused(lambda: client.infer(MODEL, matrix(True)[:1] + columns(True)[:1])),
                refused(lambda: client.infer(MODEL, matrix(False), outputs=[InferRequestedOutput("logits")])),
                refused(lambda: client.infer(MODEL, matrix(True), model_version="77")),
            ],
        }


async def aio(address):
    async with tritonclient.http.aio.InferenceServerClient(address) as client:
        return {
            "ready": [
                await client.is_server_live(),
                await client.is_server_ready(),
                await client.is_model_ready(MODEL),
            ],
            "model": await client.get_model_metadata(MODEL),
            "binary": everything(await client.infer(MODEL, matrix(True), outputs=wanted(True))),
            "json": everything(await client.infer(MODEL, matrix(False), outputs=wanted(False))),
            "many": len(await asyncio.gather(*(client.infer(MODEL, matrix(True)) for _ in range(50)))),
        }


def generated(address):
    client = OpenInferenceClient(base_url=f"http://{address}")
    tensor = {"name": "x", "shape": [2, 4], "datatype": "FP64", "data": ROWS.tolist()}
    answer = client.model_infer(MODEL, request=InferenceRequest(inputs=[tensor]))
    # These raise unless the server says yes.
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness(MODEL)
    return {
        "inputs": [one.name for one in client.read_model_metadata(MODEL).inputs],
        "predict": json.loads(answer.json())["outputs"][0]["data"],
    }


Doubles = Annotated[list[float], DatatypeOverride("FP64")]


class Flowers(InputsBaseModel):
    sepal_length: Doubles
    sepal_width: Doubles
    petal_length: Doubles
    petal_width: Doubles


class Kinds(OutputsBaseModel):
    predict: list[str]
    predict_proba: list[tuple[float, float, float]]


def typed(address):
    model = RemoteModel(model_name=MODEL, inputs_model=Flowers, outputs_model=Kinds, server_url=f"http://{address}")
    typed = model.infer(Flowers(**dict(zip(NAMES, ROWS.T.tolist(), strict=True))))
    return {
        "ready": model.is_ready(),
        "predict": typed.predict,
        "predict_proba": np.ravel(typed.predict_proba).tolist(),
    }


def houses(address):
    """Columns of every kind; a missing date is null, which only JSON can say, and an unknown town is as good as none."""
    columns = {
        "size": np.array([100.0, 100.0]),
        "rooms": np.array([4, 4]),
        "garden": np.array([True, True]),
        "built": np.array(["2026-01-31", "2026-01-31"], dtype=object),
        "town": np.array(["Zürich", "Aachen"], dtype=object),
    }
    kinds = dict(zip(columns, ("FP64", "INT64", "BOOL", "BYTES", "BYTES"), strict=True))
    answers = {}
    with tritonclient.http.InferenceServerClient(address) as client:
        for binary in (True, False):
            tensors = [InferInput(name, [2], kinds[name]) for name in columns]
            for tensor, values in zip(tensors, columns.values(), strict=True):
                tensor.set_data_from_numpy(values, binary_data=binary)
            result = client.infer(MODEL, tensors, outputs=[InferRequestedOutput("predict", binary_data=binary)])
            answers["binary" if binary else "json"] = result.as_numpy("predict").tolist()
    return answers


def shown(code):
    """What a program prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "page", "exec"), {"__name__": "__main__"})
    return out.getvalue()


if __name__ == "__main__":
    JOB = json.load(sys.stdin)
    ADDRESS = JOB["flowers"]
    ANSWERS = {
        "sync": sync(ADDRESS),
        "aio": asyncio.run(aio(ADDRESS)),
        "generated": generated(ADDRESS),
        "typed": typed(ADDRESS),
        "houses": houses(JOB["houses"]),
        "page": shown(JOB["page"]),
    }
    with contextlib.redirect_stdout(sys.stderr):
        for arguments in JOB["mlserver"]:
            mlserver.main(arguments, standalone_mode=False)
    print(json.dumps(ANSWERS))
