"""Error formats: clients of a protocol only understand its own.

Sources: mlflow 3.17 `mlflow/exceptions.py`; Open Inference Protocol V2 and TensorFlow Serving's REST API, "errors".
"""

from collections.abc import Callable

import orjson

from retraind.web.http.problems import Problem
from retraind.web.http.reply import JSON

MLFLOW_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    408: "DEADLINE_EXCEEDED",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    507: "RESOURCE_EXHAUSTED",
}
"""Status to MLflow's error code; other statuses are BAD_REQUEST below 500 and INTERNAL_ERROR from 500."""


def in_format_of(problem: Problem, path: str) -> Problem:
    """The problem in the format of `path`; unchanged for our own paths.

    Invalid content returns 400 in the protocols and 422 on our own endpoints.
    """
    shape = SHAPES.get(path.lstrip("/").partition("/")[0])
    if shape is not None:
        if problem.status_code == 422:
            problem.status = 400
        problem.body = orjson.dumps(shape(problem.status_code, f"{problem.detail} {problem.hint}".rstrip()))
        problem.content_type = JSON
    return problem


def _error(_status: int, message: str) -> dict[str, str]:
    return {"error": message}


def _mlflow(status: int, message: str) -> dict[str, str]:
    code = MLFLOW_CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
    return {"error_code": code, "message": message}


SHAPES: dict[str, Callable[[int, str], dict[str, str]]] = {
    "v1": _error,
    "v2": _error,
    "invocations": _mlflow,
    "ping": _mlflow,
    "version": _mlflow,
}
"""First part of a path to its error format."""
