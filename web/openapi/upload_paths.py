"""The paths that take drops over HTTP, of an OpenAPI document."""

from retraind.web.http import payload
from retraind.web.http.reply import JSON
from retraind.web.lists import parameters
from retraind.web.openapi.operations import WITH_BODY, answer, leads, operation, place, query
from retraind.web.openapi.schemas import COUNT, TEXT, Json, record, ref
from retraind.web.uploads.upload_request import PARAMETERS, SHA256

DIGEST: Json = {"type": "string", "pattern": f"^{SHA256.pattern}$"}
NAME: Json = {"type": "string", "pattern": r"^([^/.\x00-\x1f][^/\x00-\x1f]{0,40}\.csv(\.gz)?)?$"}
KNOWN = record(
    "Bytes of a drop that is decided or held.",
    {"status": {"const": "known"}, "drop": TEXT, "name": TEXT, "state": TEXT},
)
PARTIAL = record("A file that is not whole yet.", {"status": {"const": "partial"}, "drop": TEXT, "received": COUNT})


def post(tag: str) -> Json:
    """`POST /drops`."""
    shapes = {"name": NAME, "sha256": DIGEST}
    asked = [query(one.name, shapes.get(one.name) or parameters.schema(one), one.meaning) for one in PARAMETERS]
    taken = answer("The file is in the inbox, on disk.", {JSON: ref("Taken")}) | leads(
        "outcome", "/drops/{key}", "drop"
    )
    other = answer(
        "Nothing was added: the bytes are known, or the file is not whole yet.", {JSON: {"anyOf": [KNOWN, PARTIAL]}}
    )
    sent = operation(tag, "Send a drop, whole or in pieces", {202: taken, 200: other}, (*WITH_BODY, 409, 507), asked)
    binary: Json = {"type": "string", "format": "binary"}
    content = {
        payload.CSV: {"schema": TEXT},
        "application/gzip": {"schema": binary},
        "application/octet-stream": {"schema": binary},
    }
    return {**sent, "requestBody": {"required": True, "content": content}}


def paths(tag: str) -> dict[str, Json]:
    """How far an upload is."""
    key = place("key", DIGEST, "The sha256 of the file.")
    answers = {200: answer("How far it is.", {JSON: {"anyOf": [KNOWN, PARTIAL]}})}
    return {"/uploads/{key}": {"get": operation(tag, "How far the upload of a drop is", answers, (404,), [key])}}
