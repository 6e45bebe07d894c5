"""The lists of drops, events and predictions as paths of an OpenAPI document, with their filters."""

from collections.abc import Sequence

from retraind.web.http import payload
from retraind.web.http.reply import JSON
from retraind.web.lists import drops, events, parameters, predictions, settings
from retraind.web.lists.parameters import Parameter
from retraind.web.openapi import schemas
from retraind.web.openapi.operations import answer, operation, query
from retraind.web.openapi.schemas import COUNT, TEXT, Json, listing, maybe, ref

PAGE: Json = {"older": maybe(TEXT), "newer": maybe(TEXT), "complete": {"type": "boolean"}}
"""The addresses of the neighbouring pages; `complete` is false where the time limit ended the search."""


def paths(tag: str) -> dict[str, Json]:
    """The path of each list."""
    history, recorded = listing("history", ref("Answered"), **PAGE), listing("events", ref("Event"), **PAGE)
    stream = {"text/event-stream": TEXT}
    return {
        "/predictions/history": _list(tag, "Predictions, newest first", history, predictions.PARAMETERS),
        "/drops": _list(tag, "Drops, newest first, and the files that wait", _drops(), drops.PARAMETERS),
        "/events": _list(
            tag, "Events, oldest first; live as server-sent events", recorded, events.PARAMETERS, **stream
        ),
    }


def others(tag: str) -> dict[str, Json]:
    """What waits, and the settings."""
    waiting = {200: answer("What waits, and what happens next.", {JSON: schemas.OBJECT})}
    in_force = {200: answer("The settings that fit.", {JSON: schemas.OBJECT})}
    return {
        "/queue": {"get": operation(tag, "Everything that waits, and what happens next", waiting)},
        "/settings": {
            "get": operation(
                tag, "The settings in force, and where each comes from", in_force, (), described(settings.PARAMETERS)
            )
        },
    }


def described(filters: Sequence[Parameter]) -> list[Json]:
    """The parameters of a list."""
    return [query(one.name, parameters.schema(one), one.meaning) for one in filters]


def _drops() -> Json:
    not_taken = {"type": "object", "additionalProperties": TEXT}
    waiting = {"type": "object", "properties": {"files": COUNT, "bytes": COUNT, "not_taken": not_taken}}
    exams = {"type": "object", "properties": {"n": COUNT, "error": {"type": "number"}, "suspicious": COUNT}}
    held = {"held": schemas.array(ref("HeldDrop")), "held_total": COUNT}
    # With `state=held`, a held drop has the columns of a decided one, without an id.
    either = {"anyOf": [ref("Drop"), {**schemas.OBJECT, "required": ["sha256", "name", "state", "reason"]}]}
    return listing("drops", either, waiting=maybe(waiting), **held, exams=maybe(exams), **PAGE)


def _list(tag: str, summary: str, schema: Json, filters: Sequence[Parameter], **more: Json) -> Json:
    """A list as JSON or CSV; a wrong query is answered with 400."""
    following: Json = {"Link": {"schema": TEXT, "description": "In CSV: the address of the next page, `rel=next`."}}
    answers = {200: answer("The requested entries.", {JSON: schema, payload.CSV: TEXT, **more}, following)}
    return {"get": operation(tag, summary, answers, (), described(filters))}
