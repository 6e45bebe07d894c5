"""Parts of OpenAPI operations: parameters, bodies, answers and problems."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from retraind.web.http.problems import PROBLEM
from retraind.web.http.reply import JSON
from retraind.web.openapi.schemas import TEXT, Json, ref

MEANINGS = {
    400: "The request is not valid HTTP, its body is not JSON, or a parameter of a list is wrong.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another site, or the token lacks the scope.",
    404: "Not found.",
    408: "The body did not arrive in time.",
    409: "There is no schema yet, so the columns of a row are unknown; or a version can't be exported in this format.",
    413: "The body is too large.",
    415: "The content type or encoding of the body is not supported.",
    421: "Unknown host.",
    422: "The content is not valid; `errors` says where.",
    429: "Too many requests wait for the daemon, or too many wrong tokens came from this address.",
    500: "Internal error; the log of the service has the details.",
    503: "Temporarily unavailable: no model is loaded, the records can't be read, or too many requests run.",
    504: "The answer took too long.",
    507: "The disk is full; nothing was accepted.",
}
"""Statuses of problems that several operations return."""

ALWAYS = (400, 421, 500, 503, 504)
"""Problems of every operation."""

WITH_BODY = (403, 408, 413, 415, 422)
"""Problems of operations with a body."""

OWN, MLFLOW, SIMPLE = "Problem", "MlflowError", "Error"
"""Formats of errors: of our own endpoints and of the protocols; see `retraind.web.protocols.errors`."""

KINDS = {OWN: PROBLEM, MLFLOW: JSON, SIMPLE: JSON}
"""Format of errors to its content type."""

RETRY: Json = {
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds after which to send the request again."}
}


SCHEME: Json = {"schema": TEXT, "required": True, "description": "The authentication scheme."}


def problems(codes: Iterable[int], errors: str = OWN) -> Json:
    """References to the answers with these statuses, in one format of errors."""
    return {str(code): {"$ref": f"#/components/responses/{errors}{code}"} for code in sorted(codes)}


def responses() -> Json:
    """The answers that `problems` refers to."""
    responses_: Json = {}
    for shape, kind in KINDS.items():
        content = {kind: {"schema": ref(shape)}}
        responses_ |= {f"{shape}{code}": {"description": text, "content": content} for code, text in MEANINGS.items()}
        for code in (429, 503):
            responses_[f"{shape}{code}"] = {**responses_[f"{shape}{code}"], "headers": RETRY}
        responses_[f"{shape}401"] = {**responses_[f"{shape}401"], "headers": {"WWW-Authenticate": SCHEME}}
    return responses_


def shape_of(path: str) -> str:
    """The format of errors at a path."""
    first = path.lstrip("/").partition("/")[0]
    return MLFLOW if first in ("invocations", "ping", "version") else SIMPLE if first in ("v1", "v2") else OWN


def answer(description: str, content: Mapping[str, Json], headers: Json | None = None) -> Json:
    """One answer, with its schema for each content type."""
    media = {kind: {"schema": schema} for kind, schema in content.items()}
    return {"description": description, "content": media, **({"headers": headers} if headers else {})}


def leads(name: str, path: str, key: str) -> Json:
    """A link of that name from an answer to GET `path`, with the answer's property `key` as its key."""
    return {"links": {name: {"operationId": identity("get", path), "parameters": {"key": f"$response.body#/{key}"}}}}


def identity(method: str, path: str) -> str:
    """The name of an operation, for links and for generated clients."""
    return "_".join([method, *re.findall(r"[A-Za-z0-9]+", path)])


def query(name: str, schema: Json, description: str) -> Json:
    """A parameter of the query string."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def header(name: str, schema: Json, description: str) -> Json:
    """A parameter in a header."""
    return {"name": name, "in": "header", "schema": schema, "description": description}


def place(name: str, schema: Json, description: str) -> Json:
    """A parameter in the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def operation(
    tag: str,
    summary: str,
    answers: Mapping[int, Json],
    codes: Iterable[int] = (),
    parameters: Iterable[Json] = (),
    errors: str = OWN,
) -> Json:
    """An operation without a body; `codes` are its problems apart from those of every operation."""
    documented = {str(code): described for code, described in answers.items()}
    rest = problems({*ALWAYS, *codes} - set(answers), errors)
    all_parameters = list(parameters)
    described: Json = {"tags": [tag], "summary": summary}
    return {
        **described,
        **({"parameters": all_parameters} if all_parameters else {}),
        "responses": {**documented, **rest},
    }


def body(schema: Json, examples: Mapping[str, Any]) -> Json:
    """A required JSON body; `examples` can be sent as they are."""
    named = {name.replace(" ", "_"): {"summary": name, "value": value} for name, value in examples.items()}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema, "examples": named}}}}
