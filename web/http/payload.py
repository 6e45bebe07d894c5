"""Checked content of requests: JSON bodies as strict models, and numbers in query strings."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.json_schema import SkipJsonSchema

from retraind.daemon.core.requests import LARGEST
from retraind.daemon.core.validation import words
from retraind.web.http.problems import FieldError, Problem
from retraind.web.http.reply import JSON

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def _whole(value: Any) -> Any:
    """JSON has one kind of number, so 3.0 is the integer 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Version = Annotated[int, Field(ge=1, le=LARGEST), BeforeValidator(_whole)]
CSV = "text/csv"

MOST_ROWS = 100_000
"""Maximum number of rows in one request."""

VISIBLE = re.compile(r"[!-~]{1,200}")


class Body(BaseModel):
    """A body. Unknown keys are errors, and no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Features(Body):
    """`POST /predict`: one row (values in the order of the columns, or by name), or a list of such rows."""

    features: list[Any] | dict[str, Any] | None = None
    instances: list[Any] | None = Field(default=None, min_length=1, max_length=MOST_ROWS)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1 or self.features is self.instances is None:
            raise ValueError("give either 'features' (one row) or 'instances' (a list of rows)")
        return self


class Row(Body):
    """`POST /explain`: one row (values in the order of the columns, or by name)."""

    features: list[Any] | dict[str, Any]


class Labelled(Body):
    """`POST /add_training_data`: one row and its target: a class by code or name, or a number."""

    features: list[Any] | dict[str, Any]
    target: int | float | str


class Trigger(Body):
    """`POST /trigger_retrain`."""

    force_retrain: bool = False


class Choice(Body):
    """`POST /promote`, `/refuse` and `/rollback`; the default is the challenger, or the previous version."""

    version: Version | None = None


class Decision(Body):
    """`POST /accept` and `/reject`: the held drop."""

    drop: Annotated[str, Field(min_length=1, max_length=1000, description="Its sha256 or name.")]


class Forget(Body):
    """`POST /forget`: the drop whose rows are removed; `purge` also removes them from earlier revisions and copies."""

    drop: Annotated[str, Field(min_length=1, max_length=1000, description="Its sha256, id or name.")]
    purge: bool = False


class Acknowledgement(Body):
    """`POST /acknowledge`: one event, the problems of a drop, or all problems up to an event."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    event: Version | SkipJsonSchema[None] = None
    drop: (
        Annotated[str, Field(min_length=1, max_length=1000, description="Its sha256, id or name.")]
        | SkipJsonSchema[None]
    ) = None
    until: Version | SkipJsonSchema[None] = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1 or not (self.event or self.drop or self.until):
            raise ValueError("give one of 'event', 'drop' and 'until'")
        return self


B = TypeVar("B", bound=Body)
M = TypeVar("M", bound=BaseModel)


def parse(kind: type[B], environ: WSGIEnvironment) -> B:
    """The JSON object of the request as `kind`; raises Problem 400 (invalid JSON) or 422 (invalid content)."""
    return check(kind, value(environ["wsgi.input"].read()))


def value(text: bytes) -> Any:
    """JSON in the strict sense of RFC 8259, each key once; raises Problem 400."""
    try:
        # orjson refuses NaN, 1e999, lone surrogates and deep nesting, but silently keeps the last of equal keys.
        document = orjson.loads(text)
        if _may_repeat(document, text.count(b":")):
            json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"The body is not valid JSON: {error!s:.200}.", hint=_hint(error)) from None
    return document


def _hint(error: Exception) -> str:
    """What to send instead of NaN and Infinity, which Python, R and JavaScript write."""
    if not isinstance(error, json.JSONDecodeError):
        return ""
    word = error.doc[error.pos : error.pos + len("Infinity")]
    if word[:3].lower() == "nan":
        return "JSON has no NaN: send null for a missing value."
    return "JSON has no Infinity: send a finite number, or null for a missing value." if word == "Infinity" else ""


def check(kind: type[M], document: Any) -> M:
    """A JSON value as `kind`; raises Problem 422 that names the first invalid fields."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        errors: list[FieldError] = [
            {"field": words.place(item) or "body", "detail": _detail(kind, item)} for item in error.errors()[:10]
        ]
        text = "; ".join(f"{item['field']}: {item['detail']}" for item in errors)
        raise Problem(422, f"The body is not valid: {text:.500}.", errors=errors) from None


def _detail(kind: type[BaseModel], problem: "ErrorDetails") -> str:
    """A fault in words that do not need knowledge of pydantic."""
    fields = ", ".join(map(repr, kind.model_fields))
    if problem["type"] == "extra_forbidden":
        return f"unknown field; known fields: {fields}"
    if problem["type"] == "model_type":
        return f"must be an object with the fields {fields}"
    return "required field is missing" if problem["type"] == "missing" else words.clause(problem)


def whole(text: str, digits: int) -> int | None:
    """The number in a text of at most `digits` decimal digits; None for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None


def number(query: Mapping[str, str], name: str, default: int | None, low: int, high: int = LARGEST) -> int | None:
    """An integer of the query string within `low` and `high`; raises Problem 422."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        detail = f"{name!r} must be a whole number from {low} to {high}, not {text!r:.60}."
        raise Problem(422, detail, errors=[{"field": name, "detail": detail}])
    return int(text)


def flag(environ: WSGIEnvironment, name: str) -> bool:
    """`true` or `false` of the query string, false without it; raises Problem 422."""
    query = environ.get("QUERY_STRING")
    texts = parse_qs(query, keep_blank_values=True).get(name, []) if query else []
    for text in texts:
        if text not in ("true", "false"):
            detail = f"{name!r} must be true or false, not {text!r:.60}."
            raise Problem(422, detail, errors=[{"field": name, "detail": detail}])
    return texts[-1:] == ["true"]


def typed(environ: WSGIEnvironment) -> None:
    """Refuse a body that is not JSON (415)."""
    header = environ.get("CONTENT_TYPE", "")
    kind = header if header == JSON else header.partition(";")[0].strip().lower()
    if kind != JSON:
        content_type = kind or "untyped"
        raise Problem(415, f"The body must be {JSON}, not {content_type!r:.80}.", hint=f"Send Content-Type: {JSON}.")


def typed_rows(environ: WSGIEnvironment) -> None:
    """Refuse a body that is neither JSON nor CSV (415)."""
    header = environ.get("CONTENT_TYPE", "")
    if header == JSON:
        return
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    if kind not in (JSON, CSV):
        content_type = kind or "untyped"
        raise Problem(
            415, f"The body must be {JSON} or {CSV}, not {content_type!r:.80}.", hint=f"Send Content-Type: {JSON}."
        )
    require_utf8(kind, parameters)


def is_csv(environ: WSGIEnvironment) -> bool:
    """Whether the body is CSV, if it is of an accepted type."""
    header: str = environ.get("CONTENT_TYPE", JSON)
    return header != JSON and header.partition(";")[0].strip().lower() == CSV


def require_utf8(kind: str, parameters: Iterable[str]) -> None:
    """Refuse parameters of a content type, in small letters, other than the charset UTF-8 (415)."""
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        if name != "charset" or value.strip('"') not in ("utf-8", "utf8"):
            raise Problem(415, f"The body must be UTF-8; the parameter {parameter!r:.80} of {kind} is not supported.")


def idempotency_key(environ: WSGIEnvironment) -> str | None:
    """The Idempotency-Key header; None without one; raises Problem 400."""
    key: str | None = environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not VISIBLE.fullmatch(key):
        raise Problem(400, "Idempotency-Key must be 1 to 200 visible ASCII characters.")
    return key


def _may_repeat(document: Any, colons: int) -> bool:
    """Whether a key may be repeated. Each key needs a colon, so with as many colons as distinct keys none is."""
    return not (isinstance(document, dict) and len(document) == colons) and _keys(document) != colons


def _keys(document: Any) -> int:
    """The number of keys of all objects in a JSON value."""
    if isinstance(document, dict):
        return len(document) + sum(_keys(value) for value in document.values() if isinstance(value, list | dict))
    if isinstance(document, list):
        return sum(_keys(value) for value in document if isinstance(value, list | dict))
    return 0


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a key is given twice")
