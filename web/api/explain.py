"""`POST /explain`: what moved the answer to one row, by feature."""

from wsgiref.types import WSGIEnvironment

import orjson

from retraind.web import predict as answering
from retraind.web.http import payload
from retraind.web.http.payload import Row
from retraind.web.http.reply import JSON, Reply
from retraind.web.serving import call
from retraind.web.worker_state import Worker


def explain(worker: Worker, environ: WSGIEnvironment) -> Reply:
    """Explain the answer to `{"features": …}`; nothing is logged. Raises Problem, InvalidFeatures, NotFound."""
    if call.current().inline:
        raise call.Deferred  # up to 200,000 rows are answered
    from retraind.daemon.artifacts.explaining import explanation  # imported here, because few workers explain

    body = payload.parse(Row, environ)
    chosen = answering.predictor(worker, environ)
    explained = explanation.explain(worker.home.bundle(chosen.version), chosen.version, chosen, body.features)
    headers = {"Content-Type": JSON, "X-Model-Version": str(chosen.version)}
    return Reply(orjson.dumps(explained), headers=headers)
