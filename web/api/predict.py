"""`POST /predict`: one row, or many."""

from wsgiref.types import WSGIEnvironment

from web import predict as answering
from web.http import payload, reply
from web.http.payload import Features
from web.http.reply import Reply
from web.serving import inputs
from web.worker_state import Worker


def predict(worker: Worker, environ: WSGIEnvironment) -> Reply:
    """`{"features": …}` is one row and returns one answer; `{"instances": […]}` are many rows and return `predictions`."""
    body = payload.parse(Features, environ)
    chosen = answering.predictor(worker, environ)
    rows = [body.features] if body.instances is None else body.instances
    answered = answering.answer(worker, environ, chosen, inputs.from_rows(chosen.schema, rows))
    version = answered.predictor.version
    predictions = answered.rows()
    content = predictions[0] if body.instances is None else {"predictions": predictions}
    return reply.of({**content, "model_version": version, "latency_ms": answered.latency_ms}, version)
