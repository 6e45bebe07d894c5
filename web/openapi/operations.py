"""Operations as OpenAPI wants them: parameters, bodies, answers, and the problems that can come instead."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from web.http.problems import PROBLEM
from web.http.reply import JSON
from web.openapi.schemas import TEXT, Json, ref

MEANINGS = {
    400: "The request is no valid HTTP, or its body is not JSON.",
    401: "The token is missing or wrong.",
    403: "A page of another site may not do this, or the token has not the scope.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "There is no schema yet, so nobody knows which columns a row has.",
    413: "The body is too large.",
    415: "The body is of another type.",
    421: "The Host is no name of this server.",
    422: "The content is not as expected; `errors` says where.",
    429: "So many requests wait for the daemon, or so many wrong tokens have come from this address, that no more are taken.",
    500: "Something went wrong inside; the log has the details.",
    503: "Not now: no model is loaded, the records can't be read, or too much is asked at once.",
    504: "It took too long.",
    507: "The disk is full; nothing was accepted.",
}
"""Statuses of problems, which more than one operation answers."""

ALWAYS = (400, 421, 500, 503, 504)
"""Can come whatever is asked."""

WITH_BODY = (403, 408, 413, 415, 422)
"""Can come where a body is sent."""

OWN, MLFLOW, SIMPLE = "Problem", "MlflowError", "Error"
"""Shapes of errors: those of our own endpoints and of the protocols; see `web.protocols.errors`."""

KINDS = {OWN: PROBLEM, MLFLOW: JSON, SIMPLE: JSON}
"""Shapes to their content types."""

RETRY: Json = {
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds after which asking again may help."}
}


SCHEME: Json = {"schema": TEXT, "required": True, "description": "The scheme that is wanted."}


def problems(codes: Iterable[int], errors: str = OWN) -> Json:
    """Answers of those statuses in one of the shapes, as references."""
    return {str(code): {"$ref": f"#/components/responses/{errors}{code}"} for code in sorted(codes)}


def responses() -> Json:
    """What the references lead to."""
    responses_: Json = {}
    for shape, kind in KINDS.items():
        content = {kind: {"schema": ref(shape)}}
        responses_ |= {f"{shape}{code}": {"description": text, "content": content} for code, text in MEANINGS.items()}
        for code in (429, 503):
            responses_[f"{shape}{code}"] = {**responses_[f"{shape}{code}"], "headers": RETRY}
        responses_[f"{shape}401"] = {**responses_[f"{shape}401"], "headers": {"WWW-Authenticate": SCHEME}}
    return responses_


def shape_of(path: str) -> str:
    """The shape of errors at a path."""
    first = path.lstrip("/").partition("/")[0]
    return MLFLOW if first in ("invocations", "ping", "version") else SIMPLE if first in ("v1", "v2") else OWN


def answer(description: str, content: Mapping[str, Json], headers: Json | None = None) -> Json:
    """One answer: schemas by content type."""
    media = {kind: {"schema": schema} for kind, schema in content.items()}
    return {"description": description, "content": media, **({"headers": headers} if headers else {})}


def leads(name: str, path: str, key: str) -> Json:
    """A link of that name from an answer to GET `path`, whose key is the answer's property `key`."""
    return {"links": {name: {"operationId": identity("get", path), "parameters": {"key": f"$response.body#/{key}"}}}}


def identity(method: str, path: str) -> str:
    """The name of an operation, for links and for clients that are made from the document."""
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
    """An operation without a body; `codes` are the problems that it has beside those that always can come."""
    documented = {str(code): one for code, one in answers.items()}
    rest = problems({*ALWAYS, *codes} - set(answers), errors)
    all_parameters = list(parameters)
    described: Json = {"tags": [tag], "summary": summary}
    return {
        **described,
        **({"parameters": all_parameters} if all_parameters else {}),
        "responses": {**documented, **rest},
    }


def body(schema: Json, examples: Mapping[str, Any]) -> Json:
    """A JSON body that has to be there; `examples` can be sent as they are."""
    named = {name.replace(" ", "_"): {"summary": name, "value": value} for name, value in examples.items()}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema, "examples": named}}}}
