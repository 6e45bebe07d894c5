"""The doors: which paths other people's clients come through, and what answers there.

Names in angle brackets are parts of the path that the routes get as texts.
"""

from collections.abc import Callable

from web import inference, invocations, tfserving
from web.reply import Reply

Door = Callable[..., Reply]
"""Takes worker, WSGI environment and the named parts of the path; raises Problem, InvalidFeatures or what a disk raises."""

V2 = "/v2/models/<name>"
V1 = "/v1/models/<name>"

READING: dict[str, Door] = {
    "/ping": invocations.ping,
    "/version": invocations.version,
    "/v2": inference.server,
    "/v2/health/live": inference.live,
    "/v2/health/ready": inference.ready,
    **{f"{V2}{version}": inference.model for version in ("", "/versions/<version>")},
    **{f"{V2}{version}/ready": inference.model_ready for version in ("", "/versions/<version>")},
    "/v1/models": tfserving.models,
    **{f"{V1}{which}": tfserving.status for which in ("", "/versions/<version>", "/labels/<label>")},
    **{f"{V1}{which}/metadata": tfserving.metadata for which in ("", "/versions/<version>", "/labels/<label>")},
}
"""GET."""

POSTING: dict[str, Door] = {
    "/invocations": invocations.invoke,
    "/v2/repository/index": inference.index,
    **{f"{V2}{version}/infer": inference.infer for version in ("", "/versions/<version>")},
    # What stands before the colon of a verb is the last part of the place; Bottle's rules know no colon.
    "/v1/models/<call>": tfserving.called("name"),
    f"{V1}/versions/<call>": tfserving.called("version"),
    f"{V1}/labels/<call>": tfserving.called("label"),
}
"""POST; bodies come without a content type, too."""

ENDINGS = ("/infer", *(f":{verb}" for verb in tfserving.VERBS))


def predicts(path: str) -> bool:
    """Whether a POST to the path predicts, or finds nothing."""
    return path in ("/predict", "/invocations") or (
        path.startswith(("/v2/models/", "/v1/models/")) and path.endswith(ENDINGS)
    )
