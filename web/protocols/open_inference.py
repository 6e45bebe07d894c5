"""The Open Inference Protocol V2, with the extensions for binary tensors, classification and model repositories.

Sources: kserve/open-inference-protocol `specification/protocol/inference_rest.md`; triton-inference-server/server
`docs/protocol/extension_{binary_data,classification,model_repository}.md`; outputs are named as by MLServer's scikit-learn.
"""

from collections.abc import Mapping
from typing import NotRequired, TypedDict
from wsgiref.types import WSGIEnvironment

import orjson
from pydantic import BaseModel, ConfigDict, Field

from retraind import release
from retraind.daemon.artifacts.manifest import MODEL
from retraind.daemon.schema.column import Kind
from retraind.web import predict
from retraind.web.http import payload
from retraind.web.http.problems import Problem
from retraind.web.http.reply import JSON, Reply
from retraind.web.protocols import dataframes, tensors
from retraind.web.protocols.open_inference_outputs import Requested, outputs_of, tensor, wishes_of
from retraind.web.serving.predictor import Predictor
from retraind.web.worker_state import Worker

EXTENSIONS = ["binary_tensor_data", "classification", "model_repository"]

HEADER_LENGTH = "Inference-Header-Content-Length"
"""Header with the length of the JSON in front of binary tensors."""

DATATYPES: dict[Kind, str] = {
    "number": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "date": tensors.BYTES,
    "category": tensors.BYTES,
    "text": tensors.BYTES,
}


class Request(BaseModel):
    """The JSON of `POST …/infer`; unknown keys, such as KServe's `model_name`, are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str | None = None
    parameters: tensors.Parameters | None = None
    inputs: list[tensors.Tensor] = Field(min_length=1)
    outputs: list[Requested] | None = None


def server(_worker: Worker, _environ: WSGIEnvironment) -> Reply:
    """Name, version and extensions of the server."""
    return _json({"name": "retraind", "version": release.VERSION, "extensions": EXTENSIONS})


def live(_worker: Worker, _environ: WSGIEnvironment) -> Reply:
    """The worker answers."""
    return _json({"live": True})


def ready(worker: Worker, _environ: WSGIEnvironment) -> Reply:
    """Whether the worker can predict. The specification names the key `live`, servers and clients use `ready`."""
    is_ready = worker.slot.current is not None and not worker.draining
    return _json({"live": True, "ready": is_ready}, 200 if is_ready else 503)


def model_ready(worker: Worker, environ: WSGIEnvironment, name: str, version: str | None = None) -> Reply:
    """Whether a version can predict; raises Problem if not."""
    chosen = _chosen(worker, environ, name, version)
    return Reply(orjson.dumps({"name": name, "ready": True}), headers=_headers(chosen))


def model(worker: Worker, environ: WSGIEnvironment, name: str, version: str | None = None) -> Reply:
    """Inputs and outputs of a version, one input per column; -1 stands for any number of rows."""
    chosen = _chosen(worker, environ, name, version)
    columns = [
        {"name": column.name, "datatype": DATATYPES[column.kind], "shape": [-1]} for column in chosen.schema.columns
    ]
    outputs = [
        {"name": key, "datatype": output.datatype, "shape": [-1, *([output.width] if output.width else [])]}
        for key, output in outputs_of(chosen.schema).items()
    ]
    content = {
        "name": name,
        "versions": [str(chosen.version)] if version else _loaded(worker),
        "platform": f"retraind_{chosen.manifest.backend}",
        "inputs": columns,
        "outputs": outputs,
        "parameters": {"classes": chosen.classes},
    }
    return Reply(orjson.dumps(content), headers=_headers(chosen))


def index(worker: Worker, environ: WSGIEnvironment) -> Reply:
    """The model repository: the loaded versions. The body may be empty or select `ready` ones, which all are."""
    text = environ["wsgi.input"].read()
    if text:
        payload.check(Index, payload.value(text))
    models = [{"name": MODEL, "version": version, "state": "READY", "reason": ""} for version in _loaded(worker)]
    return Reply(orjson.dumps(models))


class Inferred(TypedDict):
    """The JSON of the answer to `POST …/infer`."""

    model_name: str
    model_version: str
    id: NotRequired[str]
    outputs: list[tensors.OutputTensor]


class Index(BaseModel):
    """The body of `POST /v2/repository/index`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    ready: bool = False


def infer(worker: Worker, environ: WSGIEnvironment, name: str, version: str | None = None) -> Reply:
    """Predict all rows of the inputs; raises Problem or InvalidFeatures."""
    chosen = _chosen(worker, environ, name, version)
    text, tail = _parted(environ)
    request = payload.check(Request, payload.value(dataframes.without_nan(text)))
    wishes = wishes_of(chosen.schema, request.outputs, request.parameters)
    answered = predict.answer(worker, environ, chosen, tensors.read(chosen.schema, request.inputs, tail))
    chosen = answered.predictor
    outputs = [tensor(answered, wish) for wish in wishes]
    content: Inferred = {
        "model_name": name,
        "model_version": str(chosen.version),
        "outputs": [described for described, _ in outputs],
    }
    if request.id is not None:
        content["id"] = request.id
    header = orjson.dumps(content)
    if not any(wish.binary for wish in wishes):
        return Reply(header, headers=_headers(chosen))
    headers = {**_headers(chosen), "Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(header))}
    return Reply(b"".join([header, *(packed for _, packed in outputs)]), headers=headers)


def _loaded(worker: Worker) -> list[str]:
    """The loaded versions, the served one first."""
    current = worker.slot.current
    others = [version for version in worker.version_cache.versions if current is None or version != current.version]
    return [str(version) for version in [*([current.version] if current else []), *sorted(others)]]


def _chosen(worker: Worker, environ: WSGIEnvironment, name: str, version: str | None) -> Predictor:
    return predict.predictor(worker, environ, version=model_version(name, version))


def model_version(name: str, version: str | None) -> int | None:
    """The version number from a path; raises Problem 404 for another model or an invalid number."""
    if name != MODEL:
        raise Problem(404, f"There is no model {name!r:.100}.", hint=f"The served model is {MODEL!r}.")
    if version is None:
        return None
    number = payload.whole(version, predict.MOST_DIGITS - 1)
    if not number:
        raise Problem(404, f"There is no version {version!r:.60}.", hint="Versions are numbers from 1.")
    return number


def _parted(environ: WSGIEnvironment) -> tuple[bytes, memoryview]:
    """The JSON of a body and the bytes after it; raises Problem 400."""
    body = environ["wsgi.input"].read()
    header = environ.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH")
    if header is None:
        return body, memoryview(b"")
    if not (header.isascii() and header.isdecimal() and len(header) < predict.MOST_DIGITS and int(header) <= len(body)):
        raise Problem(400, f"{HEADER_LENGTH} is {header!r:.40}, and the body has {len(body)} bytes.")
    return body[: int(header)], memoryview(body)[int(header) :]


def _headers(chosen: Predictor) -> dict[str, str]:
    return {"Content-Type": JSON, "X-Model-Version": str(chosen.version)}


def _json(content: Mapping[str, object], status: int = 200) -> Reply:
    return Reply(orjson.dumps(content), status)
