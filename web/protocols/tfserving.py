"""TensorFlow Serving's REST API and KServe's V1 protocol, which use the same paths.

Sources: tensorflow/serving `tensorflow_serving/g3doc/api_rest.md`; kserve/kserve `docs/predict-api/v1`. Where the two answer
differently on one path, the answer has the keys of both.
"""

from collections.abc import Sequence
from typing import TypedDict
from wsgiref.types import WSGIEnvironment

import orjson

from retraind.daemon.artifacts.manifest import MODEL
from retraind.daemon.schema.column import Kind
from retraind.web import predict as answering
from retraind.web.http import payload, reply
from retraind.web.http.problems import Problem
from retraind.web.http.reply import Reply
from retraind.web.predict import ALIASES
from retraind.web.protocols import dataframes, mlflow, open_inference
from retraind.web.serving.answered import Answered
from retraind.web.serving.inputs import Inputs
from retraind.web.serving.predictor import Predictor
from retraind.web.worker_state import Worker

SIGNATURES = {None: mlflow.PREDICT, "": mlflow.PREDICT, "serving_default": mlflow.PREDICT}
"""Names of the default signature; `predict` and `predict_proba` are signatures too."""

TYPES: dict[Kind, str] = {
    "number": "DT_DOUBLE",
    "integer": "DT_INT64",
    "boolean": "DT_BOOL",
    "date": "DT_STRING",
    "category": "DT_STRING",
    "text": "DT_STRING",
}


class Dimension(TypedDict):
    """A dimension of a tensor; `-1` is any size."""

    size: str
    name: str


class Shape(TypedDict):
    """The dimensions of a tensor."""

    dim: list[Dimension]
    unknown_rank: bool


class TensorInfo(TypedDict):
    """An input or output of a signature."""

    dtype: str
    tensor_shape: Shape
    name: str


class Signature(TypedDict):
    """A way to call the model, by the names of its inputs and outputs."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    method_name: str


def models(_worker: Worker, _environ: WSGIEnvironment) -> Reply:
    """The name of the only model."""
    return Reply(orjson.dumps({"models": [MODEL]}))


def status(worker: Worker, environ: WSGIEnvironment, **place: str) -> Reply:
    """Whether a version can predict: `ready` for KServe, and the status of TensorFlow Serving."""
    chosen = _chosen(worker, environ, **place)
    state = {"version": str(chosen.version), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return reply.of({"name": MODEL, "ready": True, "model_version_status": [state]}, chosen.version)


def metadata(worker: Worker, environ: WSGIEnvironment, **place: str) -> Reply:
    """Inputs and outputs as signatures of TensorFlow."""
    chosen = _chosen(worker, environ, **place)
    columns = {column.name: _tensor(column.name, TYPES[column.kind]) for column in chosen.schema.columns}
    outputs = {"predictions": _tensor("predictions", "DT_STRING" if chosen.classes else "DT_DOUBLE")}
    signatures = {"serving_default": _signature(columns, outputs)}
    if chosen.classes:
        shares = _tensor("predictions", "DT_DOUBLE", len(chosen.classes))
        signatures[mlflow.PROBA] = _signature(columns, {"predictions": shares})
    content = {
        "model_spec": {"name": MODEL, "signature_name": "", "version": str(chosen.version)},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }
    return reply.of(content, chosen.version)


def predict(worker: Worker, environ: WSGIEnvironment, **place: str) -> Reply:
    """`instances` (rows) give `predictions`, `inputs` (columns) give `outputs`; raises Problem or InvalidFeatures."""
    chosen = _chosen(worker, environ, **place)
    body = _body(environ)
    if ("instances" in body) == ("inputs" in body):
        raise Problem(400, "Give either 'instances' (a list of rows) or 'inputs' (values by column).")
    signature = body.get("signature_name")
    if signature is None or isinstance(signature, str):
        signature = SIGNATURES.get(signature, signature)
    method = mlflow.method_of(chosen, signature)
    in_rows = "instances" in body
    rows = (
        dataframes.rows(chosen.schema, body["instances"])
        if in_rows
        else dataframes.columns(chosen.schema, body["inputs"])
    )
    answered = answering.answer(worker, environ, chosen, rows)
    chosen = answered.predictor
    content = {
        "predictions" if in_rows else "outputs": mlflow.predictions_of(answered, method),
        "model_version": chosen.version,
        "prediction_ids": answered.ids,
    }
    return reply.of(content, chosen.version)


def classify(worker: Worker, environ: WSGIEnvironment, **place: str) -> Reply:
    """Predict `examples`: for each the classes with their probabilities, the likeliest first."""
    chosen = _chosen(worker, environ, **place)
    if not chosen.classes:
        raise Problem(400, "The model is a regression.", hint="Ask for :regress or :predict.")
    answered = answering.answer(worker, environ, chosen, _examples(chosen, environ))
    results = [
        sorted(zip(answered.predictor.classes, shares, strict=True), key=lambda pair: -pair[1])
        for shares in answered.probabilities or []
    ]
    return _results(answered, results)


def regress(worker: Worker, environ: WSGIEnvironment, **place: str) -> Reply:
    """Predict `examples`: a number for each."""
    chosen = _chosen(worker, environ, **place)
    if chosen.classes:
        raise Problem(400, "The model is a classification.", hint="Ask for :classify or :predict.")
    answered = answering.answer(worker, environ, chosen, _examples(chosen, environ))
    return _results(answered, answered.names)


VERBS = {"predict": predict, "classify": classify, "regress": regress}
"""The verbs after the colon at the end of a path."""


def _results(answered: Answered, results: Sequence[object]) -> Reply:
    # The documentation of the API says `result`, TensorFlow Serving itself returns `results`.
    version = answered.predictor.version
    return reply.of(
        {"result": results, "results": results, "model_version": version, "prediction_ids": answered.ids}, version
    )


def _examples(chosen: Predictor, environ: WSGIEnvironment) -> Inputs:
    """The rows of `examples`; each also has the values of `context`."""
    body = _body(environ)
    context, examples = {} if body.get("context") is None else body["context"], body.get("examples")
    if not isinstance(examples, list) or not isinstance(context, dict):
        raise Problem(400, "Give 'examples' as a list of objects, and 'context', if there is any, as an object.")
    if not all(isinstance(row, dict) for row in examples):
        raise Problem(400, "Every example must be an object of column: value.")
    return dataframes.rows(chosen.schema, [{**context, **row} for row in examples] if context else examples)


def _body(environ: WSGIEnvironment) -> dict[str, object]:
    body = payload.value(dataframes.without_nan(environ["wsgi.input"].read()))
    if not isinstance(body, dict):
        raise Problem(400, "The body must be a JSON object.")
    return body


def _chosen(
    worker: Worker, environ: WSGIEnvironment, name: str, version: str | None = None, label: str | None = None
) -> Predictor:
    number = open_inference.model_version(name, version)
    if label is not None and label not in ALIASES:
        raise Problem(404, f"There is no label {label!r:.60}.", hint=f"Labels are {', '.join(ALIASES)}.")
    return answering.predictor(worker, environ, version=number, alias=label)


def _tensor(name: str, kind: str, width: int | None = None) -> TensorInfo:
    sizes = ["-1", *([str(width)] if width else [])]
    dims: list[Dimension] = [{"size": size, "name": ""} for size in sizes]
    return {"dtype": kind, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": f"{name}:0"}


def _signature(columns: dict[str, TensorInfo], outputs: dict[str, TensorInfo]) -> Signature:
    return {"inputs": columns, "outputs": outputs, "method_name": "tensorflow/serving/predict"}
