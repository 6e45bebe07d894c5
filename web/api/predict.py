"""`POST /predict`: one row, or many."""

from collections.abc import Mapping
from typing import Any
from wsgiref.types import WSGIEnvironment

import orjson

from web import predict as answering
from web.http import payload, reply
from web.http.payload import Features
from web.http.reply import Reply
from web.serving import inputs
from web.serving.answered import AnsweredRow
from web.worker_state import Worker


def predict(worker: Worker, environ: WSGIEnvironment) -> Reply:
    """`{"features": …}` is one row and returns one answer; `{"instances": […]}` are many rows and return `predictions`."""
    rows, is_single = _rows(payload.value(environ["wsgi.input"].read()))
    chosen = answering.predictor(worker, environ)
    pieces: list[bytes] = []
    rows_in = inputs.from_rows(chosen.schema, rows)
    answered = answering.answer(worker, environ, chosen, rows_in, lambda piece: pieces.append(piece.json()))
    version = answered.predictor.version
    if not isinstance(answered, AnsweredRow):
        content: Mapping[str, object] = {"predictions": orjson.Fragment(b"[" + b",".join(pieces) + b"]")}
    elif is_single:
        content = answered.first()
    else:
        content = {"predictions": [answered.first()]}
    return reply.of({**content, "model_version": version, "latency_ms": answered.latency_ms}, version)


def _rows(document: Any) -> tuple[list[Any], bool]:
    """The rows of a body, and whether it is the single row of `features`; raises Problem 422."""
    # The shape of most requests; pydantic would take longer to accept it.
    if type(document) is dict and len(document) == 1 and type(row := document.get("features")) in (list, dict):
        return [row], True
    body = payload.check(Features, document)
    return ([body.features], True) if body.instances is None else (body.instances, False)
