"""MLflow's scoring protocol: `POST /invocations`, `GET /ping`, `GET /version`.

Source: mlflow 3.17 `mlflow/pyfunc/scoring_server/__init__.py`. Unlike MLflow's server, a classifier
returns names of classes, `params` can select probabilities, and the answer has version and prediction ids next to `predictions`,
or is CSV if the client asks for that.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

from retraind.daemon.schema.schema import Schema
from retraind.web import predict
from retraind.web.columnar.formats import MEDIA_TYPES, Format
from retraind.web.http import package_versions, payload, reply
from retraind.web.http.payload import CSV
from retraind.web.http.problems import Problem
from retraind.web.http.reply import JSON, Reply
from retraind.web.protocols import dataframes
from retraind.web.serving import call, inputs
from retraind.web.serving.answered import Answered
from retraind.web.serving.inputs import Inputs
from retraind.web.serving.predictor import Predictor
from retraind.web.worker_state import Worker

PLAIN = "text/plain; charset=utf-8"

FORMATS: dict[str, Callable[[Schema, Any], Inputs]] = {
    "dataframe_split": dataframes.split,
    "dataframe_records": dataframes.records,
    "instances": lambda schema, document: dataframes.rows(schema, dataframes.known(schema, document)),
    "inputs": lambda schema, document: dataframes.columns(schema, dataframes.known(schema, document)),
}
"""Formats of a body. All ignore columns that the model does not take."""

RANK = re.compile(r"[01](\.\d{0,3})?")
"""A quality value of an Accept header."""

PREDICT, PROBA = "predict", "predict_proba"


def ping(worker: Worker, _environ: WSGIEnvironment) -> Reply:
    """A line feed; 200 if a model is loaded, else 404, as MLflow's server answers."""
    return Reply(b"\n", 200 if worker.slot.current else 404, {"Content-Type": PLAIN})


def version(_worker: Worker, _environ: WSGIEnvironment) -> Reply:
    """The version of MLflow, as bare text."""
    return Reply(package_versions.of("mlflow").encode(), headers={"Content-Type": PLAIN})


def invoke(worker: Worker, environ: WSGIEnvironment) -> Reply:
    """Predict all rows of a body in JSON, CSV, Arrow IPC or Parquet; raises Problem or InvalidFeatures."""
    chosen = predict.predictor(worker, environ)
    kind = _media_type(environ)
    if kind in MEDIA_TYPES and call.current().inline:
        raise call.Deferred  # a small body may have many rows
    text = environ["wsgi.input"].read()
    if kind in MEDIA_TYPES:
        method, rows = PREDICT, _from_columns(worker, chosen.schema, MEDIA_TYPES[kind], text)
    elif kind == CSV:
        method, rows = PREDICT, dataframes.comma_separated(chosen.schema, _decoded(text))
    else:
        method, rows = _parsed(chosen, text)
    answered = predict.answer(worker, environ, chosen, rows)
    chosen = answered.predictor
    if _prefers_csv(environ.get("HTTP_ACCEPT", "")):
        headers = {"Content-Type": f"{CSV}; charset=utf-8", "X-Model-Version": str(chosen.version)}
        return Reply(_csv(answered, method).encode(), headers=headers)
    content = {
        "predictions": predictions_of(answered, method),
        **({"classes": chosen.classes} if method == PROBA else {}),
        "model_version": chosen.version,
        "prediction_ids": answered.ids,
    }
    return reply.of(content, chosen.version)


def _from_columns(worker: Worker, schema: Schema, form: Format, body: bytes) -> Inputs:
    most_rows, most_bytes = inputs.most_rows(schema), worker.settings.server.max_body_bytes
    columns = worker.columnar.read(form, schema.features, body, most_rows=most_rows, most_bytes=most_bytes)
    if columns.matrix is not None:
        return inputs.from_matrix(schema, columns.matrix)
    return dataframes.typed_columns(schema, columns.by_name)


def predictions_of(answered: Answered, method: str) -> Sequence[Any]:
    """The predictions: for each row the name of the class or the number, or (PROBA) the probabilities of all classes."""
    return answered.probabilities or [] if method == PROBA else answered.names


def method_of(chosen: Predictor, parameters: object) -> str:
    """PREDICT or PROBA, as the client requests; raises Problem 400."""
    if parameters not in (PREDICT, PROBA):
        raise Problem(400, f"There is no method {parameters!r:.60}.", hint=f"Ask for {PREDICT!r} or {PROBA!r}.")
    if parameters == PROBA and not chosen.classes:
        raise Problem(400, "A regression has no probabilities.", hint=f"Ask for {PREDICT!r}.")
    return str(parameters)


def _parsed(chosen: Predictor, text: bytes) -> tuple[str, Inputs]:
    """The method and the rows; other keys and params are ignored, as by MLflow's server."""
    body = payload.value(dataframes.without_nan(text))
    forms = FORMATS.keys() & body.keys() if isinstance(body, dict) else set()
    if len(forms) != 1:
        names = ", ".join(repr(name) for name in FORMATS)
        raise Problem(400, f"The body must be an object with one of {names}, and 'params' if there are any.")
    params = {} if body.get("params") is None else body["params"]
    if not isinstance(params, dict):
        raise Problem(400, "'params' must be an object, which may have 'predict_method'.")
    name = forms.pop()
    return method_of(chosen, params.get("predict_method", PREDICT)), FORMATS[name](chosen.schema, body[name])


def _prefers_csv(accept: str) -> bool:
    """Whether an Accept header ranks CSV above JSON; without one, and for equal ranks, the answer is JSON."""
    ranks: dict[str, float] = {}
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
        ranks[kind] = float(weights[0]) if weights and RANK.fullmatch(weights[0]) else 1.0
    wildcard = ranks.get("*/*", 0.0)
    csv_rank = ranks.get(CSV, ranks.get("text/*", wildcard))
    return csv_rank > ranks.get(JSON, ranks.get("application/*", wildcard))


def _csv(answered: Answered, method: str) -> str:
    """A line for each row, below a header: the prediction id, then the prediction or (PROBA) a probability by class."""
    buffer = io.StringIO()
    lines = csv.writer(buffer, lineterminator="\n")
    if method == PROBA:
        lines.writerow(["prediction_id", *answered.predictor.classes])
        lines.writerows([key, *shares] for key, shares in zip(answered.ids, answered.matrix.tolist(), strict=True))
    else:
        lines.writerow(["prediction_id", "prediction"])
        lines.writerows(zip(answered.ids, answered.names, strict=True))
    return buffer.getvalue()


def _media_type(environ: WSGIEnvironment) -> str:
    """One of those that are read; the default is JSON. Raises Problem 415."""
    header = environ.get("CONTENT_TYPE", "") or JSON
    if header == JSON:
        return JSON
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    if kind in MEDIA_TYPES:
        return kind
    if kind not in (JSON, CSV):
        binary = ", ".join(MEDIA_TYPES)
        raise Problem(415, f"The body must be {JSON} or {CSV}, not {kind!r:.80}.", hint=f"In binary: {binary}.")
    payload.require_utf8(kind, parameters)
    return kind


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(400, f"The body is not UTF-8: {error}.") from None
