"""`POST /predict`: one row, or many, in JSON; `predict_csv` has CSV."""

from collections.abc import Mapping
from typing import Any
from wsgiref.types import WSGIEnvironment

from retraind.web import predict as answering
from retraind.web.http import payload, reply
from retraind.web.http.payload import Features
from retraind.web.http.reply import Reply
from retraind.web.serving import inputs, json_rows
from retraind.web.serving.answered import Answered, AnsweredRow
from retraind.web.serving.json_rows import NotPlain
from retraind.web.serving.predictor import Predictor
from retraind.web.worker_state import Worker


def predict(worker: Worker, environ: WSGIEnvironment) -> Reply:
    """`{"features": …}` is one row and returns one answer; `{"instances": […]}` are many rows and return `predictions`; CSV returns CSV."""
    wants_shares = payload.flag(
        environ, "proba"
    )  # refused for JSON, too, if it is wrong; a JSON answer always has them
    if payload.is_csv(environ):
        from retraind.web.api import predict_csv  # imported here, because few workers get CSV

        return predict_csv.predict(worker, environ, wants_shares=wants_shares)
    text, chosen = environ["wsgi.input"].read(), None
    if many := json_rows.of(text):
        chosen = answering.predictor(worker, environ)
        if early := _read_along(worker, environ, chosen, many):
            return early
    rows, is_single = _rows(payload.value(text))
    chosen = chosen or answering.predictor(worker, environ)
    pieces: list[bytes] = []
    rows_in = inputs.from_rows(chosen.schema, rows)
    answered = answering.answer(worker, environ, chosen, rows_in, lambda piece: pieces.append(piece.json()))
    if not isinstance(answered, AnsweredRow):
        return _many(answered, pieces)
    return _replied(answered, answered.first() if is_single else {"predictions": [answered.first()]})


def _read_along(worker: Worker, environ: WSGIEnvironment, chosen: Predictor, many: json_rows.JsonRows) -> Reply | None:
    """The answer to plain rows, read while the model predicts; None for others, and where all rows have to be known first."""
    if chosen.trial:
        return None
    pieces: list[bytes] = []
    try:
        answered = answering.answer_pieces(
            worker, environ, chosen, many.pieces(chosen.schema), lambda piece: pieces.append(piece.json())
        )
    except NotPlain:
        return None
    return _many(answered, pieces)


def _many(answered: Answered, pieces: list[bytes]) -> Reply:
    rest = _replied(answered, {})
    # One copy of the two megabytes of 10,000 rows.
    pieces[0] = b'{"predictions":[' + pieces[0]
    pieces[-1] += b"]"
    rest.body = b",".join([*pieces, rest.body[1:]])
    return rest


def _replied(answered: Answered, content: Mapping[str, object]) -> Reply:
    version = answered.predictor.version
    return reply.of({**content, "model_version": version, "latency_ms": answered.latency_ms}, version)


def _rows(document: Any) -> tuple[list[Any], bool]:
    """The rows of a body, and whether it is the single row of `features`; raises Problem 422."""
    # The shape of most requests; pydantic would take longer to accept it.
    if type(document) is dict and len(document) == 1 and type(row := document.get("features")) in (list, dict):
        return [row], True
    body = payload.check(Features, document)
    return ([body.features], True) if body.instances is None else (body.instances, False)
