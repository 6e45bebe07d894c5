"""Errors as HTTP answers: `application/problem+json` (RFC 9457) with what happened, where, and what to do."""

import errno
import http
import sqlite3
from collections.abc import Sequence
from typing import NotRequired, TypedDict

import orjson
from bottle import HTTPResponse

from retraind.daemon.core.errors import POLICY, Cause, Crowded, InvalidFeatures, RetraindError
from retraind.daemon.core.errors.causes import of_status

PROBLEM = "application/problem+json"

TYPE = "urn:retraind:problem:"
"""`type` of a problem is this and its cause; docs/errors.md lists them."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of the kernel for a full disk."""


class FieldError(TypedDict):
    """One error in a request."""

    field: str
    detail: str


class Document(TypedDict):
    """The JSON object of a problem."""

    type: str
    title: str
    status: int
    detail: str
    hint: NotRequired[str]
    errors: NotRequired[Sequence[FieldError]]


class Problem(HTTPResponse):  # type: ignore[misc]
    """An answer that reports an error; raise it from a route."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        hint: str = "",
        errors: Sequence[FieldError] | None = None,
        cause: Cause | None = None,
        **headers: str,
    ) -> None:
        self.detail, self.hint = detail, hint
        body = document(status, detail, hint=hint, errors=errors, cause=cause)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(body, status, {"Content-Type": PROBLEM, **fields})


def document(
    status: int,
    detail: str,
    *,
    hint: str = "",
    errors: Sequence[FieldError] | None = None,
    cause: Cause | None = None,
) -> bytes:
    """The JSON text of a problem; its type is `cause`, by default that of the status."""
    phrase = http.HTTPStatus(status).phrase
    kind = f"{TYPE}{cause or of_status(status)}"
    content: Document = {"type": kind, "title": phrase, "status": status, "detail": detail}
    if hint:
        content["hint"] = hint
    if errors:
        content["errors"] = errors
    return orjson.dumps(content)


def explain(error: Exception) -> Problem | None:
    """The problem for an expected exception; None for an unexpected one."""
    if isinstance(error, RetraindError):
        fields: list[FieldError] | None = None
        if isinstance(error, InvalidFeatures):
            fields = [{"field": error.field or "features", "detail": str(error)}]
        headers = {"Retry_After": str(error.seconds)} if isinstance(error, Crowded) else {}
        status = POLICY[error.cause].status
        return Problem(status, error.message, hint=error.hint, errors=fields, cause=error.cause, **headers)
    if isinstance(error, OSError) and error.errno in FULL:
        return Problem(507, "The disk is full; nothing was accepted.", hint="Free some space and send it again.")
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return Problem(503, f"The disk failed: {reason}; nothing was accepted.", hint="See the log of the service.")
    if isinstance(error, sqlite3.Error):
        return Problem(
            503, f"The records can't be read now: {error}.", hint="Try again; `retraind doctor` shows details."
        )
    return None
