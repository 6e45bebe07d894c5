"""The endpoints of the protocols, by path.

Names in angle brackets are parts of the path that the endpoint gets as texts.
"""

from collections.abc import Callable

from retraind.web.http.reply import Reply
from retraind.web.protocols import mlflow, open_inference, tfserving

Endpoint = Callable[..., Reply]
"""Takes worker, WSGI environment and the named parts of the path; raises Problem, InvalidFeatures or OSError."""

V2 = "/v2/models/<name>"
V1 = "/v1/models/<name>"
AT = ("", "/versions/<version>", "/labels/<label>")
"""The ways in which a path of V1 names a version."""

GET_ENDPOINTS: dict[str, Endpoint] = {
    "/ping": mlflow.ping,
    "/version": mlflow.version,
    "/v2": open_inference.server,
    "/v2/health/live": open_inference.live,
    "/v2/health/ready": open_inference.ready,
    **{f"{V2}{version}": open_inference.model for version in ("", "/versions/<version>")},
    **{f"{V2}{version}/ready": open_inference.model_ready for version in ("", "/versions/<version>")},
    "/v1/models": tfserving.models,
    **{f"{V1}{at}": tfserving.status for at in AT},
    **{f"{V1}{at}/metadata": tfserving.metadata for at in AT},
}
"""Endpoints for GET."""

POST_ENDPOINTS: dict[str, Endpoint] = {
    "/invocations": mlflow.invoke,
    "/v2/repository/index": open_inference.index,
    **{f"{V2}{version}/infer": open_inference.infer for version in ("", "/versions/<version>")},
    **{f"{V1}{at}:{verb}": endpoint for verb, endpoint in tfserving.VERBS.items() for at in AT},
}
"""Endpoints for POST; a body needs no content type."""

ENDINGS = ("/infer", *(f":{verb}" for verb in tfserving.VERBS))


def predicts(path: str) -> bool:
    """Whether a POST to this path or template is a prediction (or 404)."""
    return path in ("/predict", "/invocations") or (
        path.startswith(("/v2/models/", "/v1/models/")) and path.endswith(ENDINGS)
    )
