"""Explanations over HTTP: `POST /explain`, and the pages of a typed row and of a logged prediction. Nothing is logged here."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from wsgiref.types import WSGIEnvironment

import orjson

from retraind.daemon.core.errors import BundleRefused, InvalidFeatures, NotFound
from retraind.daemon.schema.row_encoding import encode
from retraind.web import predict as answering
from retraind.web.api import node
from retraind.web.api.pages import Pages
from retraind.web.http import payload
from retraind.web.http.payload import Row
from retraind.web.http.problems import Problem
from retraind.web.http.reply import JSON, Reply
from retraind.web.serving import call
from retraind.web.serving.predictor import Predictor
from retraind.web.worker_state import Worker

if TYPE_CHECKING:
    from retraind.daemon.artifacts.explaining.explanation import Explained
    from retraind.daemon.records.predictions import LoggedPrediction

FORM = "application/x-www-form-urlencoded"

MOST_FIELDS = 10_000
"""Maximum number of fields of a form."""


def explain(worker: Worker, environ: WSGIEnvironment) -> Reply:
    """Explain the answer to `{"features": …}`; nothing is logged. Raises Problem, InvalidFeatures, NotFound."""
    if call.current().inline:
        raise call.Deferred  # up to 200,000 rows are answered
    body = payload.parse(Row, environ)
    chosen = answering.predictor(worker, environ)
    headers = {"Content-Type": JSON, "X-Model-Version": str(chosen.version)}
    return Reply(orjson.dumps(_explained(worker, chosen, body.features)), headers=headers)


WAITING = frozenset({"/dashboard/predictions/<key>"})
"""Pages that compute, and so wait in a lane like `POST /explain`."""


def routes(pages: Pages) -> dict[tuple[str, str], Callable[..., Reply]]:
    """The pages that wait in a lane, and the form that is sent to one: by method and path."""
    return {
        ("POST", "/dashboard/predict"): partial(_typed, pages),
        ("GET", "/dashboard/predictions/<key>"): partial(_logged, pages),
    }


def typed_form(environ: WSGIEnvironment) -> None:
    """Refuse a body that is not a form (415)."""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise Problem(415, f"The body must be {FORM}, not {kind or 'untyped'!r:.80}.")


def _typed(pages: Pages, worker: Worker, environ: WSGIEnvironment) -> Reply:
    """The page with the answer to a row that was typed; raises Problem."""
    _require_records(worker, "/dashboard/predict")
    if call.current().inline:
        raise call.Deferred
    from retraind.web.pages.predicting import moved, predict, typed_row
    from retraind.web.pages.predicting.predict import Outcome
    from retraind.web.pages.table import Page

    form = _form(environ)
    version = payload.number(form, "version", None, 1)
    chosen = answering.predictor(worker, environ, version=version, alias=None if version else "champion")
    values = typed_row.values_of(chosen.schema, form)
    try:
        outcome = Outcome(moved.of(_explained(worker, chosen, values)), "", None)
    except InvalidFeatures as error:
        outcome = Outcome(None, str(error), error.field)
    except (NotFound, BundleRefused) as error:  # no sample of training rows to compare with
        outcome = Outcome(moved.of(_unexplained(chosen, values)), str(error), None)
    page = Page("predict.html", lambda request: predict.answered(request, chosen.version, chosen.schema, form, outcome))
    reply = pages.framed(environ, page, {})
    reply.status = 200 if outcome.moved else 422
    return reply


def _logged(pages: Pages, worker: Worker, environ: WSGIEnvironment, key: str) -> Reply:
    """The page of a logged prediction; raises Problem 404, and sqlite3.Error if the history can't be read."""
    _require_records(worker, "/dashboard/predictions/<key>")
    if call.current().inline:
        raise call.Deferred
    from retraind.web.pages.predicting import moved, prediction
    from retraind.web.pages.table import Page

    row = prediction.find(worker.home, worker.records, key, worker.old_predictions)
    explained, problem = _explained_again(worker, environ, row)
    answer = {"moved": None if explained is None else moved.of(explained), "problem": problem}
    page = Page("prediction.html", lambda request: {**prediction.content(request), **answer}, "predictions/{key}")
    return pages.framed(environ, page, {}, key)


def _require_records(worker: Worker, path: str) -> None:
    """Refuse a page on a serving node (421), whose leader has the records."""
    if node.is_node(worker):
        raise node.refusal(worker, path)


def _explained_again(
    worker: Worker, environ: WSGIEnvironment, row: "LoggedPrediction"
) -> tuple["Explained | None", str]:
    """The explanation by the version that answered, or why there is none; raises Deferred while it is being loaded."""
    try:
        chosen = answering.predictor(worker, environ, version=row["model_version"])
        return _explained(worker, chosen, row["features"]), ""
    except Problem as error:
        return None, error.detail
    except (InvalidFeatures, NotFound, BundleRefused) as error:
        return None, str(error)


def _explained(worker: Worker, chosen: Predictor, features: Any) -> "Explained":
    from retraind.daemon.artifacts.explaining import explanation  # imported here, because few workers explain

    return explanation.explain(worker.home.bundle(chosen.version), chosen.version, chosen, features)


def _unexplained(chosen: Predictor, features: Any) -> "Explained":
    """The answer alone; raises InvalidFeatures."""
    import numpy as np

    shares = chosen.answers(np.array([encode(chosen.schema, features)]))[0].tolist()
    code = int(chosen.decide(shares)) if chosen.classes else 0
    answer = chosen.classes[code] if chosen.classes else shares[0]
    scale = "probability" if chosen.classes else "value"
    bare: Explained = {
        "version": chosen.version,
        "prediction": answer,
        "scale": scale,
        "answer": shares[code],
        "base": 0.0,
        "method": "",
        "features": [],
    }
    if chosen.classes:
        bare["probabilities"] = dict(zip(chosen.classes, shares, strict=True))
    return bare


def _form(environ: WSGIEnvironment) -> dict[str, str]:
    """The fields of a form; raises Problem 400."""
    try:
        text = environ["wsgi.input"].read().decode("ascii")
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise Problem(400, "The body is no form in UTF-8.") from None
    return dict(fields)
